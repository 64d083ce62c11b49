"""What labels mean: which keypoints mirror each other, and which tasks labels can teach."""

import pytest

from yolocore.data.labels import Instance
from yolocore.data.legend import KINDS, NEEDS, UNKNOWN, Legend, in_order, tasks_for
from yolocore.meta import TASKS

BOX = (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("keypoints", "flip", "expected"),
    [
        pytest.param(None, (), (), id="no keypoints"),
        pytest.param((1, 2), (), (0,), id="nothing to say of one"),
        pytest.param((3, 2), (), (UNKNOWN,) * 3, id="nothing said"),
        pytest.param((3, 2), (UNKNOWN,) * 3, (UNKNOWN,) * 3, id="nothing said, as a manifest has it"),
        pytest.param((3, 3), (0, 1, 2), (0, 1, 2), id="each stays"),
        pytest.param((3, 3), (0, 2, 1), (0, 2, 1), id="two change places"),
    ],
)
def test_mirror_images(keypoints, flip, expected):
    legend = Legend(("cat",), keypoints, flip)
    assert legend.flip_idx == expected
    assert legend.mirrors is (UNKNOWN not in expected)


@pytest.mark.parametrize(
    ("flip", "words"),
    [
        ((0, 1), r"flip_idx is \[0, 1\]; give each of 0..2 once"),
        ((0, 1, 1), "give each of 0..2 once"),
        ((0, 1, 3), "give each of 0..2 once"),
        ((0, 1, UNKNOWN), "give each of 0..2 once"),
        ((1, 2, 0), "flip_idx puts 1 in the place of 0 but 2 in that of 1; exchange two each"),
    ],
    ids=["too few", "one twice", "one too high", "one unknown", "a round of three"],
)
def test_impossible_mirror_images(flip, words):
    with pytest.raises(ValueError, match=words):
        Legend(("cat",), (3, 3), flip)


def test_kinds_of_labels_are_counted():
    objects = [
        Instance(0, BOX),
        Instance(0, BOX, polygons=((1, 2, 3, 4, 5, 6),), keypoints=(1, 2, 0)),  # a keypoint that is not labelled
        Instance(0, BOX, keypoints=(1, 2, 1, 0, 0, 0), corners=(0,) * 8),
    ]
    assert Legend(("cat",)).annotations(objects) == {"boxes": 3, "polygons": 1, "keypoints": 1, "corners": 1}
    assert Legend(("cat",), whole=True).annotations(objects) == {"classes": 3}
    assert Legend(("cat",)).annotations([]) == {}


@pytest.mark.parametrize(
    ("annotations", "tasks"),
    [
        ((), ()),
        (("boxes",), ("detect",)),
        (("boxes", "polygons"), ("detect", "segment", "obb")),
        (("boxes", "keypoints"), ("detect", "pose")),
        (("boxes", "corners"), ("detect", "obb")),
        (("classes",), ("classify",)),
    ],
)
def test_what_labels_can_teach(annotations, tasks):
    assert tasks_for(annotations) == tasks
    assert in_order(set(annotations)) == annotations


def test_every_task_needs_labels():
    assert set(NEEDS) == set(TASKS)
    assert {kind for kinds, _ in NEEDS.values() for kind in kinds} == set(KINDS)
