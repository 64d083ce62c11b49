"""train: what it leaves behind, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from yolocore.config import TrainConfig, ValConfig
from yolocore.data import open_dataset
from yolocore.errors import DataError, ModelError, RefusedError, UsageError, YoloError
from yolocore.evaluate import evaluate
from yolocore.modes.inputs import TrainInputs
from yolocore.modes.train import train
from yolocore.records import TrainRecord
from yolocore.runtimes.detector import open_detector

JPEG = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[1].tobytes()
TINY = TrainConfig(epochs=2, batch=4, imgsz=64, close_mosaic=1, workers=1, device="cpu")


class Heard:
    """Keeps what a training says."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.notes: list[str] = []
        self.steps = 0

    def start(self, label: str, total: int | None) -> None: ...

    def advance(self, n: int = 1, **figures: float) -> None:
        self.steps += bool(figures)

    def epoch(self, number: int, row: dict[str, float]) -> None:
        assert number == len(self.rows) + 1
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def one_thread():
    """Several processes test at once on few cores; threads that wait for each other would crawl."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(shapes: Path, one_thread, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainRecord, Path, Heard]:
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
    record = train(config, TrainInputs(data=str(shapes), model=str(first / "best.pt")), tmp_path / "out", Heard())
    assert (record.best_epoch, record.epochs) == (1, 2)


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


@pytest.mark.parametrize(
    ("settings", "model", "data", "error", "message"),
    [
        pytest.param({"device": "cuda:7"}, "yolo11n", None, UsageError, "device='cuda:7'", id="no such device"),
        pytest.param({}, "missing.pt", None, ModelError, "model=missing.pt: no such file", id="no such model"),
        pytest.param({}, "yolo11n", without_images, DataError, "train", id="no images"),
        pytest.param({}, "yolo11n", truncated, DataError, r"\d\.jpg: the JPEG is truncated", id="a broken image"),
        pytest.param(
            {"optimizer": "SGD", "lr0": 1e30, "warmup_epochs": 0.0},
            "yolo11n",
            None,
            RefusedError,
            r"the loss became (nan|inf) in epoch \d, batch \d; lower lr0",
            id="divergence",
        ),
    ],
)
def test_refusals(
    settings: dict, model: str, data, error: type[YoloError], message: str, shapes: Path, tmp_path: Path, one_thread
) -> None:
    source = data(tmp_path / "data") if data else shapes
    with pytest.raises(error, match=message) as refusal:
        train(TINY.model_copy(update=settings), TrainInputs(data=str(source), model=model), tmp_path / "out")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()
