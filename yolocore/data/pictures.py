"""Pictures of a dataset for people: how its labels are distributed, and a few labelled images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.data.labels import Labels
from yolocore.draw import draw_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TILE = 320
_MOST_CLASSES = 40  # bars that stay readable


def draw_statistics(splits: Sequence[Split], names: Sequence[str], path: Path, whole: bool = False) -> None:
    """How the labels of all these splits together are distributed, as one PNG.

    Objects by class, box widths against heights, and where box centres lie; for images of one class each (whole),
    images by class and their widths and heights. names: the classes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    labels = [split.labels(index) for split in splits for index in range(len(split))]
    sizes = np.concatenate([split.sizes for split in splits])
    classes = np.concatenate([found.classes for found in labels])
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(13, 4), layout="constrained")
        bars, left, right = figure.subplots(1, 3)
        counts = np.bincount(classes, minlength=len(names))
        shown = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
        bars.bar(range(len(shown)), counts[shown], color="#3b6ea5")
        bars.set_xticks(range(len(shown)), [names[i] for i in shown], rotation=90 if len(shown) > 6 else 0)
        title = f"{len(labels)} images" if whole else f"{len(classes)} objects in {len(labels)} images"
        bars.set(title=title, ylabel="images" if whole else "objects")
        if whole:
            for axes, sides, title in ((left, sizes[:, 1], "widths"), (right, sizes[:, 0], "heights")):
                axes.hist(sides, bins=50, color="#3b6ea5")
                axes.set(title=title, xlabel="pixels", ylabel="images")
        else:
            _draw_boxes(np.concatenate([found.boxes for found in labels]), sizes, labels, left, right)
        figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw_boxes(
    boxes: npt.NDArray[np.float32], sizes: npt.NDArray[np.int32], labels: Sequence[Labels], left: Axes, right: Axes
) -> None:
    """Sizes of boxes, and where their centres lie, as shares of their image's sides."""
    hw = np.repeat(sizes, [len(found) for found in labels], axis=0)
    width, height = (boxes[:, 2] - boxes[:, 0]) / hw[:, 1], (boxes[:, 3] - boxes[:, 1]) / hw[:, 0]
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 / hw[:, 1], (boxes[:, 1] + boxes[:, 3]) / 2 / hw[:, 0]
    for axes, (across, up), title in ((left, (width, height), "box sizes"), (right, (x, y), "box centres")):
        axes.hist2d(across, up, bins=50, range=((0, 1), (0, 1)), cmap="viridis", cmin=1)
        axes.set(title=title, aspect="equal", facecolor="#f2f2f2")
    left.set(xlabel="width / image width", ylabel="height / image height")
    right.set(xlabel="x / image width", ylabel="y / image height", ylim=(1, 0))


def draw_samples(split: Split, names: Sequence[str], path: Path, count: int = 16) -> None:
    """Evenly chosen images of a split with their labels, as a mosaic in one JPEG."""
    chosen = np.unique(np.linspace(0, len(split) - 1, count).astype(int))
    tiles = [
        _labelled(decode_image(split.image(index), split.where(index)), split.labels(index), names)
        for index in chosen.tolist()
    ]
    columns = math.ceil(math.sqrt(len(tiles)))
    height = max(tile.shape[0] for tile in tiles) + 4
    canvas = np.full((math.ceil(len(tiles) / columns) * height, columns * _TILE, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = (place // columns) * height, (place % columns) * _TILE
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    path.write_bytes(cv2.imencode(".jpg", canvas)[1].tobytes())


def _labelled(image: npt.NDArray[np.uint8], labels: Labels, names: Sequence[str]) -> npt.NDArray[np.uint8]:
    """The image shrunk or enlarged to fit a tile, with all that its labels say."""
    gain = (_TILE - 4) / max(image.shape[:2])
    tile: npt.NDArray[np.uint8] = np.ascontiguousarray(
        cv2.resize(image, None, fx=gain, fy=gain, interpolation=cv2.INTER_AREA), np.uint8
    )
    draw_labels(tile, _scaled(labels, gain), names)
    return tile


def _scaled(labels: Labels, gain: float) -> Labels:
    return replace(
        labels,
        boxes=labels.boxes * gain,
        polygons=labels.polygons and tuple(tuple(part * gain for part in parts) for parts in labels.polygons),
        keypoints=None if labels.keypoints is None else labels.keypoints * np.array([gain, gain, 1], np.float32),
        corners=None if labels.corners is None else labels.corners * gain,
    )
