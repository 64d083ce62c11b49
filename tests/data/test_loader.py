"""Batches do not depend on who makes them, from where, or how much is cached."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolocore.config import TrainConfig
from yolocore.data import open_dataset
from yolocore.data.loader import Batch, SampleCache, TrainLoader, free_memory
from yolocore.errors import DataError

CONFIG = TrainConfig(imgsz=64, batch=4, epochs=4, close_mosaic=1, workers=0)
IMAGES = 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of several shapes with one object each, which is brighter than its surroundings."""
    root = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for split, count in (("train", IMAGES), ("val", 2)):
        for i in range(count):
            height, width = rng.integers(50, 200, 2)
            picture = np.full((height, width, 3), 40, np.uint8)
            picture[height // 4 : height // 2, width // 4 : width // 2] = 220
            for kind, content in (
                ("images", cv2.imencode(".png", picture)[1].tobytes()),
                ("labels", f"{i % 2} 0.375 0.375 0.25 0.25\n".encode()),
            ):
                path = root / kind / split / f"{i:02}.{'png' if kind == 'images' else 'txt'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    (root / "dataset.yaml").write_text("train: images/train\nval: images/val\nnames: [even, odd]\n")
    return root


@pytest.fixture(scope="module")
def split(folder: Path):
    return open_dataset(folder).split("train")


def batches(split, epoch: int = 0, start: int = 0, **settings) -> list[Batch]:
    with TrainLoader(split, CONFIG.model_copy(update=settings)) as loader:
        return list(loader.epoch(epoch, start))


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(getattr(x, name), getattr(y, name))
        for x, y in zip(a, b, strict=True)
        for name in ("images", "image", "classes", "boxes")
    )


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_batches(split, workers: int) -> None:
    assert equal(batches(split), batches(split, workers=workers))


@pytest.mark.parametrize("start", [1, 2, 3])
def test_an_epoch_goes_on_from_any_batch(split, start: int) -> None:
    assert equal(batches(split, epoch=2)[start:], batches(split, epoch=2, start=start))


def test_every_image_once_and_batches_of_nearly_equal_size(split) -> None:
    sizes = [len(batch.images) for batch in batches(split)]
    assert sum(sizes) == IMAGES
    assert max(sizes) <= CONFIG.batch and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param({"epoch": 0}, {"epoch": 0}, True, id="the same again"),
        pytest.param({"epoch": 0}, {"epoch": 1}, False, id="another epoch"),
        pytest.param({"seed": 0}, {"seed": 1}, False, id="another seed"),
    ],
)
def test_what_randomness_depends_on(split, one: dict, other: dict, same: bool) -> None:
    assert equal(batches(split, **one), batches(split, **other)) is same


def test_the_last_epochs_have_no_mosaic(split) -> None:
    """A mosaic has up to four objects; a letterboxed picture has its own one."""
    assert max(np.bincount(batch.image).max() for batch in batches(split, epoch=0)) > 1
    assert max(np.bincount(batch.image).max() for batch in batches(split, epoch=3)) == 1


def test_boxes_lie_on_their_objects(split) -> None:
    for batch in batches(split, hsv_h=0.0, hsv_s=0.0, hsv_v=0.0):
        assert batch.images.shape[1:] == (64, 64, 3)
        for image, (x1, y1, x2, y2) in zip(batch.image, batch.boxes.round().astype(int), strict=True):
            inside = batch.images[image, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
            assert inside.size == 0 or np.median(inside) > 180


def test_a_cache_without_room_changes_nothing(split, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = batches(split)
    monkeypatch.setattr("yolocore.data.loader.free_memory", lambda: 40_000)
    assert equal(roomy, batches(split, workers=2))


def test_the_cache_keeps_the_recently_used_within_its_limit(split) -> None:
    reads = []

    class Counted:
        names, sizes = split.names, split.sizes

        def image(self, index: int):
            reads.append(index)
            return split.image(index)

        def labels(self, index: int):
            return split.labels(index)

    cache = SampleCache(Counted(), side=32, limit=3 * 32 * 32 * 3)
    for index in (0, 1, 0, 2, 0, 3, 4, 0):
        sample = cache.get(index)
        assert max(sample.image.shape) == 32
        assert sample.size == tuple(split.sizes[index])
    assert reads.count(0) == 1
    assert sum(s.image.nbytes for s in cache._samples.values()) <= 3 * 32 * 32 * 3


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named_and_the_workers_end(split, workers: int) -> None:
    class Broken:
        names, sizes = split.names, split.sizes

        def __len__(self) -> int:
            return len(split)

        def image(self, index: int):
            return bytes(split.image(index))[:100] if index == 5 else split.image(index)

        def labels(self, index: int):
            return split.labels(index)

    with pytest.raises(DataError, match=split.names[5]):
        batches(Broken(), workers=workers)


def test_a_container_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr("yolocore.data.loader.CGROUP", tmp_path)
    assert free_memory() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 10_000_000
