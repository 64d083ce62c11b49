"""Labels must still fit the picture, whatever was done to it, for every task."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.painted import COLOURS, DOTS, SPOTS, extent, painted, showing
from tests.data.plain import PLAIN
from yolocore.config import TrainConfig
from yolocore.data.augment import Sample, augment, without_composition, without_mirrors
from yolocore.data.labels import Labels
from yolocore.data.objects import MASK_STRIDE, Objects
from yolocore.letterbox import Letterbox
from yolocore.masks import rasterize
from yolocore.rotated import from_corners, to_corners

SIDE = 128
FINER = 16  # parts of a pixel in which bounds are compared: tips are thinner than one
STILL = {"scale": 0.0, "translate": 0.0, "fliplr": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0}
SLANTING = {"degrees", "shear", "perspective"}
FLIP = (1, 0, 2)  # the first two keypoints are a left and a right one

views = st.sampled_from(
    [
        {},
        {"fliplr": 1.0},
        {"flipud": 1.0},
        {"flipud": 1.0, "fliplr": 1.0},
        {"scale": 0.5, "translate": 0.1},
        {"scale": 0.9, "translate": 0.5},
        {"degrees": 180.0},
        {"degrees": 20.0, "shear": 15.0, "scale": 0.3, "translate": 0.2, "fliplr": 0.5},
        {"perspective": 0.001},
        {"perspective": 0.001, "degrees": 45.0, "shear": 10.0, "scale": 0.5, "fliplr": 0.5, "flipud": 0.5},
    ]
)
cases = given(
    view=views,
    seed=st.integers(0, 2**32),
    mosaic=st.booleans(),
    reduced=st.sampled_from([1, 2]),
    shape=st.sampled_from([(SIDE, SIDE), (96, SIDE), (SIDE, 64)]),
    boxes=st.lists(
        st.tuples(st.integers(5, 20), st.integers(5, 20), st.integers(16, 28), st.integers(16, 20)),
        min_size=4,
        max_size=4,
    ),
)


def made(task: str, view: dict, seed: int, mosaic: bool, reduced: int, shape: tuple, boxes: list):
    """A picture of one or four samples, and its objects."""
    sizes = [(100, 120), (120, 104), (84, 128), (200, 160)]
    rng = np.random.default_rng(seed)
    corners = [tuple(2 * side for side in (x, y, x + w, y + h)) for x, y, w, h in boxes]
    samples = [
        painted(task, sizes[i], corners[i], i, reduced, rng.uniform(-0.3, 0.3)) for i in range(4 if mosaic else 1)
    ]
    out = np.empty((*shape, 3), np.uint8)
    config = TrainConfig(**{**STILL, **view})
    return out, augment([samples], out, config, rng, FLIP)


@settings(deadline=None, max_examples=60)
@cases
def test_boxes_fit(**case) -> None:
    out, objects = made("detect", **case)
    height, width = case["shape"]
    for category, box in zip(objects.classes, objects.boxes, strict=True):
        seen = extent(showing(out, COLOURS[category]))
        # Pixels are counted when half covered; the thin tip of a slanted corner is lost besides.
        slanted = bool(case["view"].keys() & SLANTING)
        shorter = float((box[2:] - box[:2]).min())
        if seen is None:
            assert shorter < 5
            continue
        assert (seen[:2] >= box[:2] - 1.5 - slanted).all() and (seen[2:] <= box[2:] + 1.5 + slanted).all()
        if (box[:2] > 1).all() and (box[2:] < (width - 1, height - 1)).all():
            assert np.abs(seen - box).max() <= 1.5 + slanted * (1 + 0.12 * case["reduced"] * shorter)


@settings(deadline=None, max_examples=60)
@cases
def test_outlines_and_boxes_fit(**case) -> None:
    out, objects = made("segment", **case)
    masks = np.zeros([side // MASK_STRIDE for side in case["shape"]], np.int16)
    objects.paint(masks)
    polygons = objects.outlines.polygons(len(objects))
    fine = rasterize(polygons, case["shape"]).dense()
    height, width = case["shape"]
    enlarged = [[FINER * ring for ring in rings] for rings in polygons]
    finest = rasterize(enlarged, (FINER * height, FINER * width)).dense()
    for row, category in enumerate(objects.classes):
        seen = showing(out, COLOURS[category])
        share = 0.3 if seen.sum() < 150 else 0.7
        assert (seen & fine[row]).sum() >= share * (seen | fine[row]).sum()
        # A coarse pixel belongs to what its middle shows, the corner of the four pixels around it.
        middle = seen[1::4, 1::4].astype(int) + seen[2::4, 1::4] + seen[1::4, 2::4] + seen[2::4, 2::4]
        painted_row = masks == row + 1
        assert not (painted_row & (middle == 0)).sum() > 0.15 * painted_row.sum() + 2
        assert not (~painted_row & (middle == 4)).sum() > 0.15 * painted_row.sum() + 2
        bounds, box = extent(finest[row]), objects.boxes[row]
        if bounds is not None:
            bounds = bounds / FINER
            assert (bounds[:2] > box[:2] - 1).all() and (bounds[2:] < box[2:] + 1).all()
            # What the border leaves of a limb can be thinner than any pixel (test_outlines has its exact bounds).
            if (box[:2] > 0).all() and (box[2:] < (width, height)).all():
                slanted = bool(case["view"].keys() & SLANTING)
                assert np.abs(bounds - box).max() <= 1 + 0.2 * slanted * max(bounds[2:] - bounds[:2])


@settings(deadline=None, max_examples=60)
@cases
def test_keypoints_fit_and_change_sides_in_a_mirror(**case) -> None:
    case["mosaic"] = False  # the dots have no colour of their own in each picture
    out, objects = made("pose", **case)
    view = case["view"]
    certain = view.get("fliplr", 0) in (0, 1) and view.get("flipud", 0) in (0, 1)
    mirrored = (view.get("fliplr", 0) == 1) != (view.get("flipud", 0) == 1)
    height, width = case["shape"]
    for points in objects.keypoints:
        for i, (x, y, visible) in enumerate(points):
            assert visible in (0, 2)
            if not visible:
                assert x == y == 0
                continue
            assert 0 <= x < width and 0 <= y < height
            allowed = {FLIP[i] if mirrored else i} if certain else {i, FLIP[i]}
            column, row = min(int(x), width - 1), min(int(y), height - 1)
            if 4 < x < width - 4 and 4 < y < height - 4:
                window = out[row - 1 : row + 2, column - 1 : column + 2]
                assert any(showing(window, DOTS[name]).any() for name in allowed)


@settings(deadline=None, max_examples=60)
@cases
def test_rotated_boxes_fit(**case) -> None:
    out, objects = made("obb", **case)
    rotated = from_corners(objects.corners)
    fine = rasterize([[corners] for corners in to_corners(rotated)], case["shape"]).dense()
    for row, category in enumerate(objects.classes):
        seen = showing(out, COLOURS[category])
        if seen.sum() < 60:
            continue
        assert (seen & fine[row]).sum() >= 0.9 * seen.sum()  # thin tips and borders aside, it holds all of the object
        if not case["view"].keys() & {"shear", "perspective"}:
            assert (seen & fine[row]).sum() >= 0.75 * fine[row].sum()  # and little else
        inside = (objects.boxes[row] >= 0).all() and (objects.boxes[row][2:] <= case["shape"][::-1]).all()
        assert inside


def test_without_augmentation_the_picture_is_the_letterbox() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 150, 3), dtype=np.uint8)
    objects = Objects(np.array([1]), np.array([[15, 9, 60, 45]], np.float32))
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    found = augment([[Sample(image, (90, 150), objects)]], out, TrainConfig(**PLAIN), rng)
    letterbox = Letterbox.fit((90, 150), (SIDE, SIDE))
    assert np.array_equal(out[..., ::-1], letterbox.apply(image))
    assert found.classes.tolist() == [1]
    assert np.allclose(letterbox.restore(found.boxes), [[15, 9, 60, 45]], atol=0.4)


def test_what_is_turned_off() -> None:
    """The last epochs lose what mixes images."""
    config = TrainConfig(mixup=0.5, copy_paste=0.5, multi_scale=0.5, degrees=5, shear=5, perspective=0.001, flipud=0.5)
    last = {name for name, value in without_composition(config) if value != getattr(config, name)}
    assert last == {"mosaic", "mixup", "copy_paste"}


def test_without_mirrors_no_picture_shows_a_mirror_image() -> None:
    """The three keypoints of an object go round in the same direction, whatever else is done to it."""
    wild = TrainConfig(fliplr=1.0, flipud=0.5, shear=85.0, degrees=180.0, perspective=0.001, scale=0.5)
    sample = painted("pose", (SIDE, SIDE), (40, 40, 90, 90))

    def direction(keypoints: np.ndarray) -> float:
        (a, b, c), visible = keypoints[:, :2], keypoints[:, 2].all()
        return float(np.sign((b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0])) if visible else 0.0

    def directions(config: TrainConfig) -> set[float]:
        out, rngs = np.empty((SIDE, SIDE, 3), np.uint8), map(np.random.default_rng, range(60))
        found = [augment([[sample]], out, config, rng, (0, 1, 2)) for rng in rngs]
        return {direction(points) for objects in found for points in objects.keypoints} - {0.0}

    assert directions(wild) == {-1.0, 1.0}
    assert directions(without_mirrors(wild)) == {direction(sample.objects.keypoints[0])}


def test_the_tiles_of_a_mosaic_meet_without_a_gap() -> None:
    """Four white squares around the centre: no grey is left where they meet."""
    nothing = Objects(np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    white = Sample(np.full((64, 64, 3), 255, np.uint8), (64, 64), nothing)
    for seed in range(20):
        out = np.empty((64, 64, 3), np.uint8)
        augment([[white] * 4], out, TrainConfig(**{**STILL, "scale": 0.3}), np.random.default_rng(seed))
        rows, columns = np.flatnonzero((out == 255).any((1, 2))), np.flatnonzero((out == 255).any((0, 2)))
        covered = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert (covered == 255).all()


def test_a_blend_shows_both_pictures_and_has_the_objects_of_both() -> None:
    layers = [
        [painted("segment", (SIDE, SIDE), (20, 20, 80, 80), 0)],
        [painted("segment", (SIDE, SIDE), (60, 50, 120, 110), 1)],
    ]
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    objects = augment(layers, out, TrainConfig(**STILL), np.random.default_rng(0))
    assert objects.classes.tolist() == [0, 1]
    assert np.abs(objects.boxes - [(20, 20, 80, 80), (60, 50, 120, 110)]).max() < 1e-6
    first, second = rasterize(objects.outlines.polygons(2), (SIDE, SIDE)).dense()
    blue, green = out[..., 2].astype(int), out[..., 1].astype(int)
    assert np.abs(blue - 128).max() <= 128 and 60 < blue[first].mean() < 195 and 60 < green[second].mean() < 195
    assert blue[~first].max() < 200 and np.median(blue[~first]) == 0 and np.median(green[~second]) == 0


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
    objects = Objects(np.array([0]), np.array([box], np.float32)).visible((SIDE, SIDE))
    assert (len(objects) == 1) is kept
    assert (objects.boxes >= 0).all() and (objects.boxes <= SIDE).all()


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_images_without_objects(task: str) -> None:
    """They have no column of keypoints or corners of their own, and join those that have."""
    empty = Objects.of(Labels(np.zeros(0, np.int64), np.zeros((0, 4), np.float32)), task, len(SPOTS))
    samples = [Sample(np.zeros((64, 64, 3), np.uint8), (64, 64), empty) for _ in range(4)]
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    assert len(augment([samples], out, TrainConfig(copy_paste=1), np.random.default_rng(0), FLIP)) == 0
    layers = [samples, [painted(task, (64, 64), (10, 10, 50, 50))]]
    objects = augment(layers, out, TrainConfig(**STILL), np.random.default_rng(0), FLIP)
    assert len(objects) == len(objects.boxes) == 1


def test_an_object_without_an_outline_is_its_box_and_one_without_keypoints_has_none() -> None:
    boxes = np.array([(0, 0, 4, 4), (4, 4, 8, 8)], np.float32)
    triangle = np.array([(0, 0), (4, 0), (0, 4)], np.float32)
    mixed = Labels(np.zeros(2, np.int64), boxes, polygons=((triangle,), ()))
    assert Objects.of(mixed, "segment").depth.tolist() == [8, 16]
    assert not Objects.of(mixed, "pose", 5).keypoints.any()


def test_the_smaller_object_lies_on_top() -> None:
    boxes = np.array([(8, 8, 24, 24), (0, 0, 64, 64), (16, 16, 40, 40)], np.float32)
    masks = np.zeros((16, 16), np.int16)
    Objects.of(Labels(np.arange(3), boxes, polygons=((),) * 3), "segment").paint(masks)
    assert masks[0, 0] == 2 and (masks[2:6, 2:6] == 1).all() and masks[8, 8] == 3 and (masks > 0).all()


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_equal_randomness_gives_equal_pictures(task: str) -> None:
    samples = [painted(task, (100, 120), (10, 10, 60, 60), i) for i in range(4)]
    first, second = np.empty((2, SIDE, SIDE, 3), np.uint8)
    config = TrainConfig(copy_paste=0.5, degrees=10)
    boxes = [augment([samples, samples], out, config, np.random.default_rng(7), FLIP).boxes for out in (first, second)]
    assert np.array_equal(first, second) and np.array_equal(*boxes)
