"""Batches from several processes are those of one, and whatever happens to a process is said."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from itertools import islice
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from tests.data.test_loader import equal
from yolocore.config import IngestConfig, TrainConfig
from yolocore.data import open_dataset, producers
from yolocore.data.loader import CACHE_SHARE, Batch, ObjectTable, TrainLoader
from yolocore.data.producers import SLOTS, Memory, ProcessLoader
from yolocore.errors import DataError, UsageError
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs

CONFIG = TrainConfig(imgsz=64, batch=3, epochs=4, close_mosaic=1, workers=3)


def kept(batch: Batch) -> Batch:
    """A copy, which outlives the next batch."""
    masks = None if batch.objects.masks is None else batch.objects.masks.copy()
    table = {name: getattr(batch.objects, name) for name in ObjectTable.__dataclass_fields__}
    return Batch(batch.images.copy(), ObjectTable(**{**table, "masks": masks}))


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        pytest.param("detect", {}, id="detect"),
        pytest.param("segment", {"mixup": 0.5}, id="segment"),
        pytest.param("pose", {"workers": 8}, id="pose, threads in the processes"),
        pytest.param("obb", {"workers": 1, "multi_scale": 0.5}, id="obb, one process, several scales"),
    ],
)
def test_the_same_batches(shapes: Path, task: str, settings: dict) -> None:
    dataset = open_dataset(shapes)
    config = CONFIG.model_copy(update=settings)
    given = (dataset.split("train"), config, task, dataset.flip_idx)
    for share in ((0, 1), (1, 2)):
        with TrainLoader(*given, share) as loader, ProcessLoader(*given, share) as processes:
            assert len(processes) == len(loader) == 7
            for epoch, start in ((0, 0), (3, 2), (1, 6)):
                # Counted, and not until there are no more: nobody tells the loader that the last one is used up.
                found = [kept(batch) for batch in islice(processes.epoch(epoch, start), len(loader) - start)]
                assert equal(found, list(loader.epoch(epoch, start))), (share, epoch)


def test_pictures_of_classes(tmp_path: Path) -> None:
    ingest(IngestConfig(demo_images=16, demo_imgsz=64), IngestInputs(source="demo-classify"), tmp_path / "data")
    split = open_dataset(tmp_path / "data").split("train")
    with TrainLoader(split, CONFIG, "classify") as loader, ProcessLoader(split, CONFIG, "classify") as processes:
        assert equal([kept(batch) for batch in processes.epoch(0)], list(loader.epoch(0)))


def test_memory_is_held_while_the_loader_lives(shapes: Path) -> None:
    held: list[Memory] = []

    @contextlib.contextmanager
    def hold(memory: Memory) -> Iterator[None]:
        held.append(memory)
        yield
        held.pop()

    with ProcessLoader(open_dataset(shapes).split("train"), CONFIG, hold=hold) as loader:
        assert len(held) == CONFIG.workers
        assert all(len(memory) == SLOTS and memory[0].nbytes >= 3 * 64 * 64 * 3 for memory in held)
        for batch in loader.epoch(0):
            assert any(np.shares_memory(batch.images, memory) for memory in held)
    assert not held


def test_a_broken_image_is_named(shapes: Path, tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for number in range(4):
        content = bytes(open_dataset(shapes).split("train").image(number))
        (tmp_path / "images" / f"{number}.png").write_bytes(content)
        (tmp_path / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "dataset.yaml").write_text("train: images\nval: images\nnames: [thing]\n")
    split = open_dataset(tmp_path).split("train")
    assert len(split.sizes) == 4
    torn = tmp_path / "images" / "2.png"
    torn.write_bytes(torn.read_bytes()[:-30])
    with ProcessLoader(split, CONFIG) as loader, pytest.raises(DataError, match=r"2\.png"):
        list(loader.epoch(0))


def test_a_process_that_is_killed_is_missed(shapes: Path) -> None:
    split = open_dataset(shapes).split("train")
    with ProcessLoader(split, CONFIG) as loader:
        batches = loader.epoch(0)
        next(batches)
        for producer in loader._producers:
            os.kill(producer._process.pid, signal.SIGKILL)
        with pytest.raises(UsageError, match=r"workers=3: .* was ended \(SIGKILL\)"):
            list(batches)


def test_an_epoch_may_outlive_the_loader(shapes: Path) -> None:
    """As it does behind an exception, whose frames hold it."""
    with ProcessLoader(open_dataset(shapes).split("train"), CONFIG) as loader:
        batches = loader.epoch(0)
        next(batches)
    batches.close()


def test_the_caches_have_a_cache_s_share_together(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    class Noted(TrainLoader):
        def __init__(self, *arguments, cache_share: float, **settings) -> None:
            given.append(cache_share)
            raise EOFError

    monkeypatch.setattr(producers, "TrainLoader", Noted)
    order = ProcessLoader(open_dataset(shapes).split("train"), CONFIG)._order
    ours, theirs = Pipe()
    ours.send(order)
    memory = os.memfd_create("test")
    os.truncate(memory, SLOTS * order.room)
    with pytest.raises(EOFError):
        producers.produce(theirs, memory)
    os.close(memory)
    assert given == [CACHE_SHARE / order.processes]


def test_processes_end_with_the_loader_and_do_not_mind_being_asked_to(shapes: Path) -> None:
    with ProcessLoader(open_dataset(shapes).split("train"), CONFIG) as loader:
        first = loader.epoch(0)
        next(first)
        processes = [producer._process for producer in loader._producers]
        for process in processes:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
        assert len(list(first)) == len(loader) - 1
    assert all(process.poll() is not None for process in processes)
