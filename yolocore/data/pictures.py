"""Pictures of a dataset for people: how its labels are distributed, and a few labelled images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.data.labels import Labels

_TILE = 320
_MOST_CLASSES = 40  # bars that stay readable


def draw_statistics(labels: Sequence[Labels], sizes: npt.NDArray[np.int32], names: Sequence[str], path: Path) -> None:
    """Objects by class, box widths against heights, and where box centres lie, as one PNG.

    sizes: (n, 2) height and width of the image of each `labels`.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    classes = np.concatenate([found.classes for found in labels])
    boxes = np.concatenate([found.boxes for found in labels])
    hw = np.repeat(sizes, [len(found) for found in labels], axis=0)
    width, height = (boxes[:, 2] - boxes[:, 0]) / hw[:, 1], (boxes[:, 3] - boxes[:, 1]) / hw[:, 0]
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 / hw[:, 1], (boxes[:, 1] + boxes[:, 3]) / 2 / hw[:, 0]

    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(13, 4), layout="constrained")
        bars, sides, centres = figure.subplots(1, 3)
        counts = np.bincount(classes, minlength=len(names))
        shown = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
        bars.bar(range(len(shown)), counts[shown], color="#3b6ea5")
        bars.set_xticks(range(len(shown)), [names[i] for i in shown], rotation=90 if len(shown) > 6 else 0)
        bars.set(title=f"{len(boxes)} objects in {len(labels)} images", ylabel="objects")
        for axes, (across, up), title in ((sides, (width, height), "box sizes"), (centres, (x, y), "box centres")):
            axes.hist2d(across, up, bins=50, range=((0, 1), (0, 1)), cmap="viridis", cmin=1)
            axes.set(title=title, aspect="equal", facecolor="#f2f2f2")
        sides.set(xlabel="width / image width", ylabel="height / image height")
        centres.set(xlabel="x / image width", ylabel="y / image height", ylim=(1, 0))
        figure.savefig(path, dpi=100, metadata={"Software": None})


def draw_samples(split: Split, names: Sequence[str], path: Path, count: int = 16) -> None:
    """Evenly chosen images of a split with their boxes, as a mosaic in one JPEG."""
    chosen = np.unique(np.linspace(0, len(split) - 1, count).astype(int))
    tiles = [
        _labelled(decode_image(split.image(index), split.names[index]), split.labels(index), names)
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
    """The image shrunk or enlarged to fit a tile, with its boxes and class names."""
    gain = (_TILE - 4) / max(image.shape[:2])
    tile = np.ascontiguousarray(cv2.resize(image, None, fx=gain, fy=gain, interpolation=cv2.INTER_AREA))
    for category, box in zip(labels.classes.tolist(), (labels.boxes * gain).round().astype(int).tolist(), strict=True):
        colour, name = _colour(category), names[category]
        cv2.rectangle(tile, box[:2], box[2:], colour, 1, cv2.LINE_AA)
        (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, 0.35, 1)
        left, top = min(box[0], tile.shape[1] - width - 2), max(box[1] - height - 4, 0)
        cv2.rectangle(tile, (left, top), (left + width + 2, top + height + 4), colour, -1)
        cv2.putText(tile, name, (left + 1, top + height + 2), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return tile  # type: ignore[return-value]


def _colour(category: int) -> tuple[int, int, int]:
    """Bright BGR, far from the neighbours': hues step by the golden ratio."""
    hue = int(category * 0.618034 * 180) % 180
    b, g, r = cv2.cvtColor(np.array([[[hue, 200, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return b, g, r
