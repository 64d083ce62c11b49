"""The built-in data: the same bytes every time, and everything that is said about it is true."""

import cv2
import numpy as np
import pytest

from yolocore.data.demo import NAMES, TRACKS, VIDEO, DemoSource, Shape, _paint, draw_scene, write_video
from yolocore.data.labels import check
from yolocore.data.sources import assign_splits, open_source
from yolocore.store import tree_digest
from yolocore.track.mot import read_mot

SIDE = 160


def test_a_seed_gives_the_same_bytes(tmp_path):
    for name, count, seed in (("one", 12, 0), ("two", 6, 0), ("other", 6, 1)):
        DemoSource(tmp_path / name, count, SIDE, seed)
    one, two, other = (
        [(tmp_path / name / f"{i:06d}.jpg").read_bytes() for i in range(6)] for name in ("one", "two", "other")
    )
    assert one == two  # also when more images are made
    assert not set(one) & set(other)


def test_pictures_of_one_class_each(tmp_path):
    one = DemoSource(tmp_path / "one", 40, SIDE, 0, whole=True)
    DemoSource(tmp_path / "two", 40, SIDE, 0, whole=True)
    assert tree_digest(tmp_path / "one") == tree_digest(tmp_path / "two")
    again = open_source(tmp_path / "one")  # the same as the folder that it painted, but for the order of classes
    assert [sample.name for sample in one.samples] == [sample.name for sample in again.samples]
    assert one.legend.whole
    assert one.legend.names == NAMES
    for sample in one.samples:
        instances, problems = check(one.annotate(sample, (SIDE, SIDE))[0], (SIDE, SIDE), NAMES)
        assert not problems
        assert [NAMES[instance.category] for instance in instances] == [sample.name.split("/")[0]]
        assert instances[0].box == (0, 0, SIDE, SIDE)
    assert set(assign_splits(one.samples, 0, 0.8, 0.1)) == {"train", "val", "test"}


@pytest.mark.parametrize("side", [32, 160, 640])
def test_scenes_are_a_detection_task(side):
    count, classes, covered = [], set(), 0.0
    for index in range(40):
        image, shapes = draw_scene(np.random.default_rng((0, index)), side)
        assert image.shape == (side, side, 3)
        assert image.dtype == np.uint8
        instances = [shape.instance() for shape in shapes]
        usable, problems = check(instances, (side, side), NAMES)
        assert usable == instances  # all inside the image, none twice
        assert not problems
        count.append(len(shapes))
        classes |= {shape.category for shape in shapes}
        boxes = np.array([instance.box for instance in instances])
        sides = boxes[:, 2:] - boxes[:, :2]
        assert sides.min() > 0.09 * side
        assert sides.max() < 0.65 * side
        covered = max(covered, *(overlap(a, b) for i, a in enumerate(boxes) for b in boxes[:i]), 0.0)
    assert {min(count), max(count)} == {1, 6}
    assert len(classes) == len(NAMES)
    assert covered < 0.11


@pytest.mark.parametrize("side", [32, 160])
def test_a_picture_to_classify_is_filled_by_its_one_shape(side):
    for index in range(200):
        _, shapes = draw_scene(np.random.default_rng((0, index)), side, whole=True)
        assert len(shapes) == 1
        x1, y1, x2, y2 = shapes[0].box()
        assert min(x1, y1) >= 0 and max(x2, y2) <= side
        assert max(x2 - x1, y2 - y1) > 0.35 * side


def overlap(a, b) -> float:
    inside = np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).prod()
    return inside / min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod())


@pytest.mark.parametrize("category", range(len(NAMES)), ids=NAMES)
@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0, 4.5])
def test_labels_are_where_the_paint_is(category, angle):
    shape = Shape(category, (80.3, 71.6), (30.0, 41.0), angle, (20, 200, 90))
    mask = _paint(np.zeros((SIDE, SIDE, 3), np.uint8), shape) >= 128
    instance = shape.instance()
    ys, xs = np.nonzero(mask)
    painted = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    np.testing.assert_allclose(instance.box, painted, atol=2.5 if category in (2, 3) else 1)  # tips are thin

    outline = np.array(instance.polygons[0]).reshape(-1, 2)
    assert cv2.contourArea(outline.astype(np.float32)) == pytest.approx(mask.sum(), rel=0.03)
    np.testing.assert_allclose([*outline.min(axis=0), *outline.max(axis=0)], instance.box, atol=1e-3)

    corners = np.array(instance.corners).reshape(4, 2).astype(np.float32)
    assert cv2.contourArea(corners) == pytest.approx(4 * 30 * 41, rel=0.15)
    assert all(cv2.pointPolygonTest(corners, point.tolist(), True) > -0.01 for point in outline)

    keypoints = np.array(instance.keypoints).reshape(3, 3)
    assert (keypoints[:, 2] == 2).all()
    assert all(mask[int(y), int(x)] for x, y, _ in keypoints)
    np.testing.assert_allclose(keypoints[1, :2], shape.centre, atol=1e-3)


def test_the_video_and_its_tracks(tmp_path):
    for name in ("one", "two"):
        write_video(tmp_path / name, SIDE, 0)
    assert tree_digest(tmp_path / "one") == tree_digest(tmp_path / "two")

    capture = cv2.VideoCapture(str(tmp_path / "one" / VIDEO))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert frames[0].shape == (212, 320, 3)
    tracks = read_mot(tmp_path / "one" / TRACKS)
    assert set(tracks.frames) == set(range(1, len(frames) + 1))
    assert set(tracks.ids) == set(range(1, 7))
    assert set(tracks.classes) == set(range(len(NAMES)))
    assert tracks.boxes.min() >= 0
    assert (tracks.boxes <= [320, 212, 320, 212]).all()
    assert tracks.visibility.min() < 0.5 < tracks.visibility.mean()  # they do cross each other
    for identity in range(1, 7):
        boxes = tracks[tracks.ids == identity].boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert np.abs(np.diff(centres, axis=0)).max() < 8  # no jumps
        assert np.ptp(centres, axis=0).max() > 50  # but real motion
