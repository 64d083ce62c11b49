"""What people look at after a training: the table of its epochs, their curves, and what the network saw."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from yolocore.data.loader import Batch
from yolocore.draw import colour, draw_box
from yolocore.store import write_atomic
from yolocore.train.state import Row

# Column of results.csv, as tools that read such files know them, and the figure that it shows.
COLUMNS = {
    "epoch": "epoch",
    "time": "seconds",
    "train/box_loss": "box_loss",
    "train/cls_loss": "cls_loss",
    "train/dfl_loss": "dfl_loss",
    "metrics/precision(B)": "precision",
    "metrics/recall(B)": "recall",
    "metrics/mAP50(B)": "map50",
    "metrics/mAP50-95(B)": "map50_95",
    "val/box_loss": "val_box_loss",
    "val/cls_loss": "val_cls_loss",
    "val/dfl_loss": "val_dfl_loss",
    "lr/pg0": "lr",
    "lr/pg1": "lr",
    "lr/pg2": "lr_bias",
}
_TILES = 16  # pictures of a batch that are shown
_CURVES = [column for column in COLUMNS if column.startswith(("train/", "val/", "metrics/"))]


def write_table(rows: Sequence[Row], path: Path) -> None:
    """results.csv: a row an epoch."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows([[f"{row[figure]:.6g}" for figure in COLUMNS.values()] for row in rows])
    write_atomic(path, text.getvalue())


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """results.png: each loss and metric over the epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 6))
    figure.subplots_adjust(0.03, 0.05, 0.99, 0.95, wspace=0.2, hspace=0.2)  # the automatic layouts take seconds
    epochs = [row["epoch"] for row in rows]
    for axes, column in zip(figure.subplots(2, len(_CURVES) // 2).flat, _CURVES, strict=True):
        axes.plot(epochs, [row[COLUMNS[column]] for row in rows], marker="." if len(rows) < 40 else "")
        axes.set_title(column, fontsize=10)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def draw_batch(batch: Batch, names: Sequence[str], path: Path) -> None:
    """The pictures of a training batch with the boxes that the network is to find, as a square of tiles."""
    pictures = batch.images[:_TILES, ..., ::-1].copy()
    for image, category, box in zip(batch.image, batch.classes, batch.boxes, strict=True):
        if image < len(pictures):
            draw_box(pictures[image], box, names[category], colour(int(category)))
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    tiles = np.zeros((rows * columns, *pictures.shape[1:]), np.uint8)
    tiles[: len(pictures)] = pictures
    side = pictures.shape[1]
    mosaic = tiles.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    cv2.imwrite(str(path), mosaic)
