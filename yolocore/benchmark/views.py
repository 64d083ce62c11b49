"""The comparison as people read it: a table for the terminal, for documents and for sheets, and a picture.

All take the figures of each format by name, in the order of the table's lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

Figures = Mapping[str, Mapping[str, float]]

_ACCURACY = {  # figure: heading; each task has some of them, and its first one is what the picture shows
    "map50_95": "mAP50-95",
    "map50": "mAP50",
    "mask_map50_95": "mask mAP50-95",
    "pose_map50_95": "pose mAP50-95",
    "top1": "top-1",
    "top5": "top-5",
}
_COLUMNS = {  # figure: heading, decimals
    "megabytes": ("size MB", 1),
    **{figure: (heading, 4) for figure, heading in _ACCURACY.items()},
    "p50_ms": ("p50 ms", 1),
    "p95_ms": ("p95 ms", 1),
    "p99_ms": ("p99 ms", 1),
    "preprocess_ms": ("pre ms", 1),
    "inference_ms": ("inference ms", 1),
    "postprocess_ms": ("post ms", 1),
    "images_per_second": ("images/s", 1),
    "memory_mb": ("memory MB", 0),
}
_LIGHT, _DARK, _WARM = "#9bbbd9", "#1f4e79", "#e0a458"
_STAGES = {  # figure: legend, color
    "preprocess_ms": ("letterbox", _LIGHT),
    "inference_ms": ("network", _DARK),
    "postprocess_ms": ("suppression", _WARM),
}


def accuracy_figures(summary: Mapping[str, float]) -> dict[str, float]:
    """Those of a task's figures (`Metrics.summary`) by which formats are compared."""
    return {name: summary[name] for name in _ACCURACY if name in summary}


def _columns(formats: Figures) -> list[str]:
    """The figures that these formats have, in the table's order."""
    return [name for name in _COLUMNS if all(name in figures for figures in formats.values())]


def _cells(formats: Figures) -> list[list[str]]:
    """Headings, then a line of text for each format."""
    columns = {name: _COLUMNS[name] for name in _columns(formats)}
    lines = [["format", *(heading for heading, _ in columns.values())]]
    for name, figures in formats.items():
        lines.append([name, *(f"{figures[column]:.{decimals}f}" for column, (_, decimals) in columns.items())])
    return lines


def terminal_table(formats: Figures) -> str:
    from rich.console import Console
    from rich.table import Table

    headings, *lines = _cells(formats)
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "format" else "right", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    console = Console(file=io.StringIO(), width=160)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def markdown_table(formats: Figures) -> str:
    headings, *lines = _cells(formats)
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (headings, rule, *lines))


def csv_table(formats: Figures) -> str:
    """With all digits, and columns named as in the record."""
    text = io.StringIO()
    writer = csv.DictWriter(text, ["format", *_columns(formats)], lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows({"format": name, **figures} for name, figures in formats.items())
    return text.getvalue()


def draw(formats: Figures, title: str, path: Path) -> None:
    """Accuracy against speed, where the time goes, and what disk and memory hold: one PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(formats)
    accuracy = next(name for name in _ACCURACY if name in formats[names[0]])
    colors = [mpl.colormaps["tab10"](i) for i in range(len(names))]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13, 3.6), layout="tight")
        figure.suptitle(title)
        trade, time, space = figure.subplots(1, 3)

        for (name, figures), color in zip(formats.items(), colors, strict=True):
            x, y = figures["p50_ms"], 100 * figures[accuracy]
            trade.plot([x, figures["p95_ms"]], [y, y], color=color, linewidth=2, alpha=0.4)
            trade.plot(x, y, "o", markersize=9, color=color, label=name)
        # A point more on either side, so that a difference of nothing does not fill the picture.
        accuracies = [100 * figures[accuracy] for figures in formats.values()]
        trade.set(xlim=(0, 1.1 * max(figures["p95_ms"] for figures in formats.values())))
        trade.set(ylim=(min(accuracies) - 1, max(accuracies) + 1))
        trade.grid(color="#ececec")
        trade.set(
            title="up and to the left is better", xlabel="ms per image: p50 to p95", ylabel=f"{_ACCURACY[accuracy]}, %"
        )

        # Beside the points the names would lie on each other: formats of one model are equally accurate.
        trade.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(names), frameon=False)

        ends = [0.0] * len(names)
        for stage, (label, shade) in _STAGES.items():
            lengths = [figures[stage] for figures in formats.values()]
            time.barh(names, lengths, 0.6, left=ends, color=shade, label=label)
            ends = [end + length for end, length in zip(ends, lengths, strict=True)]
        time.invert_yaxis()
        time.set(title="where the time goes", xlabel="ms per image, median")
        time.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=len(_STAGES), frameon=False)

        for column, label, shade, offset in (("megabytes", "file", _DARK, -0.2), ("memory_mb", "memory", _LIGHT, 0.2)):
            values = [figures[column] for figures in formats.values()]
            bars = space.barh([i + offset for i in range(len(names))], values, 0.38, color=shade, label=label)
            space.bar_label(bars, fmt="%.3g", padding=3)
        space.set_yticks(range(len(names)), names)
        space.invert_yaxis()
        space.set(title="what disk and memory hold", xlabel="MB")
        space.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
        figure.savefig(path, dpi=100, metadata={"Software": None})
