"""Decoded images are kept within a limit, at the size that training needs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.data.cache import SampleCache, free_memory
from yolocore.data.labels import Labels


class Images:
    """A split of noise in these sizes; remembers what was read."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        rng = np.random.default_rng(0)
        self.sizes = np.array(sizes)
        self.names = [str(size) for size in sizes]
        self.reads: list[int] = []
        self._content = [cv2.imencode(".png", rng.integers(0, 256, (*s, 3), np.uint8))[1].tobytes() for s in sizes]

    def image(self, index: int) -> bytes:
        self.reads.append(index)
        return self._content[index]

    def where(self, index: int) -> str:
        return self.names[index]

    def labels(self, index: int) -> Labels:
        return Labels(np.array([index]), np.array([[0, 0, 10, 10]], np.float32))


def test_the_recently_used_stay_within_the_limit() -> None:
    split = Images(*[(60 + i, 90) for i in range(5)])
    cache = SampleCache(split, side=32, limit=3 * 32 * 32 * 3)
    for index in (0, 1, 0, 2, 0, 3, 4, 0):
        sample = cache.get(index)
        assert max(sample.image.shape) == 32
        assert sample.size == tuple(split.sizes[index])
    assert split.reads.count(0) == 1
    assert sum(s.image.nbytes for s in cache._samples.values()) <= 3 * 32 * 32 * 3


@pytest.mark.parametrize(
    ("task", "size", "kept"),
    [
        pytest.param("detect", (40, 60), (40, 60), id="small ones are not enlarged"),
        pytest.param("detect", (100, 200), (32, 64), id="the longer side is the picture's"),
        pytest.param("detect", (64, 640), (6, 64), id="decoded at an eighth, then resized"),
        pytest.param("classify", (100, 200), (100, 200), id="a classifier's crops want more"),
        pytest.param("classify", (640, 1280), (128, 256), id="but not all of a large image"),
    ],
)
def test_the_size_kept(task: str, size: tuple[int, int], kept: tuple[int, int]) -> None:
    sample = SampleCache(Images(size), 64, 1 << 20, task).get(0)
    assert sample.image.shape[:2] == kept and sample.size == size


def test_a_container_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr("yolocore.data.cache.CGROUP", tmp_path)
    assert free_memory() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 10_000_000
