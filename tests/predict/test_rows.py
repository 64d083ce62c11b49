"""Rows parse, say where things are, and can be read back."""

import json

import numpy as np
import pytest

from tests.predict.found import CLASSES, FOUND, META, SHAPE
from yolocore.predict.rows import json_row, read_row


def row(task, frame=None):
    found = CLASSES if task == "classify" else FOUND[task]
    return json_row("a.jpg", frame, SHAPE, found, META[task])


@pytest.mark.parametrize("frame", [None, 7], ids=["still", "frame"])
def test_a_row_is_a_line_of_json(frame):
    text = row("detect", frame)
    assert text.endswith("}\n") and text.count("\n") == 1
    read = json.loads(text)
    assert {key: read[key] for key in ("image", "frame", "height", "width", "task")} == {
        "image": "a.jpg",
        "frame": frame,
        "height": 100,
        "width": 200,
        "task": "detect",
    }
    assert read["objects"][0] == {"class": 1, "name": "dög", "score": 0.91235, "box": [10, 20, 50, 100]}


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        pytest.param("pose", "keypoints", [20, 30, 0.9, 40, 60, 0.2], id="keypoints"),
        pytest.param("obb", "corners", [40, 40, 60, 60, 40, 80, 20, 60], id="corners"),
    ],
)
def test_what_a_task_adds(task, key, value):
    first = json.loads(row(task))["objects"][0]
    assert first[key] == pytest.approx(value, abs=0.02)


def test_a_classified_image_has_its_best_classes():
    read = json.loads(row("classify"))
    assert [(each["name"], each["score"]) for each in read["top"]] == [("dög", 0.7), ("cat", 0.3)]
    assert "objects" not in read


@pytest.mark.parametrize("task", FOUND)
@pytest.mark.parametrize("count", [2, 0], ids=["objects", "none"])
def test_a_row_can_be_read_back(task, count):
    found = FOUND[task][:count]
    read = read_row(json_row("a.jpg", None, SHAPE, found, META[task]))
    for name in ("boxes", "scores", "classes", "rotated"):
        wanted = getattr(found, name)
        if wanted is None:
            assert getattr(read, name) is None
        else:
            np.testing.assert_allclose(getattr(read, name), wanted, atol=0.005)
    if task == "segment":
        np.testing.assert_array_equal(read.masks.dense(), found.masks.dense())
    if task == "pose" and count:
        np.testing.assert_allclose(read.keypoints, found.keypoints, atol=0.005)
    assert (read.masks is None, read.keypoints is None) == (found.masks is None, found.keypoints is None)


def test_classes_can_be_read_back():
    np.testing.assert_allclose(read_row(row("classify")).probabilities, CLASSES.probabilities, atol=1e-6)
