"""Labels must still fit the picture, whatever was done to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.config import TrainConfig
from yolocore.data.augment import Sample, augment, project, random_view, recolour
from yolocore.data.labels import Labels
from yolocore.letterbox import Letterbox

SIDE = 128
STILL = {"scale": 0.0, "translate": 0.0, "fliplr": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0}
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))  # BGR


def marked(size: tuple[int, int], box: tuple[int, int, int, int], number: int = 0, reduced: int = 1) -> Sample:
    """A black image with one coloured rectangle, which is its object, of class `number`."""
    image = np.zeros((size[0] // reduced, size[1] // reduced, 3), np.uint8)
    x1, y1, x2, y2 = (side // reduced for side in box)
    image[y1:y2, x1:x2] = COLOURS[number]
    return Sample(image, size, Labels(np.array([number]), np.array([box], np.float32)))


def extent(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray | None:
    """x1 y1 x2 y2 of the pixels (RGB) that are more of a colour (BGR) than not."""
    mask = (np.abs(picture[..., ::-1].astype(int) - colour) < 128).all(2)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) if len(rows) else None


views = st.sampled_from(
    [
        {},
        {"fliplr": 1.0},
        {"flipud": 1.0, "fliplr": 1.0},
        {"scale": 0.5, "translate": 0.1},
        {"scale": 0.9, "translate": 0.5},
        {"degrees": 180.0},
        {"degrees": 20.0, "shear": 15.0, "scale": 0.3, "translate": 0.2, "fliplr": 0.5},
        {"perspective": 0.001},
        {"perspective": 0.001, "degrees": 45.0, "shear": 10.0, "scale": 0.5, "fliplr": 0.5, "flipud": 0.5},
    ]
)


@settings(deadline=None, max_examples=150)
@given(
    view=views,
    seed=st.integers(0, 2**32),
    mosaic=st.booleans(),
    reduced=st.sampled_from([1, 2]),
    boxes=st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(8, 30), st.integers(8, 20)),
        min_size=4,
        max_size=4,
    ),
)
def test_labels_still_fit(view: dict, seed: int, mosaic: bool, reduced: int, boxes: list) -> None:
    sizes = [(100, 120), (120, 104), (84, 128), (200, 160)]
    corners = [tuple(2 * side for side in (x, y, x + w, y + h)) for x, y, w, h in boxes]
    samples = [marked(sizes[i], corners[i], i, reduced) for i in range(4 if mosaic else 1)]
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    classes, found = augment(samples, out, TrainConfig(**{**STILL, **view}), np.random.default_rng(seed))
    for category, box in zip(classes, found, strict=True):
        seen = extent(out, COLOURS[category])
        # Pixels are counted when half covered; the thin tip of a slanted corner is lost besides.
        slanted = bool(view.keys() & {"degrees", "shear", "perspective"})
        shorter = float((box[2:] - box[:2]).min())
        if seen is None:
            assert shorter < 5
            continue
        assert (seen[:2] >= box[:2] - 1.5 - slanted).all() and (seen[2:] <= box[2:] + 1.5 + slanted).all()
        if (box[:2] > 1).all() and (box[2:] < SIDE - 1).all():
            assert np.abs(seen - box).max() <= 1.5 + slanted * (1 + 0.12 * reduced * shorter)


def test_without_augmentation_the_picture_is_the_letterbox() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 150, 3), dtype=np.uint8)
    sample = Sample(image, (90, 150), Labels(np.array([1]), np.array([[15, 9, 60, 45]], np.float32)))
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    classes, boxes = augment([sample], out, TrainConfig(**STILL), rng)
    letterbox = Letterbox.fit((90, 150), (SIDE, SIDE))
    assert np.array_equal(out[..., ::-1], letterbox.apply(image))
    assert classes.tolist() == [1]
    assert np.allclose(letterbox.restore(boxes), [[15, 9, 60, 45]], atol=0.4)


def test_the_tiles_of_a_mosaic_meet_without_a_gap() -> None:
    """Four white squares around the centre: no grey is left where they meet."""
    nothing = Labels(np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    white = Sample(np.full((64, 64, 3), 255, np.uint8), (64, 64), nothing)
    for seed in range(20):
        out = np.empty((64, 64, 3), np.uint8)
        augment([white] * 4, out, TrainConfig(**{**STILL, "scale": 0.3}), np.random.default_rng(seed))
        rows, columns = np.flatnonzero((out == 255).any((1, 2))), np.flatnonzero((out == 255).any((0, 2)))
        covered = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (covered == 255).all()


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        pytest.param((20, 20, 60, 60), True, id="whole"),
        pytest.param((20, 20, 21, 60), False, id="thinner than two pixels"),
        pytest.param((0, 20, 128, 23), True, id="long, but not too long"),
        pytest.param((-60, 20, 20, 60), True, id="a quarter visible"),
        pytest.param((-60, 20, 5, 60), False, id="less than a tenth visible"),
        pytest.param((130, 20, 160, 60), False, id="outside"),
    ],
)
def test_what_is_no_longer_recognisable_is_no_label(box: tuple, kept: bool) -> None:
    labels = Labels(np.array([0]), np.array([box], np.float32))
    sample = Sample(np.zeros((SIDE, SIDE, 3), np.uint8), (SIDE, SIDE), labels)
    _, boxes = augment([sample], np.empty((SIDE, SIDE, 3), np.uint8), TrainConfig(**STILL), np.random.default_rng(0))
    assert (len(boxes) == 1) is kept
    assert (boxes >= 0).all() and (boxes <= SIDE).all()


def test_the_horizon_of_a_perspective_stays_outside_the_canvas() -> None:
    config = TrainConfig(perspective=0.001)
    reach = np.array([[[-0.25, -0.25], [1.25, -0.25], [1.25, 1.25], [-0.25, 1.25]]]) * 8192
    for seed in range(50):
        view = random_view(config, 8192, 4096, np.random.default_rng(seed))
        assert (reach[0] @ view[2, :2] + view[2, 2] > 0).all()
        assert np.isfinite(project(reach, view[None])).all()


@pytest.mark.parametrize(
    ("gains", "allowed"),
    [
        pytest.param({"hsv_h": 0.5}, "value", id="hue leaves brightness"),
        pytest.param({"hsv_v": 0.5}, "hue", id="brightness leaves hue"),
        pytest.param({}, "all", id="nothing changes nothing"),
    ],
)
def test_recolour(gains: dict, allowed: str) -> None:
    image = np.array([[[200, 40, 40], [40, 200, 40], [10, 60, 120], [90, 90, 90]]], np.uint8)
    for seed in range(10):
        out = image.copy()
        recolour(out, TrainConfig(**{**STILL, **gains}), np.random.default_rng(seed))
        before, after = image[..., ::-1].astype(int), out.astype(int)  # both RGB
        if allowed == "all":
            assert np.array_equal(before, after)
        elif allowed == "value":
            assert np.abs(before.max(2) - after.max(2)).max() <= 1
        else:
            assert np.array_equal(before.argmax(2), after.argmax(2))


def test_equal_randomness_gives_equal_pictures() -> None:
    samples = [marked((100, 120), (10, 10, 60, 60), i) for i in range(4)]
    first, second = np.empty((2, SIDE, SIDE, 3), np.uint8)
    for out in (first, second):
        augment(samples, out, TrainConfig(), np.random.default_rng(7))
    assert np.array_equal(first, second)
