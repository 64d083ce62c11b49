"""What people look at after a training: the table of its epochs, their curves, and what the network saw."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.config.tree import TrainConfig
from yolocore.data.labels import Labels
from yolocore.data.loader import Batch, ObjectTable
from yolocore.draw import draw_labels
from yolocore.meta import Task
from yolocore.rotated import to_corners
from yolocore.store import write_atomic
from yolocore.train.losses import PARTS
from yolocore.train.state import Row

_TILES = 16  # pictures of a batch that are shown
_DRAWN = 3  # batches that are drawn, of the first ones and of the first without mosaics
_MASK_STRIDE = 4  # pixels of a picture for each of its masks


def table_columns(task: Task) -> dict[str, str]:
    """Columns of results.csv, as tools that read such files know them, and the figure that each shows."""
    parts = PARTS[task]
    return {
        "epoch": "epoch",
        "time": "seconds",
        **{f"train/{part}": part for part in parts},
        **_metric_columns(task),
        **{f"val/{part}": f"val_{part}" for part in parts},
        "lr/pg0": "lr",
        "lr/pg1": "lr",
        "lr/pg2": "lr_bias",
    }


def _metric_columns(task: Task) -> Mapping[str, str]:
    if task == "classify":
        return {"metrics/accuracy_top1": "top1", "metrics/accuracy_top5": "top5"}
    kinds = {"B": "", **{"segment": {"M": "mask_"}, "pose": {"P": "pose_"}}.get(task, {})}
    names = {"precision": "precision", "recall": "recall", "mAP50": "map50", "mAP50-95": "map50_95"}
    return {
        f"metrics/{column}({kind})": prefix + figure
        for kind, prefix in kinds.items()
        for column, figure in names.items()
    }


def write_table(rows: Sequence[Row], task: Task, path: Path) -> None:
    """results.csv: a row an epoch."""
    columns = table_columns(task)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([[f"{row[figure]:.6g}" for figure in columns.values()] for row in rows])
    write_atomic(path, text.getvalue())


def draw_curves(rows: Sequence[Row], task: Task, path: Path) -> None:
    """results.png: each loss and metric over the epochs."""
    from matplotlib.figure import Figure

    curves = {c: figure for c, figure in table_columns(task).items() if c.startswith(("train/", "val/", "metrics/"))}
    across = math.ceil(len(curves) / 2)
    figure = Figure(figsize=(3 * across, 6))
    # The automatic layouts take seconds.
    figure.subplots_adjust(0.15 / across, 0.05, 1 - 0.05 / across, 0.95, wspace=0.3, hspace=0.2)
    epochs = [row["epoch"] for row in rows]
    grid = figure.subplots(2, across, squeeze=False).flat
    for axes, (column, name) in zip(grid, curves.items(), strict=False):
        axes.plot(epochs, [row[name] for row in rows], marker="." if len(rows) < 40 else "")
        axes.set_title(column, fontsize=10)
        axes.grid(alpha=0.3)
    for axes in grid:  # left over
        axes.set_axis_off()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def drawn_batches(config: TrainConfig, batches: int) -> set[int]:
    """Numbers (over all epochs) of the batches to draw: the first ones, and the first after the mosaics end."""
    plain = (config.epochs - config.close_mosaic) * batches
    starts = {0, plain} if 0 < config.close_mosaic < config.epochs else {0}
    return {start + number for start in starts for number in range(min(_DRAWN, batches))}


def draw_batch(batch: Batch, names: Sequence[str], path: Path) -> None:
    """The pictures of a training batch with what the network is to find in them, as a square of tiles."""
    pictures = batch.images[:_TILES, ..., ::-1].copy()
    for index, picture in enumerate(pictures):
        draw_labels(picture, _labels_of(batch.objects, index), names)
    count, height, width, _ = pictures.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    tiles = np.zeros((rows * columns, height, width, 3), np.uint8)
    tiles[:count] = pictures
    mosaic = tiles.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    write_atomic(path, cv2.imencode(path.suffix, mosaic)[1].tobytes())


def _labels_of(objects: ObjectTable, index: int) -> Labels:
    """The objects of one picture of a batch."""
    rows = objects.image == index
    return Labels(
        classes=objects.classes[rows],
        boxes=objects.boxes[rows],
        polygons=None if objects.masks is None else _outlines(objects.masks[index], int(rows.sum())),
        keypoints=None if objects.keypoints is None else objects.keypoints[rows],
        corners=None if objects.rotated is None else to_corners(objects.rotated[rows]),
    )


def _outlines(mask: npt.NDArray[np.int16], objects: int) -> tuple[tuple[npt.NDArray[np.float32], ...], ...]:
    """The outlines in picture pixels of each object in a mask."""
    found = []
    for number in range(1, objects + 1):
        parts, _ = cv2.findContours((mask == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        found.append(tuple((part[:, 0].astype(np.float32) + 0.5) * _MASK_STRIDE for part in parts))
    return tuple(found)
