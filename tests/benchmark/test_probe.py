"""A format in a process of its own: what it answers, what it costs, and how its failures come back."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.serve.finder import write_dataset, write_network
from yolocore.benchmark.probe import Job, Probe
from yolocore.errors import DataError, ModelError, YoloError


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    data = write_dataset(tmp_path_factory.mktemp("data"), images=3)
    return Job(device="cpu", half=False, data=str(data), split="val", imgsz=64, conf=0.25, iou=0.7, max_det=10)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_network(tmp_path_factory.mktemp("model") / "finder.onnx"))


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_it_times_the_images_it_is_asked_for(model: str, job: Job) -> None:
    before = children()
    with Probe(model, job, threads=1) as probe:
        assert probe.time([]) == []
        samples = probe.time([0, 1, 2, 3, 0])  # 3 is the first again
        (child,) = set(children()) - set(before)
        assert not any("torch" in mapped.path for mapped in child.memory_maps()), "an exported model needs no torch"
    assert len(samples) == 5
    for sample in samples:
        assert all(seconds > 0 for seconds in sample)
        assert sample.preprocess + sample.inference + sample.postprocess <= sample.total
    assert probe.load_seconds > 0
    assert children() == before, "the child ends with the probe"


def test_memory_is_the_childs_own(model: str, job: Job) -> None:
    """A maximum that is inherited from the parent would show 400 MB."""
    ballast = np.ones(50_000_000)
    with Probe(model, job, threads=1) as probe:
        loaded = probe.memory
        probe.time(range(3))
    assert 0 < loaded <= probe.memory < ballast.nbytes / 1e6


@pytest.mark.parametrize(
    ("model_name", "change", "error", "message"),
    [
        pytest.param("nowhere.onnx", {}, ModelError, "nowhere.onnx: no such file", id="missing model"),
        pytest.param(None, {"split": "exam"}, DataError, "no split 'exam'", id="missing split"),
        pytest.param(None, {"data": "nowhere"}, DataError, "data=nowhere: no such file", id="missing data"),
    ],
)
def test_errors_arrive_as_they_are(
    model: str, job: Job, model_name: str | None, change: dict[str, str], error: type[YoloError], message: str
) -> None:
    before = children()
    with pytest.raises(error, match=message):
        Probe(model_name or model, replace(job, **change), threads=1)
    assert children() == before


def test_a_child_that_the_system_kills_is_named(model: str, job: Job) -> None:
    before = children()
    with Probe(model, job, threads=1) as probe:
        (child,) = set(children()) - set(before)
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(ModelError, match=r"finder\.onnx: its process was killed by signal 9"):
            probe.time([0])


def test_a_broken_image_is_named(model: str, tmp_path: Path, job: Job) -> None:
    data = write_dataset(tmp_path, images=2)
    picture = tmp_path / "images/val/1.png"
    with Probe(model, replace(job, data=str(data)), threads=1) as probe:
        picture.write_bytes(picture.read_bytes()[:-30])
        assert len(probe.time([0])) == 1
        with pytest.raises(DataError, match=r"1\.png"):
            probe.time([1])
