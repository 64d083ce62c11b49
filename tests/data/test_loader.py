"""Batches do not depend on who makes them, from where, or how much is cached."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.data.plain import PLAIN
from yolocore.config import TrainConfig
from yolocore.data import open_dataset
from yolocore.data.labels import Labels
from yolocore.data.legend import UNKNOWN
from yolocore.data.loader import Batch, ObjectTable, TrainLoader
from yolocore.errors import DataError

TASKS = ("detect", "segment", "pose", "obb", "classify")
COLUMNS = {"detect": None, "segment": "masks", "pose": "keypoints", "obb": "rotated", "classify": None}
FLIP = (1, 0)
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


class Whole:
    """A split whose objects have labels of all kinds: an outline, corners, and keypoints at its left and right."""

    def __init__(self, split) -> None:
        self._split = split
        self.names, self.sizes = split.names, split.sizes

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int):
        return self._split.image(index)

    def where(self, index: int) -> str:
        return self._split.where(index)

    def labels(self, index: int) -> Labels:
        plain = self._split.labels(index)
        corners = plain.boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
        spots = np.stack((corners[:, [0, 2]].mean(1), corners[:, [1, 3]].mean(1)), 1)
        keypoints = np.concatenate((spots, np.full((len(plain), 2, 1), 2)), 2).astype(np.float32)
        return Labels(plain.classes, plain.boxes, tuple((each,) for each in corners), keypoints, corners)


@pytest.fixture(scope="module")
def split(folder: Path):
    return Whole(open_dataset(folder).split("train"))


def batches(
    split, epoch: int = 0, start: int = 0, task: str = "detect", share=(0, 1), flip=FLIP, **settings
) -> list[Batch]:
    with TrainLoader(split, CONFIG.model_copy(update=settings), task, flip, share) as loader:
        return list(loader.epoch(epoch, start))


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(one, other)
        for x, y in zip(a, b, strict=True)
        for one, other in zip(columns(x), columns(y), strict=True)
        if one is not None or other is not None
    )


def columns(batch: Batch) -> list[np.ndarray | None]:
    return [batch.images, *(getattr(batch.objects, field.name) for field in fields(ObjectTable))]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_workers_gives_the_same_batches(split, workers: int) -> None:
    assert equal(batches(split), batches(split, workers=workers))


@pytest.mark.parametrize("start", [1, 2, 3])
def test_an_epoch_goes_on_from_any_batch(split, start: int) -> None:
    assert equal(batches(split, epoch=2)[start:], batches(split, epoch=2, start=start))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"mixup": 0.5, "degrees": 10.0}, id="mixup"),
        pytest.param({"copy_paste": 0.5, "flipud": 0.5}, id="copy-paste"),
        pytest.param({"rect": True, "multi_scale": 0.5}, id="rectangles of several scales"),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_all_of_it_for_every_task(split, task: str, settings: dict) -> None:
    """Workers, restarts and shares change nothing, and a batch is what its description says."""
    whole = batches(split, task=task, **settings)
    assert equal(whole, batches(split, task=task, workers=2, **settings))
    assert equal(whole[1:], batches(split, task=task, start=1, **settings))
    shares = [batches(split, task=task, share=(rank, 2), workers=rank, **settings) for rank in range(2)]
    assert equal(whole, [joined(*parts) for parts in zip(*shares, strict=True)])
    for batch in whole:
        (pictures, height, width, channels), objects = batch.images.shape, batch.objects
        assert channels == 3 and height % 32 == width % 32 == 0
        n = len(objects.image)
        assert (np.diff(objects.image) >= 0).all() and objects.image.max(initial=0) < pictures
        assert objects.classes.shape == (n,) and objects.classes.dtype == objects.image.dtype == np.int64
        assert objects.boxes.shape == (n, 4) and objects.boxes.dtype == np.float32
        assert (objects.boxes >= 0).all() and (objects.boxes <= np.array([width, height] * 2) + 1e-4).all()
        given = {name for name in ("masks", "keypoints", "rotated") if getattr(objects, name) is not None}
        assert given == {COLUMNS[task]} - {None}
        if task == "segment":
            assert objects.masks.shape == (pictures, height // 4, width // 4) and objects.masks.dtype == np.int16
            rows = np.bincount(objects.image, minlength=pictures)
            assert (objects.masks.reshape(pictures, -1).max(1) <= rows).all() and (objects.masks >= 0).all()
        elif task == "pose":
            assert objects.keypoints.shape == (n, 2, 3) and objects.keypoints.dtype == np.float32
        elif task == "obb":
            assert objects.rotated.shape == (n, 5) and objects.rotated.dtype == np.float32
        elif task == "classify":
            assert np.array_equal(objects.image, np.arange(pictures))
            assert (objects.boxes == [0, 0, width, height]).all()


@pytest.mark.parametrize(
    ("task", "flip", "mirrored"),
    [
        pytest.param("pose", (UNKNOWN, UNKNOWN), False, id="unknown"),
        pytest.param("pose", (0, 1), True, id="each stays"),
        pytest.param("pose", FLIP, True, id="two change places"),
        pytest.param("detect", (UNKNOWN, UNKNOWN), True, id="no keypoints wanted"),
    ],
)
@pytest.mark.parametrize("turn", ["fliplr", "flipud"])
def test_keypoints_are_mirrored_where_it_is_known_which_change_places(split, task, flip, mirrored, turn) -> None:
    still, moving = ({"fliplr": 0.0, "flipud": 0.0} | chosen for chosen in ({}, {turn: 1.0}))
    same = equal(*(batches(split, task=task, flip=flip, **settings) for settings in (still, moving)))
    assert same is not mirrored


@pytest.mark.parametrize("crop", [0.5, 1.0])
def test_a_classifier_sees_squares_of_wide_images_too(crop: float) -> None:
    """Whether batches are rectangles or not: every pixel is of the image, and nothing is left of the memory before."""
    wide = Wide()

    def memory(shape: tuple[int, ...], dtype: type[np.uint8]) -> np.ndarray:
        return np.full(shape, 255, dtype)

    settings = {**PLAIN, "crop": crop, "imgsz": 64, "batch": 2, "workers": 0, "rect": True}
    with TrainLoader(wide, TrainConfig(**settings), "classify", empty=memory) as loader:
        (batch,) = loader.epoch(0)
    assert batch.images.shape == (2, 64, 64, 3)
    assert np.abs(batch.images.astype(int) - (90, 60, 30)).max() <= 1
    assert equal([batch], batches(wide, task="classify", **{**settings, "rect": False}))


class Wide:
    """A split of two wide images of one colour."""

    names, sizes = ("a.png", "b.png"), np.array([(48, 140)] * 2)

    def __len__(self) -> int:
        return 2

    def image(self, index: int) -> bytes:
        return cv2.imencode(".png", np.full((48, 140, 3), (30, 60, 90), np.uint8))[1].tobytes()

    def where(self, index: int) -> str:
        return self.names[index]

    def labels(self, index: int) -> Labels:
        return Labels(np.array([0]), np.array([[0, 0, 140, 48]], np.float32))


def joined(a: Batch, b: Batch) -> Batch:
    """The batch of which two processes have a share each."""
    both = {
        field.name: None
        if getattr(a.objects, field.name) is None
        else np.concatenate([getattr(a.objects, field.name), getattr(b.objects, field.name)])
        for field in fields(ObjectTable)
    }
    both["image"] = np.concatenate([a.objects.image, b.objects.image + len(a.images)])
    return Batch(np.concatenate([a.images, b.images]), ObjectTable(**both))


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
    assert max(np.bincount(batch.objects.image).max() for batch in batches(split, epoch=0)) > 1
    assert max(np.bincount(batch.objects.image).max() for batch in batches(split, epoch=3)) == 1


def test_boxes_lie_on_their_objects(split) -> None:
    for batch in batches(split, hsv_h=0.0, hsv_s=0.0, hsv_v=0.0):
        assert batch.images.shape[1:] == (64, 64, 3)
        for image, (x1, y1, x2, y2) in zip(batch.objects.image, batch.objects.boxes.round().astype(int), strict=True):
            inside = batch.images[image, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1]
            assert inside.size == 0 or np.median(inside) > 180


def test_a_cache_without_room_changes_nothing(split, monkeypatch: pytest.MonkeyPatch) -> None:
    roomy = batches(split)
    monkeypatch.setattr("yolocore.data.loader.free_memory", lambda: 40_000)
    assert equal(roomy, batches(split, workers=2))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_image_is_named_and_the_workers_end(split, workers: int) -> None:
    class Broken:
        names, sizes = split.names, split.sizes

        def __len__(self) -> int:
            return len(split)

        def image(self, index: int):
            return bytes(split.image(index))[:100] if index == 5 else split.image(index)

        def where(self, index: int) -> str:
            return split.where(index)

        def labels(self, index: int):
            return split.labels(index)

    with pytest.raises(DataError, match=rf"/images/train/{split.names[5]}: "):
        batches(Broken(), workers=workers)
