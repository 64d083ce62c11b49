"""Which objects are usable, and what is said about the others."""

import numpy as np
import pytest

from yolocore.data.labels import HARMLESS, Instance, Labels, check, labels_json

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


def test_labels_survive_their_json_form():
    objects = [
        Instance(1, (1.23456, 2, 30, 40), polygons=((1, 2, 3, 4, 5, 6),), keypoints=(1, 2, 2), corners=(-0.0,) * 8),
        Instance(0, (0.1, 0.2, 0.3, 0.4)),
    ]
    content = labels_json(objects, SIZE)
    labels = Labels.from_json(memoryview(content))
    assert labels.classes.dtype == np.int64
    assert labels.boxes.dtype == np.float32
    np.testing.assert_array_equal(labels.classes, [1, 0])
    np.testing.assert_allclose(labels.boxes, [[1.235, 2, 30, 40], [0.1, 0.2, 0.3, 0.4]], rtol=1e-6)
    assert b"-0.0" not in content


def test_an_image_without_objects():
    labels = Labels.from_json(labels_json([], SIZE))
    assert len(labels) == 0
    assert labels.boxes.shape == (0, 4)
