"""Labels must still fit the picture, whatever was done to it, for every task."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.painted import COLOURS, DOTS, SPOTS, extent, painted, showing
from tests.data.plain import PLAIN
from yolocore.boxes import iou_matrix
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
        painted(task, sizes[i], [corners[i]], i, reduced, rng.uniform(-0.3, 0.3)) for i in range(4 if mosaic else 1)
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


crowds = given(
    view=views,
    seed=st.integers(0, 2**32),
    layers=st.sampled_from([(1,), (4,), (1, 4), (4, 4)]),
    reduced=st.sampled_from([1, 2]),
    shape=st.sampled_from([(SIDE, SIDE), (96, SIDE), (SIDE, 64)]),
    pasting=st.booleans(),
    crowd=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.floats(0.5, 0.65)), min_size=1, max_size=4, unique_by=lambda o: o[0]),
        min_size=8,
        max_size=8,
    ),
)
CROWDED = [(200, 240), (240, 208), (168, 256), (400, 320)]
TILES, BEHIND = (0, 1, 1, 0), 2  # classes of the pictures of a blend: each colour is then known by a difference


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
@settings(deadline=None, max_examples=60)
@crowds
def test_what_is_clearly_visible_has_its_label(task: str, **case) -> None:
    """Found in the pixels alone, of one to eight images with up to four objects each."""
    case["layers"] = case["layers"][:1] if task == "pose" else case["layers"]  # dots are in the way of differences
    out, objects, pieces = seen_in_a_crowd(task, **case)
    taken: set[int] = set()
    for category, piece in pieces:
        rows = np.flatnonzero(objects.classes == category)
        assert len(rows), "an object without a label"
        if task == "segment":
            polygons = objects.outlines.take(objects.classes == category).polygons(len(rows))
            assert rasterize(polygons, case["shape"]).dense().any(0)[piece].mean() > 0.6
            continue
        overlaps = iou_matrix(extent(piece)[None].astype(float), objects.boxes[rows])[0]
        best = int(rows[overlaps.argmax()])
        assert overlaps.max() > 0.3 and best not in taken
        taken.add(best)
        if task == "pose":
            dots_have_keypoints(out, piece, objects.keypoints[best], case["view"])
    if task == "segment" and len(case["layers"]) == 1:
        masks = np.zeros([side // MASK_STRIDE for side in case["shape"]], np.int16)
        objects.paint(masks)
        for category, piece in pieces:
            inside = np.all([piece[y::4, x::4] for y in range(4) for x in range(4)], 0)
            shown = masks[inside]
            others = objects.classes[shown - 1] != category
            assert (shown > 0).all() and others.sum() <= 0.1 * len(shown) + 2


def seen_in_a_crowd(
    task: str, view: dict, seed: int, layers: tuple, reduced: int, shape: tuple, pasting: bool, crowd: list
):
    """A picture, its labels, and (class, mask) of each piece in it of which it is clear that it shows an object: it
    is whole, or much of the largest that an object can be."""
    rng = np.random.default_rng(seed)
    blend = len(layers) > 1
    samples, largest = [], [0.0] * 4
    for number, count in enumerate(layers):
        samples.append([])
        for tile in range(count):
            height, width = size = CROWDED[tile]
            boxes = []
            for cell, share in crowd[4 * number + tile]:  # a quarter of the image, and the share of its sides
                middle, half = np.array([cell % 2, cell // 2]) / 2 + 0.25, share / 4
                boxes.append(tuple((np.stack((middle - half, middle + half)) * (width, height)).ravel()))
            category = (TILES[tile] if number == 0 else BEHIND) if blend else tile
            samples[-1].append(painted(task, size, boxes, category, reduced, rng.uniform(-0.3, 0.3)))
            gain = min(shape[0] / height, shape[1] / width) * (1 + view.get("scale", 0))
            area = max((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes) * gain**2
            largest[category] = max(largest[category], area * (2.5 if "perspective" in view else 1.1))
    out = np.empty((*shape, 3), np.uint8)
    config = TrainConfig(**{**STILL, **view, "copy_paste": float(pasting)})
    objects = augment(samples, out, config, rng, FLIP)
    blue, green, red = out[..., ::-1].astype(int).transpose(2, 0, 1)
    differences = blue - green, green - blue, red - np.minimum(blue, green)
    pieces = []
    for category in range(3 if blend else 4):
        shown = differences[category] > 60 if blend else showing(out, COLOURS[category])
        for piece in connected(shown):
            x1, y1, x2, y2 = extent(piece)
            whole = x1 > 0 and y1 > 0 and x2 < shape[1] and y2 < shape[0]
            if min(x2 - x1, y2 - y1) >= 8 and (whole or piece.sum() > 0.4 * largest[category]):
                pieces.append((category, piece))
    return out, objects, pieces


def connected(mask: np.ndarray) -> list[np.ndarray]:
    """The masks of its pieces."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    return [pieces == number for number in range(1, count)]


def dots_have_keypoints(out: np.ndarray, piece: np.ndarray, keypoints: np.ndarray, view: dict) -> None:
    """Each dot that lies whole in an object's piece is one of its keypoints."""
    mirrored = {(view.get("fliplr", 0) == 1) != (view.get("flipud", 0) == 1)}
    if not {view.get("fliplr", 0), view.get("flipud", 0)} <= {0, 1}:
        mirrored = {True, False}
    for number, colour in enumerate(DOTS):
        for dot in connected(showing(out, colour)):
            x1, y1, x2, y2 = extent(dot)
            around = cv2.dilate(dot.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~dot
            inside = x1 > 0 and y1 > 0 and x2 < out.shape[1] and y2 < out.shape[0]
            if inside and min(x2 - x1, y2 - y1) >= 4 and piece[around].mean() > 0.8:
                middle = np.argwhere(dot).mean(0)[::-1] + 0.5
                own = keypoints[[FLIP[number] if turned else number for turned in mirrored]]
                assert (own[:, 2] == 2).any() and np.abs(own[:, :2] - middle).max(1).min() < 2


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
    sample = painted("pose", (SIDE, SIDE), [(40, 40, 90, 90)])

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


def test_a_blend_has_the_keypoints_of_both() -> None:
    layers = [[painted("pose", (SIDE, SIDE), [box])] for box in ((20, 20, 80, 80), (60, 50, 120, 110))]
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    objects = augment(layers, out, TrainConfig(**STILL), np.random.default_rng(0), FLIP)
    assert np.allclose(objects.keypoints, np.concatenate([layer[0].objects.keypoints for layer in layers]))


def test_a_blend_shows_both_pictures_and_has_the_objects_of_both() -> None:
    layers = [
        [painted("segment", (SIDE, SIDE), [(20, 20, 80, 80)], 0)],
        [painted("segment", (SIDE, SIDE), [(60, 50, 120, 110)], 1)],
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
    layers = [samples, [painted(task, (64, 64), [(10, 10, 50, 50)])]]
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
    samples = [painted(task, (100, 120), [(10, 10, 60, 60)], i) for i in range(4)]
    first, second = np.empty((2, SIDE, SIDE, 3), np.uint8)
    config = TrainConfig(copy_paste=0.5, degrees=10)
    boxes = [augment([samples, samples], out, config, np.random.default_rng(7), FLIP).boxes for out in (first, second)]
    assert np.array_equal(first, second) and np.array_equal(*boxes)
