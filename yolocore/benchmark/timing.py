"""Rounds in which all formats take turns, and the figures that come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from yolocore.benchmark.probe import Probe, Sample
from yolocore.progress import SILENT, Listener

_ROUND = 10  # images that a format is timed on before the next one has its turn
_PERCENTILES = (50, 95, 99)


def take_turns(
    probes: Mapping[str, Probe], images: int, warmup: int, listener: Listener = SILENT
) -> dict[str, list[Sample]]:
    """Time each format on the same first `images` images, in rounds, after `warmup` images."""
    samples: dict[str, list[Sample]] = {name: [] for name in probes}
    listener.start("time", images * len(probes))
    for probe in probes.values():
        probe.time(range(warmup))
    for start in range(0, images, _ROUND):
        chosen = range(start, min(start + _ROUND, images))
        for name, probe in probes.items():
            # The first image of a turn finds caches full of another format's data and threads asleep.
            samples[name] += probe.time([start, *chosen])[1:]
            listener.advance(len(chosen), **{f"{name}_ms": 1000 * samples[name][-1].total})
    return samples


def figures(samples: Sequence[Sample]) -> dict[str, float]:
    """Milliseconds per image (percentiles of the whole, medians of the stages), and images per second."""
    seconds = np.array(samples)
    totals = seconds[:, -1]
    percentiles = {f"p{p}_ms": float(np.percentile(totals, p) * 1000) for p in _PERCENTILES}
    stages = {
        f"{stage}_ms": float(np.median(column) * 1000)
        for stage, column in zip(Sample._fields[:-1], seconds.T[:-1], strict=True)
    }
    return {**percentiles, **stages, "images_per_second": float(1 / totals.mean())}
