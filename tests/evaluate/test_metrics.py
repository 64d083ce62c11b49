"""The figures: equal to pycocotools where both define them, worked examples for the rest."""

import json

import numpy as np
import pytest

from tests.evaluate.coco import coco_ap, random_split
from yolocore.data.labels import Labels
from yolocore.detections import Detections
from yolocore.evaluate.metrics import CONFIDENCES, measure

SETS = [
    pytest.param({"seed": 0, "images": 20, "classes": 3, "objects": 6}, 300, id="a usual one"),
    pytest.param({"seed": 1, "images": 8, "classes": 40, "objects": 4}, 300, id="classes without labels"),
    pytest.param({"seed": 2, "images": 30, "classes": 2, "objects": 5, "grid": True}, 300, id="ties everywhere"),
    pytest.param({"seed": 3, "images": 2, "classes": 1, "objects": 150}, 300, id="crowded"),
    pytest.param({"seed": 4, "images": 2, "classes": 1, "objects": 150}, 100, id="more than max_det"),
    pytest.param({"seed": 5, "images": 6, "classes": 2, "objects": 30, "grid": True}, 7, id="ties at max_det"),
    pytest.param({"seed": 6, "images": 5, "classes": 2, "objects": 4, "noise": 0.0}, 300, id="perfect boxes"),
    pytest.param({"seed": 7, "images": 5, "classes": 2, "objects": 4, "noise": 9.0}, 300, id="nothing right"),
]


@pytest.mark.parametrize(("options", "max_det"), SETS)
def test_ap_equals_pycocotools(options, max_det):
    found, labels = random_split(**options)
    names = [str(i) for i in range(options["classes"])]
    metrics = measure(found, labels, names, max_det)
    expected = coco_ap(found, labels, len(names), max_det)
    np.testing.assert_allclose(metrics.ap, expected[metrics.classes], atol=1e-6)
    np.testing.assert_array_equal(np.delete(expected, metrics.classes, axis=0), -1)


@pytest.fixture(scope="module")
def recorded(shared):
    """Recorded detections of a real model in 128 COCO images, and the labels of these."""
    folder = shared / "facts" / "reference"
    truth = json.loads((folder / "detect_coco_train_gt.json").read_text())
    detections = json.loads((folder / "detect_coco_train_detections.json").read_text())
    images = sorted(image["id"] for image in truth["images"])
    found, labels = {i: [] for i in images}, {i: [] for i in images}
    for row in detections:
        found[row["image_id"]].append(row)
    for row in truth["annotations"]:
        labels[row["image_id"]].append(row)

    def columns(rows):
        boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes.astype(np.float32), np.array([row["category_id"] - 1 for row in rows], np.int64)

    results = []
    for i in images:
        boxes, classes = columns(found[i])
        results.append(Detections(boxes, np.array([row["score"] for row in found[i]], np.float32), classes))
    return results, [Labels(*reversed(columns(labels[i]))) for i in images]


@pytest.mark.parametrize("max_det", [300, 100])
def test_ap_of_real_detections_equals_pycocotools(recorded, max_det):
    metrics = measure(*recorded, [str(i) for i in range(80)], max_det)
    expected = coco_ap(*recorded, 80, max_det)
    np.testing.assert_allclose(metrics.ap, expected[metrics.classes], atol=1e-6)
    assert metrics.map50_95 == pytest.approx(0.528, abs=5e-4)


def boxes(*corners):
    return np.array(corners, np.float32).reshape(-1, 4)


LABELS = [
    Labels(np.array([0, 1]), boxes([0, 0, 10, 10], [50, 50, 60, 60])),
    Labels(np.array([0]), boxes([0, 0, 10, 10])),
    Labels(np.zeros(0, np.int64), boxes()),
]
FOUND = [
    Detections(
        boxes([0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]),
        np.array([0.9, 0.8, 0.7], np.float32),
        np.array([0, 2, 1]),
    ),
    Detections.empty(),
    Detections(boxes([0, 0, 10, 10]), np.array([0.6], np.float32), np.array([0])),
]


def test_confusion():
    metrics = measure(FOUND, LABELS, ["a", "b", "c"])
    #          true a  b  c  nothing
    expected = [[1, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(metrics.confusion, expected)


def test_classes_without_labels_are_left_out_of_the_mean():
    metrics = measure(FOUND, LABELS, ["a", "b", "c"])
    assert metrics.classes.tolist() == [0, 1] and metrics.objects.tolist() == [2, 1]
    assert metrics.map50 == pytest.approx(metrics.ap[:, 0].mean())
    assert set(metrics.per_class()) == {"a", "b"}


@pytest.mark.parametrize(
    ("confidence", "precision", "recall"),
    [(0.95, 1.0, 0.0), (0.7, 1.0, 0.5), (0.55, 0.5, 0.5), (0.0, 0.5, 0.5)],
    ids=["nothing that sure: no mistake", "only the right one", "the wrong one too", "everything"],
)
def test_curves_say_what_is_left_at_a_confidence(confidence, precision, recall):
    metrics = measure(FOUND, LABELS, ["a", "b", "c"])
    at = np.searchsorted(CONFIDENCES, confidence)
    assert metrics.precision_curve[0, at] == precision
    assert metrics.recall_curve[0, at] == recall


def test_figures_are_stated_where_f1_is_highest():
    metrics = measure(FOUND[:2], LABELS[:2], ["a", "b", "c"])
    assert metrics.f1 == pytest.approx(metrics.f1_curve.mean(axis=0).max())
    assert metrics.summary()["precision"] == metrics.precision
    assert 0 <= metrics.confidence < 0.9


@pytest.mark.parametrize(
    ("found", "labels"),
    [
        pytest.param([Detections.empty()], [LABELS[0]], id="nothing found"),
        pytest.param([FOUND[2]], [LABELS[2]], id="nothing there"),
        pytest.param([], [], id="no images"),
    ],
)
def test_nothing_gives_zeros(found, labels):
    metrics = measure(found, labels, ["a", "b", "c"])
    assert metrics.map50_95 == metrics.recall == metrics.f1 == 0
    json.dumps([metrics.summary(), metrics.per_class()], allow_nan=False)
