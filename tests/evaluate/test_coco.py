"""COCO's results form: what pycocotools reads, with ids as COCO has them."""

import json

import numpy as np
import pytest

from yolocore.detections import Detections
from yolocore.evaluate.coco import coco_results

FOUND = Detections(np.array([[1, 2, 4.00049, 8]], np.float32), np.array([0.123456], np.float32), np.array([3]))


@pytest.mark.parametrize(
    ("name", "image_id"),
    [("000000000042.jpg", 42), ("deep/7.png", 7), ("cell.one.png", "cell.one")],
    ids=["a COCO image", "a number in a folder", "a name"],
)
def test_rows(name, image_id):
    assert json.loads(coco_results([FOUND, Detections.empty()], [name, "8.png"])) == [
        {"image_id": image_id, "file_name": name, "category_id": 4, "bbox": [1, 2, 3, 6], "score": 0.12346}
    ]


def test_nothing_found_is_an_empty_list():
    assert json.loads(coco_results([Detections.empty()], ["8.png"])) == []
