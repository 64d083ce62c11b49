"""Which objects are usable, and what is said about the others."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yolocore.data.labels import HARMLESS, Instance, Labels, check, labels_json, whole_image

SIZE = (100, 200)  # height, width
NAMES = ("cat", "dog")
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("category", "box", "kind"),
    [
        pytest.param(0, (10, 20, 30, 40), None, id="plain"),
        pytest.param(1, (0, 0, 200, 100), None, id="whole image"),
        pytest.param(0, (-1.9, -0.9, 201.9, 100.9), None, id="sticks out by rounding"),
        pytest.param(2, (10, 20, 30, 40), "class out of range", id="one class too many"),
        pytest.param(-1, (10, 20, 30, 40), "class out of range", id="negative class"),
        pytest.param(0, (10, 20, 204, 40), "box outside the image", id="past the right edge"),
        pytest.param(0, (10, -3, 20, 40), "box outside the image", id="above the top edge"),
        pytest.param(0, (500, 500, 600, 600), "box outside the image", id="elsewhere"),
        pytest.param(0, (NAN, 20, 30, 40), "number not finite", id="NaN"),
        pytest.param(0, (10, 20, INF, 40), "number not finite", id="infinity"),
        pytest.param(0, (30, 20, 10, 40), "negative box", id="corners swapped"),
        pytest.param(0, (10, 20, 10, 40), "zero-area box", id="no width"),
        pytest.param(0, (-1, 20, 0, 40), "zero-area box", id="no width left inside"),
    ],
)
def test_one_object(category, box, kind):
    usable, problems = check([Instance(category, box, where="a.txt:7", text="the row")], SIZE, NAMES)
    assert [problem.kind for problem in problems] == ([kind] if kind else [])
    assert len(usable) == (kind is None)
    for instance in usable:
        x1, y1, x2, y2 = instance.box
        assert 0 <= x1 < x2 <= 200
        assert 0 <= y1 < y2 <= 100
    for problem in problems:
        assert str(problem).startswith("a.txt:7: ")
        assert "'the row'" in str(problem)


def test_the_same_object_twice_counts_once():
    objects = [Instance(0, (1, 2, 3, 4)), Instance(1, (1, 2, 3, 4)), Instance(0, (1, 2, 3, 4.0001))]
    usable, problems = check(objects, SIZE, NAMES)
    assert [instance.category for instance in usable] == [0, 1]
    assert [problem.kind for problem in problems] == ["duplicate box"]
    assert problems[0].kind in HARMLESS


@pytest.mark.parametrize(
    ("keypoints", "kind"),
    [
        pytest.param((10, 20, 2, 30, 40, 1), None, id="plain"),
        pytest.param((201, 20, 2), None, id="sticks out by rounding"),
        pytest.param((-500, 20, 0), None, id="not labelled, wherever it lies"),
        pytest.param((210, 20, 2), "keypoint outside the image", id="past the right edge"),
        pytest.param((10, -5, 1), "keypoint outside the image", id="hidden above the top edge"),
        pytest.param((10, 20, 3), "unknown visibility", id="no such visibility"),
        pytest.param((10, 20, 0.9), "unknown visibility", id="a probability"),
        pytest.param((10, NAN, 2), "number not finite", id="NaN"),
    ],
)
def test_keypoints(keypoints, kind):
    usable, problems = check([Instance(0, (10, 20, 30, 40), keypoints=keypoints, text="the row")], SIZE, NAMES)
    assert [problem.kind for problem in problems] == ([kind] if kind else [])
    assert len(usable) == (kind is None)
    assert all("'the row'" in str(problem) for problem in problems)


number = st.floats(-10_000, 10_000)


def numbers(least, most=None):
    return st.lists(number, min_size=least, max_size=most or least).map(tuple)


@st.composite
def instances(draw):
    """Objects of one image: as many keypoints each where they have any, and corners for all or for none."""
    count = draw(st.integers(1, 4))
    corners = draw(st.sampled_from([numbers(8), st.just(())]))
    return draw(
        st.lists(
            st.builds(
                Instance,
                st.integers(0, 1000),
                numbers(4),
                st.lists(st.integers(3, 6).flatmap(lambda k: numbers(2 * k)), max_size=3).map(tuple),
                st.just(()) | numbers(3 * count),
                corners,
            ),
            max_size=5,
        )
    )


@given(instances())
def test_labels_survive_their_json_form(objects):
    content = labels_json(objects, SIZE)
    assert b"-0.0," not in content
    labels = Labels.from_json(memoryview(content))
    assert len(labels) == len(objects)
    for column, dtype in ((labels.classes, np.int64), (labels.boxes, np.float32)):
        assert column.dtype == dtype
    assert labels.boxes.shape == (len(objects), 4)
    assert labels.classes.tolist() == [o.category for o in objects]
    np.testing.assert_array_equal(labels.boxes, np.array([o.box for o in objects], np.float32).reshape(-1, 4))

    assert (labels.polygons is None) == (not any(o.polygons for o in objects))
    for parts, instance in zip(labels.polygons or (), objects, strict=labels.polygons is not None):
        assert [part.ravel().tolist() for part in parts] == [np.float32(p).tolist() for p in instance.polygons]

    assert (labels.keypoints is None) == (not any(o.keypoints for o in objects))
    if labels.keypoints is not None:
        for row, instance in zip(labels.keypoints, objects, strict=True):
            expected = np.float32(instance.keypoints) if instance.keypoints else np.zeros(row.size)
            np.testing.assert_array_equal(row.ravel(), expected)

    assert (labels.corners is None) == (not (objects and objects[0].corners))
    if labels.corners is not None:
        np.testing.assert_array_equal(labels.corners.reshape(-1, 8), np.float32([o.corners for o in objects]))


def turned(width, height, degrees, centre=(50, 40)):
    """Corners x1 y1 … of a rectangle."""
    return tuple(cv2.boxPoints((centre, (width, height), degrees)).ravel().tolist())


TALL = [50, 40, 20, 10, np.pi / 2]
CASES = [
    pytest.param(Instance(0, (0, 0, 1, 1), corners=turned(20, 10, 30)), [50, 40, 20, 10, np.pi / 6], id="corners"),
    pytest.param(Instance(0, (45, 30, 55, 50)), TALL, id="nothing but the upright box"),
    pytest.param(Instance(0, (0, 0, 1, 1), (turned(20, 10, 90),)), TALL, id="outline, upright"),
    pytest.param(Instance(0, (0, 0, 1, 1), (turned(20, 10, 30),)), [50, 40, 20, 10, np.pi / 6], id="outline, turned"),
    pytest.param(
        Instance(0, (0, 0, 1, 1), ((45, 30, 55, 30, 50, 35), (45, 50, 55, 50, 50, 45))), TALL, id="outline of two parts"
    ),
    pytest.param(
        Instance(0, (0, 0, 1, 1), ((40, 35, 60, 35, 60, 45, 50, 41, 40, 45),)), [50, 40, 20, 10, 0], id="hollow outline"
    ),
]


@pytest.mark.parametrize(("instance", "box"), CASES)
def test_rotated_boxes(instance, box):
    rotated = Labels.from_json(labels_json([instance], SIZE)).rotated
    assert rotated.shape == (1, 5)
    assert rotated.dtype == np.float32
    np.testing.assert_allclose(rotated[0], box, atol=1e-3)


def test_some_objects_have_outlines_and_others_have_none():
    objects = [CASES[1].values[0], CASES[3].values[0]]
    rotated = Labels.from_json(labels_json(objects, SIZE)).rotated
    np.testing.assert_allclose(rotated, [CASES[1].values[1], CASES[3].values[1]], atol=1e-3)


@given(instances(), st.data())
def test_rows_are_taken_from_every_column(objects, data):
    kept = data.draw(st.lists(st.booleans(), min_size=len(objects), max_size=len(objects)))
    whole = Labels.from_json(labels_json(objects, SIZE))
    part = whole.take(np.array(kept, bool))
    rows = np.flatnonzero(kept)
    again = whole.take(rows)
    for name in ("classes", "boxes", "keypoints", "corners"):
        column = getattr(whole, name)
        for taken in (part, again):
            if column is None:
                assert getattr(taken, name) is None
            else:
                np.testing.assert_array_equal(getattr(taken, name), column[rows])
    if whole.polygons is not None:
        assert [len(parts) for parts in part.polygons] == [len(whole.polygons[row]) for row in rows]


def test_an_image_without_objects():
    labels = Labels.from_json(labels_json([], SIZE))
    assert len(labels) == 0
    assert labels.boxes.shape == (0, 4)
    assert labels.rotated.shape == (0, 5)
    assert labels.polygons is labels.keypoints is labels.corners is None


def test_the_class_of_a_whole_image():
    usable, problems = check([whole_image(1, SIZE)], SIZE, NAMES)
    assert not problems
    assert [(i.category, i.box) for i in usable] == [(1, (0, 0, 200, 100))]
