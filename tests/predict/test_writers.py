"""What is written: text that trains again, and pictures with what was found in them."""

import numpy as np
import pytest

from tests.predict.found import CLASSES, FOUND, META, SHAPE, SQUARE
from yolocore.detections import Classification, Detections
from yolocore.predict.writers import draw, write_jpeg, yolo_text

TEXTS = [
    pytest.param(
        FOUND["detect"],
        False,
        "1 0.150000 0.600000 0.200000 0.800000\n0 0.500000 0.500000 1.000000 1.000000\n",
        id="labels",
    ),
    pytest.param(FOUND["detect"][:1], True, "1 0.150000 0.600000 0.200000 0.800000 0.912346\n", id="with scores"),
    pytest.param(
        FOUND["pose"][:1],
        True,
        "1 0.150000 0.600000 0.200000 0.800000 0.100000 0.300000 2 0.200000 0.600000 1 0.912346\n",
        id="keypoints, one of them hidden",
    ),
    pytest.param(
        FOUND["obb"][:1],
        False,
        "1 0.200000 0.400000 0.300000 0.600000 0.200000 0.800000 0.100000 0.600000\n",
        id="corners",
    ),
]


@pytest.mark.parametrize(("found", "with_scores", "text"), TEXTS)
def test_yolo_text(found, with_scores, text):
    task = "pose" if found.keypoints is not None else "detect"
    assert yolo_text(found, SHAPE, META[task], with_scores) == text


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_an_image_without_objects_is_an_empty_file(task):
    assert yolo_text(FOUND[task][:0], SHAPE, META[task], True) == ""


def test_keypoints_without_visibility_have_two_numbers():
    meta = META["pose"].model_copy(update={"keypoints": (2, 2)})
    assert yolo_text(FOUND["pose"][:1], SHAPE, meta, False).split()[5:] == [
        "0.100000",
        "0.300000",
        "0.200000",
        "0.600000",
    ]


def test_an_outline_is_written_and_an_empty_mask_is_not():
    lines = yolo_text(FOUND["segment"], SHAPE, META["segment"], True).splitlines()
    assert [line.split()[0] for line in lines] == ["1"], "the second mask is empty"
    points = np.array(lines[0].split()[1:-1], float).reshape(-1, 2) * SHAPE[::-1]
    x1, y1, x2, y2 = SQUARE
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], [[x1, y1], [x2, y2]], atol=0.5)


@pytest.mark.parametrize(("with_scores", "text"), [(True, "0.700000 dög\n0.300000 cat\n"), (False, "dög\ncat\n")])
def test_classes_are_written_by_name(with_scores, text):
    assert yolo_text(CLASSES, SHAPE, META["classify"], with_scores) == text


@pytest.mark.parametrize("size", [(40, 40), (100, 200), (2000, 3000)], ids=["tiny", "small", "large"])
def test_boxes_are_drawn_where_they_are(size):
    image = np.zeros((*size, 3), np.uint8)
    box = np.array([[0.2, 0.5, 0.6, 0.9]], np.float32) * np.array([*size[::-1], *size[::-1]], np.float32)
    draw(image, Detections(box, np.ones(1, np.float32), np.zeros(1, np.int64)), META["detect"].names)
    rows, columns = np.nonzero(image.max(axis=2) > 60)
    x1, y1, x2, y2 = box[0].astype(int)
    assert image[(y1 + y2) // 2, x1].any() and image[y2, (x1 + x2) // 2].any()
    assert rows.max() <= y2 + 4 and columns.min() >= min(x1 - 4, columns.min())


@pytest.mark.parametrize("found", [*FOUND.values(), CLASSES], ids=[*FOUND, "classify"])
def test_whatever_was_found_is_drawn(found):
    image = np.zeros((*SHAPE, 3), np.uint8)
    draw(image, found, META["detect"].names)
    rows = np.flatnonzero(image.any(axis=(1, 2)))
    assert rows[-1] < 60 if isinstance(found, Classification) else rows[-1] >= 79


def test_a_picture_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OSError, match="gone"):
        write_jpeg(tmp_path / "gone" / "a.jpg", np.zeros((8, 8, 3), np.uint8))
