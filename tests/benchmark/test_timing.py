"""Turns and figures."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from yolocore.benchmark.probe import Sample
from yolocore.benchmark.timing import figures, take_turns


class Diary:
    """Stands where a Probe does, and writes down when it was asked for what."""

    def __init__(self, name: str, entries: list[tuple[str, list[int]]]) -> None:
        self._name = name
        self._entries = entries

    def time(self, images: Iterable[int]) -> list[Sample]:
        images = list(images)
        self._entries.append((self._name, images))
        # What comes first in a turn is told apart by its length.
        return [Sample(0, 0, 0, 100.0 if place == 0 else image) for place, image in enumerate(images)]


def test_formats_take_turns_on_the_same_images() -> None:
    entries: list[tuple[str, list[int]]] = []
    probes = {name: Diary(name, entries) for name in ("a", "b")}
    samples = take_turns(probes, images=23, warmup=2)  # type: ignore[arg-type]
    assert [name for name, _ in entries] == ["a", "b"] + ["a", "b"] * 3
    assert [images for name, images in entries if name == "a"] == [images for name, images in entries if name == "b"]
    for measured in samples.values():
        assert [sample.total for sample in measured] == list(range(23)), "each once, and none of a turn's first"


def test_figures_are_in_milliseconds() -> None:
    samples = [Sample(0.001, 0.010 * i, 0.002, 0.010 * i + 0.004) for i in range(1, 102)]
    assert figures(samples) == {
        "p50_ms": pytest.approx(514),
        "p95_ms": pytest.approx(964),
        "p99_ms": pytest.approx(1004),
        "preprocess_ms": pytest.approx(1),
        "inference_ms": pytest.approx(510),
        "postprocess_ms": pytest.approx(2),
        "images_per_second": pytest.approx(1 / 0.514),
    }
