"""COCO's results form: what pycocotools reads, with ids as COCO has them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from yolocore.detections import Classification, Detections
from yolocore.evaluate.coco import coco_results, rle
from yolocore.masks import Masks

FOUND = Detections(np.array([[1, 2, 4.00049, 8]], np.float32), np.array([0.123456], np.float32), np.array([3]))
ROW = {"image_id": 8, "file_name": "8.png", "category_id": 4, "bbox": [1, 2, 3, 6], "score": 0.12346}


@pytest.mark.parametrize(
    ("name", "image_id"),
    [("000000000042.jpg", 42), ("deep/7.png", 7), ("cell.one.png", "cell.one")],
    ids=["a COCO image", "a number in a folder", "a name"],
)
def test_rows(name, image_id):
    rows = json.loads(coco_results([FOUND, Detections.empty()], [name, "8.png"]))
    assert rows == [{**ROW, "image_id": image_id, "file_name": name}]


def test_nothing_found_is_an_empty_list():
    assert json.loads(coco_results([Detections.empty()], ["8.png"])) == []


def test_masks_keypoints_and_corners():
    dense = np.zeros((1, 9, 7), bool)
    dense[0, 2:8, 1:4] = True
    (row,) = json.loads(coco_results([replace(FOUND, masks=Masks.from_dense(dense))], ["8.png"]))
    np.testing.assert_array_equal(coco_mask.decode(row.pop("segmentation")), dense[0])
    assert row == ROW

    points = np.array([[[1, 2, 0.5], [3.00049, 4, 1]]], np.float32)
    (row,) = json.loads(coco_results([replace(FOUND, keypoints=points)], ["8.png"]))
    assert row == {**ROW, "keypoints": [1, 2, 0.5, 3, 4, 1]}

    (row,) = json.loads(coco_results([replace(FOUND, rotated=np.float32([[5, 5, 4, 2, np.pi / 2]]))], ["8.png"]))
    assert row == {**ROW, "polygon": [6, 3, 6, 7, 4, 7, 4, 3]}


def test_classes_of_an_image():
    rows = json.loads(coco_results([Classification(np.float32([0.25, 0.75]))], ["8.png"]))
    image = {"image_id": 8, "file_name": "8.png"}
    assert rows == [{**image, "category_id": 2, "score": 0.75}, {**image, "category_id": 1, "score": 0.25}]


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    share=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
def test_run_lengths_are_letter_for_letter_those_of_pycocotools(seed, height, width, share):
    dense = np.random.default_rng(seed).random((1, height, width)) < share
    masks = Masks.from_dense(dense)
    x, y = masks.corners[0].tolist()
    expected = coco_mask.encode(np.asfortranarray(dense[0].astype(np.uint8)))
    assert rle(masks.crops[0], (x, y), masks.shape) == {"size": [height, width], "counts": expected["counts"].decode()}


def test_long_runs_take_several_letters():
    dense = np.zeros((1, 3000, 2000), bool)
    dense[0, 1:2999, 700:1500] = True
    masks = Masks.from_dense(dense)
    x, y = masks.corners[0].tolist()
    expected = coco_mask.encode(np.asfortranarray(dense[0].astype(np.uint8)))
    assert rle(masks.crops[0], (x, y), masks.shape)["counts"] == expected["counts"].decode()
