"""The whole of detection against another program's: public weights on the real images that it was run on."""

import numpy as np
import pytest
import torch

from tests.evaluate.coco import coco_ap
from tests.evaluate.recorded import open_split, read_detections
from yolocore.boxes import iou_matrix
from yolocore.config import ValConfig
from yolocore.evaluate import detect_split, evaluate, measure_detections
from yolocore.masks import paired_iou
from yolocore.model.device import half_type
from yolocore.runtimes.detector import open_detector

NAMES = [str(label) for label in range(80)]


@pytest.mark.parametrize("max_det", [300, 100])
def test_ap_of_recorded_boxes_equals_pycocotools(shared, tmp_path, max_det):
    split = open_split(shared, tmp_path, "detect")
    labels = [split.labels(index) for index in range(len(split))]
    found = read_detections(shared / "facts/reference/detect_coco_train_detections.json", split)
    metrics = measure_detections(found, labels, NAMES, max_det)
    expected = coco_ap(found, labels, 80, max_det)
    np.testing.assert_allclose(metrics.principal.ap, expected[metrics.classes], atol=1e-6)
    assert metrics.map50_95 == pytest.approx(0.528, abs=5e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ap_of_recorded_masks_equals_pycocotools(shared, tmp_path):
    split = open_split(shared, tmp_path, "segment")
    labels = [split.labels(index) for index in range(len(split))]
    found = read_detections(shared / "facts/reference/segment_coco_train_detections.json", split)
    metrics = measure_detections(found, labels, NAMES, task="segment")
    for kind, reference in (("box", "bbox"), ("mask", "segm")):
        accuracy = metrics.accuracies[kind]
        expected = coco_ap(found, labels, 80, kind=reference)
        np.testing.assert_allclose(accuracy.ap, expected[accuracy.classes], atol=1e-6)


WEIGHTS = {"detect": "yolo11n.pt", "segment": "yolo11n-seg.pt"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("task", WEIGHTS)
def test_public_weights_are_as_good_as_recorded(shared, tmp_path, task):
    """COCO images in rectangular batches of one, as they were recorded."""
    split = open_split(shared, tmp_path, task)
    labels = [split.labels(index) for index in range(len(split))]
    detector = open_detector(str(shared / "data/weights" / WEIGHTS[task]), "cpu")
    found = detect_split(detector, split, ValConfig(batch=1))
    recorded = read_detections(shared / f"facts/reference/{task}_coco_train_detections.json", split)

    ours, theirs = (measure_detections(each, labels, NAMES, task=task).summary() for each in (found, recorded))
    assert ours["map50_95"] == pytest.approx(theirs["map50_95"], abs=0.003)
    if task == "segment":
        assert ours["mask_map50_95"] == pytest.approx(theirs["mask_map50_95"], abs=0.005)
    for mine, other in zip(found, recorded, strict=True):
        sure = other[other.scores > 0.25]
        if not len(sure):
            continue
        overlap = iou_matrix(mine.boxes, sure.boxes) * (mine.classes[:, None] == sure.classes)
        assert (overlap.max(axis=0) > 0.99).all()
        same = mine[overlap.argmax(axis=0)]
        np.testing.assert_allclose(same.scores, sure.scores, atol=0.005)
        if task == "segment":
            rows = np.arange(len(sure))
            assert paired_iou(same.masks, sure.masks, rows, rows).min() > 0.95


@pytest.mark.slow
@pytest.mark.skipif(half_type(torch.device("cpu")) is None, reason="needs a CPU with bfloat16")
@pytest.mark.parametrize("task", WEIGHTS)
def test_half_precision_is_as_good(shared, tmp_path, task):
    """Which boxes of like score come first is chance then: 128 images' AP moves by a few thousandths, either way."""
    split = open_split(shared, tmp_path, task)
    weights = str(shared / "data/weights" / WEIGHTS[task])
    whole, half = (evaluate(open_detector(weights, "cpu", half), split, ValConfig()) for half in (False, True))
    for name, figure in whole.summary().items():
        if name.endswith("map50_95"):
            assert half.summary()[name] == pytest.approx(figure, abs=0.006)
