"""The table and pictures of a training."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.data.loader import Batch
from yolocore.train.views import COLUMNS, draw_batch, draw_curves, write_table

ROWS = [dict.fromkeys(COLUMNS.values(), epoch + 0.25) | {"epoch": epoch} for epoch in (1, 2, 3)]


def test_table(tmp_path: Path) -> None:
    write_table(ROWS, tmp_path / "results.csv")
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["metrics/mAP50-95(B)"]) == 3.25


def test_curves_are_a_picture_that_does_not_change(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_curves(ROWS, tmp_path / name)
    assert cv2.imread(str(tmp_path / "a.png")) is not None
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


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
    batch = Batch(images, np.arange(pictures), np.zeros(pictures, np.int64), boxes)
    draw_batch(batch, ["thing"], tmp_path / "batch.jpg")
    drawn = cv2.imread(str(tmp_path / "batch.jpg"))
    assert drawn.shape == shape
    assert np.abs(drawn[:32, :32].astype(int) - 100).max() > 50  # the box
    assert (images == 100).all()
