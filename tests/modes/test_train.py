"""train: what it leaves behind, and what it refuses."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.config import TrainConfig, ValConfig
from yolocore.data import open_dataset
from yolocore.errors import DataError, ModelError, PreemptedError, RefusedError, UsageError, YoloError
from yolocore.evaluate import evaluate
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train
from yolocore.records import TrainRecord
from yolocore.runtimes.detector import open_detector

JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[1].tobytes()
# In float32 epochs are judged in the precision of the record's own figures.
TINY = TrainConfig(epochs=2, batch=4, imgsz=64, close_mosaic=1, workers=1, device="cpu", amp=False)


class Heard:
    """Keeps what a training says."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, float]] = []
        self.notes: list[str] = []
        self.steps = 0

    def start(self, label: str, total: int | None) -> None: ...

    def advance(self, n: int = 1, **figures: float) -> None:
        self.steps += bool(figures)

    def epoch(self, number: int, row: Mapping[str, float]) -> None:
        assert number == len(self.rows) + 1
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Stopped(Heard):
    """Asks its own process to end at the second update."""

    def advance(self, n: int = 1, **figures: float) -> None:
        super().advance(n, **figures)
        if self.steps == 2:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture(scope="module")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainRecord, Path, Heard]:
    out, heard = tmp_path_factory.mktemp("trained") / "out", Heard()
    return train(TINY, TrainInputs(data=str(shapes), model="yolo11n"), out, heard), out, heard


def test_what_it_leaves_behind(trained) -> None:
    record, out, _ = trained
    assert TrainRecord.load(out) == record
    assert (record.epochs, set(record.artifacts)) == (2, {"best", "last"})
    assert 1 <= record.best_epoch <= 2
    files = {path.name for path in out.iterdir()}
    assert files == {"record.json", *(a.path for a in record.artifacts.values()), *record.views}
    assert {"results.csv", "results.png", "train_batch0.jpg"} <= set(record.views)


def test_progress_and_table_tell_the_same(trained) -> None:
    record, out, heard = trained
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert [float(row["metrics/mAP50-95(B)"]) for row in rows] == pytest.approx(
        [row["map50_95"] for row in heard.rows], abs=1e-5
    )
    assert heard.steps > 0
    best = heard.rows[record.best_epoch - 1]
    assert record.metrics == {name: best[name] for name in record.metrics}


def test_the_best_weights_give_the_figures_of_the_record(trained, shapes: Path) -> None:
    record, out, _ = trained
    detector = open_detector(str(out / "best.pt"), "cpu")
    assert detector.meta.names == open_dataset(shapes).names
    assert detector.meta.imgsz == 64
    assert evaluate(detector, open_dataset(shapes).split("val"), ValConfig()).summary() == record.metrics


def test_a_finished_training_does_nothing(trained, shapes: Path) -> None:
    record, out, _ = trained
    heard = Heard()
    assert train(TINY, TrainInputs(data=str(shapes), model="yolo11n"), out, heard) == record
    assert heard.steps == 0


def test_goes_on_from_a_checkpoint_and_stops_out_of_patience(trained, shapes: Path, tmp_path: Path) -> None:
    """With a learning rate of nothing no epoch is better than the first."""
    _, first, _ = trained
    config = TINY.model_copy(update={"epochs": 9, "patience": 1, "optimizer": "SGD", "lr0": 1e-12})
    heard = Heard()
    record = train(config, TrainInputs(data=str(shapes), model=str(first / "best.pt")), tmp_path / "out", heard)
    assert (record.best_epoch, record.epochs) == (1, 2)
    assert "stops after epoch 2: patience=1, the best was 1" in heard.notes


def plain(folder: Path, images: int, content: bytes) -> Path:
    """A YOLO folder with equal images, each with one object; val has one."""
    for split, count in (("train", images), ("val", 1)):
        for kind, suffix, each in (("images", "jpg", content), ("labels", "txt", b"0 0.5 0.5 0.5 0.5\n")):
            (folder / kind / split).mkdir(parents=True)
            for number in range(count):
                (folder / kind / split / f"{number}.{suffix}").write_bytes(each)
    (folder / "dataset.yaml").write_text("train: images/train\nval: images/val\nnames: [a]\n")
    return folder


def without_images(folder: Path) -> Path:
    return plain(folder, 0, JPEG)


def truncated(folder: Path) -> Path:
    """Images whose headers are whole, which is all that opening a plain folder reads."""
    return plain(folder, 3, JPEG[: len(JPEG) // 2])


def with_boxes(folder: Path) -> Path:
    return plain(folder, 3, JPEG)


def without_val(folder: Path) -> Path:
    (plain(folder, 3, JPEG) / "dataset.yaml").write_text("train: images/train\nnames: [a]\n")
    return folder


def class_folders(folder: Path) -> Path:
    """Two classes in train, of which val has the first alone."""
    for name in ("train/a", "train/b", "val/a"):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            (folder / name / f"{number}.jpg").write_bytes(JPEG)
    return folder


def nowhere(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(
    ("settings", "model", "data", "error", "message"),
    [
        pytest.param({"device": "cuda:7"}, "yolo11n", None, UsageError, "device='cuda:7'", id="no such device"),
        pytest.param({}, "missing.pt", None, ModelError, "model=missing.pt: no such file", id="no such model"),
        pytest.param(
            {}, "yolo11n", nowhere, DataError, r"data=.*: no such file or folder; give an ingested", id="no such data"
        ),
        pytest.param(
            {},
            "yolo11n",
            without_images,
            DataError,
            "train: images/train holds no image; correct the path",
            id="no images",
        ),
        pytest.param({}, "yolo11n", without_val, DataError, "has no split 'val'; it has train", id="no val"),
        pytest.param({}, "yolo11n", truncated, DataError, r"\d\.jpg: the JPEG is truncated", id="a broken image"),
        pytest.param(
            {"optimizer": "SGD", "lr0": 1e30, "warmup_epochs": 0.0},
            "yolo11n",
            None,
            RefusedError,
            r"the loss became (nan|inf) in epoch \d, batch \d; lower lr0",
            id="divergence",
        ),
        pytest.param(
            {"task": "pose"},
            "yolo11n-seg",
            None,
            ModelError,
            "model=yolo11n-seg: is for task=segment, not task=pose; give yolo11n-pose",
            id="a task that the model is not for",
        ),
        pytest.param(
            {"task": "classify"},
            "yolo11n",
            None,
            DataError,
            "has no labels for task=classify, only boxes.*; sort its images into folders",
            id="a classifier of objects",
        ),
        *(
            pytest.param(
                {"task": task},
                "yolo11n",
                with_boxes,
                DataError,
                f"has no labels for task={task}, only boxes; {remedy}, or use task=detect",
                id=f"boxes for {task}",
            )
            for task, remedy in (
                ("segment", "add outlines"),
                ("pose", "add keypoints"),
                ("obb", "add corners or outlines"),
            )
        ),
        pytest.param(
            {"classes": (0, 7)},
            "yolo11n",
            None,
            UsageError,
            r"classes=7: the dataset has 4 classes",
            id="no such class",
        ),
        pytest.param(
            {"classes": (1,), "single_cls": True},
            "yolo11n",
            with_boxes,
            UsageError,
            "classes=1: the dataset has 1 classes, from 0 on",
            id="no such class, though all are to be one",
        ),
        pytest.param(
            {"freeze": 24}, "yolo11n", None, UsageError, "freeze=24: the network has 24 layers", id="nothing learns"
        ),
        pytest.param(
            {"freeze": 11}, "yolo11n-cls", class_folders, UsageError, "freeze=11: the network has 11", id="nor here"
        ),
        pytest.param(
            {"resume": True},
            "yolo11n",
            None,
            UsageError,
            "resume=true: nothing that was interrupted lies beside out=.*; give its out=, or resume=false",
            id="nothing to go on with",
        ),
        pytest.param(
            {"classes": (1,)},
            "yolo11n-cls",
            class_folders,
            DataError,
            r"data=.*: its split val has no images of classes=1",
            id="no image of the classes",
        ),
    ],
)
def test_refusals(
    settings: dict, model: str, data, error: type[YoloError], message: str, shapes: Path, tmp_path: Path
) -> None:
    source = data(tmp_path / "data") if data else shapes
    with pytest.raises(error, match=message) as refusal:
        train(TINY.model_copy(update=settings), TrainInputs(data=str(source), model=model), tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_another_training_is_not_gone_on_with(trained, shapes: Path, tmp_path: Path) -> None:
    """What was begun with other settings is named, and left for who gives the same again."""
    begun = TrainInputs(data=str(shapes), model="yolo11n"), tmp_path / "out"
    with pytest.raises(PreemptedError, match="run the same command again to go on"):
        train(TINY, *begun, Stopped())
    left = sorted(path.name for path in tmp_path.iterdir())
    other = TINY.model_copy(update={"resume": True, "lr0": 0.5})
    with pytest.raises(
        UsageError, match=r"out was begun with lr0=0\.01, not 0\.5; give the same again, or resume=false"
    ):
        train(other, *begun)
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    record = train(TINY.model_copy(update={"resume": True}), *begun)
    assert record.digest() == trained[0].digest()


def test_processes_that_do_not_meet(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun says it, and nothing else of what torchrun says
    with pytest.raises(UsageError, match=r"WORLD_SIZE=2: the processes do not meet \(.*\); start them by torchrun"):
        train(TINY, TrainInputs(data=str(shapes), model="yolo11n"), tmp_path / "out")
    assert not list(tmp_path.iterdir())
