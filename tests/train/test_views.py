"""The table and pictures of a training."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.config import TrainConfig
from yolocore.data.loader import Batch, ObjectTable
from yolocore.meta import TASKS, Task
from yolocore.train.views import draw_batch, draw_curves, drawn_batches, table_columns, write_table


def rows_of(task: Task) -> list[dict[str, float]]:
    return [dict.fromkeys(table_columns(task).values(), epoch + 0.25) | {"epoch": epoch} for epoch in (1, 2, 3)]


@pytest.mark.parametrize(
    ("task", "some"),
    [
        ("detect", "train/box_loss,train/cls_loss,train/dfl_loss,metrics/precision(B),metrics/recall(B)"),
        ("segment", "metrics/mAP50(M),metrics/mAP50-95(M),val/box_loss,val/seg_loss,val/cls_loss,val/dfl_loss"),
        ("pose", "train/pose_loss,train/kobj_loss,train/cls_loss,train/dfl_loss,metrics/precision(B)"),
        ("pose", "metrics/mAP50-95(B),metrics/precision(P),metrics/recall(P),metrics/mAP50(P)"),
        ("obb", "metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss"),
        ("classify", "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0,lr/pg1,lr/pg2"),
    ],
)
def test_table(task: Task, some: str, tmp_path: Path) -> None:
    write_table(rows_of(task), task, tmp_path / "results.csv")
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert some in lines[0]
    rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["lr/pg0"]) == 3.25


@pytest.mark.parametrize("task", TASKS)
def test_curves_are_a_picture_that_does_not_change(task: Task, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_curves(rows_of(task), task, tmp_path / name)
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("epochs", "close_mosaic", "batches", "numbers"),
    [
        pytest.param(10, 2, 5, {0, 1, 2, 40, 41, 42}, id="the first, and the first without mosaics"),
        pytest.param(10, 0, 5, {0, 1, 2}, id="mosaics to the end"),
        pytest.param(2, 10, 5, {0, 1, 2}, id="never a mosaic"),
        pytest.param(4, 2, 1, {0, 2}, id="epochs of one batch"),
    ],
)
def test_which_batches_are_drawn(epochs: int, close_mosaic: int, batches: int, numbers: set[int]) -> None:
    assert drawn_batches(TrainConfig(epochs=epochs, close_mosaic=close_mosaic), batches) == numbers


@pytest.mark.parametrize(
    ("pictures", "shape"),
    [
        pytest.param(1, (32, 32, 3), id="one"),
        pytest.param(5, (64, 96, 3), id="a row that is not full"),
        pytest.param(20, (128, 128, 3), id="more than are shown"),
    ],
)
def test_batch(pictures: int, shape: tuple[int, int, int], tmp_path: Path) -> None:
    images = np.full((pictures, 32, 32, 3), 100, np.uint8)
    boxes = np.tile(np.array([[4, 12, 28, 28]], np.float32), (pictures, 1))
    batch = Batch(images, ObjectTable(np.arange(pictures), np.zeros(pictures, np.int64), boxes))
    draw_batch(batch, ["thing"], tmp_path / "batch.jpg")
    drawn = cv2.imread(str(tmp_path / "batch.jpg"))
    assert drawn.shape == shape
    assert np.abs(drawn[:32, :32].astype(int) - 100).max() > 50  # the box
    assert (images == 100).all()


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"masks": np.pad(np.ones((1, 4, 4), np.int16), ((0, 0), (2, 2), (2, 2)))}, id="masks"),
        pytest.param({"keypoints": np.array([[[16, 16, 2], [0, 0, 0]]], np.float32)}, id="keypoints"),
        pytest.param({"rotated": np.array([[16, 16, 12, 6, 0.5]], np.float32)}, id="rotated boxes"),
    ],
)
def test_labels_of_a_task_are_drawn(labels: dict, tmp_path: Path) -> None:
    image, box = np.full((1, 32, 32, 3), 100, np.uint8), np.array([[4, 4, 28, 28]], np.float32)
    zero = np.zeros(1, np.int64)
    pictures = []
    for some in ({}, labels):
        draw_batch(Batch(image, ObjectTable(zero, zero, box, **some)), [""], tmp_path / "batch.png")
        pictures.append(cv2.imread(str(tmp_path / "batch.png")).astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() > 20
