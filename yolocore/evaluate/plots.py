"""Pictures of `Metrics` for people: curves and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from yolocore.draw import colour
from yolocore.evaluate.accuracy import CONFIDENCES, RECALL_POINTS, Accuracy
from yolocore.evaluate.matching import Floats, Indices
from yolocore.evaluate.metrics import PREFIXES, DetectionMetrics, Metrics
from yolocore.evaluate.pictures import draw_predictions

__all__ = ["draw_metrics", "draw_predictions"]

_NAMED_CURVES = 12  # up to so many classes have a coloured curve and a line in the legend
_NUMBERED_CELLS = 30  # up to so many classes the confusion matrix has numbers in its cells


class _Curves(NamedTuple):
    """One figure: curves (k, len(x)), and what the legend states of each class (figures, under the title)."""

    file: str
    x_name: str
    x: Floats
    y_name: str
    curves: Floats
    title: str
    figures: Floats


def draw_metrics(metrics: Metrics, folder: Path) -> list[str]:
    """Write the curves (of detection) and confusion matrices into the folder; returns the names of the files.

    Curves of masks and keypoints have files of their own: mask_pr_curve.png, pose_pr_curve.png and so on.
    """
    files = []
    if isinstance(metrics, DetectionMetrics):
        for kind, accuracy in metrics.accuracies.items():
            for plot in _curves(accuracy, PREFIXES[kind]):
                _draw_curves(metrics.names, accuracy, plot, folder / plot.file)
                files.append(plot.file)
    for file, normalized in (("confusion_matrix.png", False), ("confusion_matrix_normalized.png", True)):
        _draw_confusion(metrics, folder / file, normalized)
        files.append(file)
    return files


def _curves(accuracy: Accuracy, prefix: str) -> list[_Curves]:
    file = f"{prefix}pr_curve.png"
    plots = [_Curves(file, "recall", RECALL_POINTS, "precision", accuracy.pr_curve, "AP50", accuracy.ap[:, 0])]
    for name, curves in (
        ("precision", accuracy.precision_curve),
        ("recall", accuracy.recall_curve),
        ("F1", accuracy.f1_curve),
    ):
        file, title = f"{prefix}{name.lower()}_curve.png", f"{name} at {accuracy.confidence:.2f}"
        plots.append(_Curves(file, "confidence", CONFIDENCES, name, curves, title, curves[:, accuracy.best]))
    return plots


def _draw_curves(names: Sequence[str], accuracy: Accuracy, plot: _Curves, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        axes.grid(color="#ececec")
        for label, curve, value in zip(accuracy.classes.tolist(), plot.curves, plot.figures, strict=True):
            if len(plot.curves) <= _NAMED_CURVES:
                axes.plot(plot.x, curve, color=_hex(label), linewidth=1.3, label=f"{names[label]} {value:.3f}")
            else:
                axes.plot(plot.x, curve, color="#c9ced6", linewidth=0.8)
        if len(plot.curves):
            label = f"mean of {len(plot.curves)} classes {plot.figures.mean():.3f}"
            axes.plot(plot.x, plot.curves.mean(axis=0), color="#1f3a5f", linewidth=3, label=label)
            figure.legend(title=plot.title, loc="outside right upper", frameon=False, alignment="left")
        if plot.x_name == "confidence":
            axes.axvline(accuracy.confidence, color="#888888", linewidth=1, linestyle=":")
        axes.set(xlabel=plot.x_name, ylabel=plot.y_name, xlim=(0, 1), ylim=(0, 1.02))
        figure.savefig(path, dpi=110, metadata={"Software": None})


def _draw_confusion(metrics: Metrics, path: Path, normalized: bool) -> None:
    """normalized: each column as shares of its sum; only classes that were labelled or predicted are shown."""
    from matplotlib.figure import Figure

    rows, columns = ([*metrics.names, beyond] for beyond in ("missed", "nothing there"))
    background = np.arange(len(metrics.names), len(metrics.confusion))  # classify has none
    seen = np.flatnonzero(metrics.confusion.sum(axis=0) + metrics.confusion.sum(axis=1))
    shown: Indices = np.union1d(seen, background)
    matrix = metrics.confusion[np.ix_(shown, shown)].astype(np.float64)
    if normalized:
        matrix = np.divide(matrix, matrix.sum(axis=0), out=np.zeros_like(matrix), where=matrix.sum(axis=0) > 0)
    side = 3 + 0.5 * len(shown) if len(shown) <= _NUMBERED_CELLS else 3 + 0.16 * len(shown)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    # In a noisy detector, finds where nothing is outnumber everything: they don't set the scale.
    top = max(float(matrix[:, shown < len(metrics.names)].max(initial=0)), 1e-9)
    picture = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=top)
    figure.colorbar(picture, ax=axes, shrink=0.7, label="share of the true ones" if normalized else "number")
    if len(shown) <= _NUMBERED_CELLS:
        for (row, column), value in np.ndenumerate(matrix):
            if value:
                ink = "white" if value > 0.6 * top else "black"
                text = f"{value:.2f}" if normalized else f"{value:.0f}"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    small = 9 if len(shown) <= _NUMBERED_CELLS else 6
    axes.set_xticks(range(len(shown)), [columns[i] for i in shown], rotation=90, fontsize=small)
    axes.set_yticks(range(len(shown)), [rows[i] for i in shown], fontsize=small)
    axes.set(xlabel="true", ylabel="predicted")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _hex(label: int) -> str:
    blue, green, red = colour(label)
    return f"#{int(0.8 * red):02x}{int(0.8 * green):02x}{int(0.8 * blue):02x}"
