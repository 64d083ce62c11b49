"""What is written: text that trains again, rows that parse, pictures with boxes in them."""

import json

import numpy as np
import pytest

from yolocore.detections import Detections
from yolocore.predict.writers import draw, json_row, write_jpeg, yolo_text

FOUND = Detections(
    np.array([[10, 20, 50, 100], [0, 0, 200, 100]], np.float32),
    np.array([0.912345678, 0.5], np.float32),
    np.array([1, 0]),
)
NAMES = ("cat", "dög")


@pytest.mark.parametrize(
    ("found", "with_scores", "text"),
    [
        pytest.param(
            FOUND, False, "1 0.150000 0.600000 0.200000 0.800000\n0 0.500000 0.500000 1.000000 1.000000\n", id="labels"
        ),
        pytest.param(FOUND[:1], True, "1 0.150000 0.600000 0.200000 0.800000 0.912346\n", id="with scores"),
        pytest.param(Detections.empty(), True, "", id="an image without objects"),
    ],
)
def test_yolo_text(found, with_scores, text):
    assert yolo_text(found, (100, 200), with_scores) == text


@pytest.mark.parametrize("frame", [None, 7], ids=["still", "frame"])
def test_json_row(frame):
    text = json_row("a.jpg", frame, (100, 200), FOUND, NAMES)
    assert text.endswith("}\n") and text.count("\n") == 1
    row = json.loads(text)
    assert {key: row[key] for key in ("image", "frame", "height", "width")} == {
        "image": "a.jpg",
        "frame": frame,
        "height": 100,
        "width": 200,
    }
    assert row["objects"][0] == {"class": 1, "name": "dög", "score": 0.91235, "box": [10, 20, 50, 100]}


@pytest.mark.parametrize("size", [(40, 40), (100, 200), (2000, 3000)], ids=["tiny", "small", "large"])
def test_boxes_are_drawn_where_they_are(size):
    image = np.zeros((*size, 3), np.uint8)
    box = np.array([[0.2, 0.5, 0.6, 0.9]], np.float32) * np.array([*size[::-1], *size[::-1]], np.float32)
    draw(image, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64)), NAMES)
    rows, columns = np.nonzero(image.max(axis=2) > 60)
    x1, y1, x2, y2 = box[0].astype(int)
    assert image[(y1 + y2) // 2, x1].any() and image[y2, (x1 + x2) // 2].any()
    assert rows.max() <= y2 + 4 and columns.min() >= min(x1 - 4, columns.min())


def test_a_picture_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OSError, match="gone"):
        write_jpeg(tmp_path / "gone" / "a.jpg", np.zeros((8, 8, 3), np.uint8))
