"""Pictures of `DetectionMetrics` for people: curves, the confusion matrix, labels beside predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from yolocore.data.dataset import Split
from yolocore.data.images import decode_image
from yolocore.detections import Detections
from yolocore.draw import Image, colour, draw_box
from yolocore.evaluate.matching import Floats, Indices
from yolocore.evaluate.metrics import CONFIDENCES, CONFUSION_CONF, RECALL_POINTS, DetectionMetrics

_NAMED_CURVES = 12  # up to so many classes have a coloured curve and a line in the legend
_NUMBERED_CELLS = 30  # up to so many classes the confusion matrix has numbers in its cells
_TILE = 400  # longer side in pixels of a picture among the predictions
_HEADER = 22  # pixels of a picture's title


class _Curves(NamedTuple):
    """One figure: curves (k, len(x)), and what the legend states of each class (figures, under the title)."""

    file: str
    x_name: str
    x: Floats
    y_name: str
    curves: Floats
    title: str
    figures: Floats


def draw_metrics(metrics: DetectionMetrics, folder: Path) -> list[str]:
    """Write the curves and confusion matrices into the folder; returns the names of the files."""
    best, at_best = metrics.best, f"at {metrics.confidence:.2f}"
    plots = [_Curves("pr_curve.png", "recall", RECALL_POINTS, "precision", metrics.pr_curve, "AP50", metrics.ap[:, 0])]
    for name, curves in (
        ("precision", metrics.precision_curve),
        ("recall", metrics.recall_curve),
        ("F1", metrics.f1_curve),
    ):
        title = f"{name} {at_best}"
        file = f"{name.lower()}_curve.png"
        plots.append(_Curves(file, "confidence", CONFIDENCES, name, curves, title, curves[:, best]))
    for plot in plots:
        _draw_curves(metrics, plot, folder / plot.file)
    matrices = {"confusion_matrix.png": False, "confusion_matrix_normalized.png": True}
    for file, normalized in matrices.items():
        _draw_confusion(metrics, folder / file, normalized)
    return [*(plot.file for plot in plots), *matrices]


def draw_predictions(
    split: Split, found: Sequence[Detections], names: Sequence[str], path: Path, count: int = 8
) -> None:
    """Evenly chosen images of a split, each with its labels on the left and what was found on the right.

    found: the detections of every image of the split; those above 0.25 are shown. path: a JPEG or PNG file.
    """
    pairs = []
    for index in np.unique(np.linspace(0, len(split) - 1, count).astype(int)).tolist():
        image, labels = decode_image(split.image(index), split.names[index]), split.labels(index)
        sure = found[index][found[index].scores > CONFUSION_CONF]
        truth = [names[label] for label in labels.classes]
        guesses = [f"{names[label]} {score:.2f}" for label, score in zip(sure.classes, sure.scores, strict=True)]
        left = _tile(image, labels.boxes, labels.classes, truth, f"{split.names[index]}: {len(labels)} labelled")
        right = _tile(image, sure.boxes, sure.classes, guesses, f"{len(sure)} found")
        pairs.append(np.concatenate([left, right], axis=1))
    if len(pairs) % 2:
        pairs.append(pairs[0][:0])
    rows = []
    for start in range(0, len(pairs), 2):
        height = max(map(len, pairs[start : start + 2]))
        rows.append(np.concatenate([_heightened(pair, height) for pair in pairs[start : start + 2]], axis=1))
    path.write_bytes(cv2.imencode(path.suffix, np.concatenate(rows))[1].tobytes())


def _draw_curves(metrics: DetectionMetrics, plot: _Curves, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        axes.grid(color="#ececec")
        for label, curve, value in zip(metrics.classes.tolist(), plot.curves, plot.figures, strict=True):
            if len(plot.curves) <= _NAMED_CURVES:
                axes.plot(plot.x, curve, color=_hex(label), linewidth=1.3, label=f"{metrics.names[label]} {value:.3f}")
            else:
                axes.plot(plot.x, curve, color="#c9ced6", linewidth=0.8)
        if len(plot.curves):
            label = f"mean of {len(plot.curves)} classes {plot.figures.mean():.3f}"
            axes.plot(plot.x, plot.curves.mean(axis=0), color="#1f3a5f", linewidth=3, label=label)
            figure.legend(title=plot.title, loc="outside right upper", frameon=False, alignment="left")
        if plot.x_name == "confidence":
            axes.axvline(metrics.confidence, color="#888888", linewidth=1, linestyle=":")
        axes.set(xlabel=plot.x_name, ylabel=plot.y_name, xlim=(0, 1), ylim=(0, 1.02))
        figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_confusion(metrics: DetectionMetrics, path: Path, normalized: bool) -> None:
    """normalized: each column as shares of its sum; only classes that were labelled or predicted are shown."""
    from matplotlib.figure import Figure

    background = len(metrics.names)
    seen = np.flatnonzero(metrics.confusion.sum(axis=0) + metrics.confusion.sum(axis=1))
    shown: Indices = np.union1d(seen, [background])
    matrix = metrics.confusion[np.ix_(shown, shown)].astype(np.float64)
    if normalized:
        matrix = np.divide(matrix, matrix.sum(axis=0), out=np.zeros_like(matrix), where=matrix.sum(axis=0) > 0)
    names = [metrics.names[i] for i in shown[:-1]]
    side = 3 + 0.5 * len(shown) if len(shown) <= _NUMBERED_CELLS else 3 + 0.16 * len(shown)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    # In a noisy detector, finds where nothing is outnumber everything: they don't set the scale.
    top = max(float(matrix[:, :-1].max(initial=0)), 1e-9)
    picture = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=top)
    figure.colorbar(picture, ax=axes, shrink=0.7, label="share of the true objects" if normalized else "objects")
    if len(shown) <= _NUMBERED_CELLS:
        for (row, column), value in np.ndenumerate(matrix):
            if value:
                ink = "white" if value > 0.6 * top else "black"
                text = f"{value:.2f}" if normalized else f"{value:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    small = 9 if len(shown) <= _NUMBERED_CELLS else 6
    axes.set_xticks(range(len(shown)), [*names, "nothing there"], rotation=90, fontsize=small)
    axes.set_yticks(range(len(shown)), [*names, "missed"], fontsize=small)
    axes.set(xlabel="true", ylabel="predicted")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _tile(image: Image, boxes: npt.NDArray[np.float32], classes: Indices, captions: Sequence[str], title: str) -> Image:
    """The image resized to a tile, with its boxes, a white margin and a title above."""
    gain = (_TILE - 8) / max(image.shape[:2])
    size = (max(round(image.shape[1] * gain), 1), max(round(image.shape[0] * gain), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # The best come last, so that their captions stay readable.
    for box, label, caption in list(zip(boxes * gain, classes.tolist(), captions, strict=True))[::-1]:
        draw_box(small, box, caption, colour(label))
    tile = np.full((small.shape[0] + _HEADER + 8, _TILE, 3), 255, np.uint8)
    tile[_HEADER : _HEADER + small.shape[0], 4 : 4 + small.shape[1]] = small
    cv2.putText(tile, title, (6, _HEADER - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    return tile


def _heightened(picture: Image, height: int) -> Image:
    """The picture with white rows below, up to the height."""
    return np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=255)


def _hex(label: int) -> str:
    blue, green, red = colour(label)
    return f"#{int(0.8 * red):02x}{int(0.8 * green):02x}{int(0.8 * blue):02x}"
