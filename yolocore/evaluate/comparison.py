"""Challenger and champion on the same images: what one has more than the other, class by class, and how sure that is.

For people: a table in Markdown, and a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from yolocore.evaluate.bootstrap import Gains, interval
from yolocore.evaluate.metrics import DetectionMetrics

Figures = Mapping[str, Mapping[str, float]]

_SHOWN = 24  # classes in the picture, those that have lost most
_DARK, _LOST, _LIMIT = "#1f4e79", "#c0504d", "#c07a1e"


@dataclass(frozen=True, eq=False)
class Comparison:
    """challenger, champion: of the same split. gains: their resamples. confidence: share of these in an interval."""

    challenger: DetectionMetrics
    champion: DetectionMetrics
    gains: Gains
    confidence: float

    def summary(self) -> dict[str, float]:
        """map50_95 and map50 of both, and the gain of mAP50-95 with its interval."""
        low, high = interval(self.gains.map50_95, self.confidence).tolist()
        return {
            "map50_95": self.challenger.map50_95,
            "map50": self.challenger.map50,
            "champion_map50_95": self.champion.map50_95,
            "champion_map50": self.champion.map50,
            "gain": self.challenger.map50_95 - self.champion.map50_95,
            "gain_low": low,
            "gain_high": high,
        }

    def per_class(self) -> dict[str, dict[str, float]]:
        """The same of each class that has objects, by its name, with their number."""
        low, high = interval(self.gains.ap50_95, self.confidence)
        ours, theirs = self.challenger.per_class(), self.champion.per_class()
        return {
            self.challenger.names[label]: {
                "objects": ours[self.challenger.names[label]]["objects"],
                "map50_95": (mine := ours[self.challenger.names[label]]["map50_95"]),
                "champion_map50_95": (other := theirs[self.champion.names[label]]["map50_95"]),
                "gain": mine - other,
                "gain_low": float(low[row]),
                "gain_high": float(high[row]),
            }
            for row, label in enumerate(self.challenger.classes.tolist())
        }


def markdown_table(figures: Figures) -> str:
    """A line a class, or for all of them. figures: as `per_class` gives them, or of a challenger alone."""
    columns = {  # figure: heading, format
        "objects": ("objects", "{:.0f}"),
        "map50_95": ("mAP50-95", "{:.4f}"),
        "champion_map50_95": ("champion's", "{:.4f}"),
        "gain": ("gain", "{:+.4f}"),
        "gain_low": ("at least", "{:+.4f}"),
        "gain_high": ("at most", "{:+.4f}"),
    }
    shown = [name for name in columns if any(name in row for row in figures.values())]
    lines = [["", *(columns[name][0] for name in shown)], ["---", *["---:"] * len(shown)]]
    for label, row in figures.items():
        lines.append([label, *(columns[name][1].format(row[name]) if name in row else "" for name in shown)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw_comparison(comparison: Comparison, limit: float, path: Path) -> None:
    """Where the resamples' gains lie, with their interval and the limit, and the gain of each class: one PNG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    total = comparison.summary()
    classes = sorted(comparison.per_class().items(), key=lambda each: each[1]["gain"])[:_SHOWN]
    gains = comparison.gains.map50_95
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, max(3.6, 0.25 * len(classes) + 1.4)), layout="constrained")
        spread, each = figure.subplots(1, 2)
        # Of two equal models all resamples are the same, and a histogram needs a width.
        spread.hist(gains, bins=30, range=(gains.min() - 1e-5, gains.max() + 1e-5), color=_DARK, alpha=0.75)
        spread.axvspan(total["gain_low"], total["gain_high"], color=_DARK, alpha=0.12)
        spread.axvline(total["gain"], color=_DARK, linewidth=2, label=f"gain {total['gain']:+.4f}")
        spread.axvline(limit, color=_LIMIT, linestyle="--", label=f"limit {limit:+.4f}")
        spread.axvline(0, color="#888888", linewidth=1, linestyle=":")
        share = f"{100 * comparison.confidence:g} %: {total['gain_low']:+.4f} to {total['gain_high']:+.4f}"
        spread.set(title=share, xlabel=f"gain of mAP50-95 in {len(gains)} resamples", yticks=[])
        spread.legend(frameon=False, loc="upper left")

        places = range(len(classes))
        values = [row["gain"] for _, row in classes]
        each.barh(places, values, 0.6, color=[_DARK if value >= 0 else _LOST for value in values])
        each.hlines(
            places,
            [row["gain_low"] for _, row in classes],
            [row["gain_high"] for _, row in classes],
            color="#333333",
            linewidth=1,
        )
        each.set_yticks(places, [f"{name} ({row['objects']:.0f})" for name, row in classes])
        each.invert_yaxis()
        each.axvline(0, color="#888888", linewidth=1)
        each.set(title="by class (objects), the largest loss first", xlabel="gain of AP50-95")
        figure.savefig(path, dpi=100, metadata={"Software": None})
