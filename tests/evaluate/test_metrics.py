"""The figures: equal to pycocotools where both define them, worked examples for the rest."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.evaluate.coco import coco_ap, random_split, with_angles, with_keypoints, with_masks
from yolocore.data.labels import Labels
from yolocore.detections import Classification, Detections
from yolocore.evaluate import measure, measure_classes, measure_detections
from yolocore.evaluate.accuracy import CONFIDENCES, receiver_operating

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


def equal_pycocotools(found, labels, classes, max_det, task, kind, reference, sigmas=None):
    metrics = measure_detections(found, labels, [str(i) for i in range(classes)], max_det, task)
    accuracy = metrics.accuracies[kind]
    expected = coco_ap(found, labels, classes, max_det, reference, sigmas)
    np.testing.assert_allclose(accuracy.ap, expected[accuracy.classes], atol=1e-6)
    np.testing.assert_array_equal(np.delete(expected, accuracy.classes, axis=0), -1)
    return accuracy


@pytest.mark.parametrize(("options", "max_det"), SETS)
def test_ap_of_boxes_equals_pycocotools(options, max_det):
    equal_pycocotools(*random_split(**options), options["classes"], max_det, "detect", "box", "bbox")


@pytest.mark.parametrize(("options", "max_det"), SETS)
def test_ap_of_masks_equals_pycocotools(options, max_det):
    found, labels = with_masks(*random_split(**options))
    equal_pycocotools(found, labels, options["classes"], max_det, "segment", "mask", "segm")


@pytest.mark.parametrize("count", [17, 5], ids=["people", "other things"])
@pytest.mark.parametrize(("options", "max_det"), SETS)
def test_ap_of_keypoints_equals_pycocotools(options, max_det, count):
    found, labels = with_keypoints(*random_split(**{**options, "noise": options.get("noise", 0.2) / 3}), count)
    sigmas = None if count == 17 else np.full(count, 1 / count)
    equal_pycocotools(found, labels, options["classes"], max_det, "pose", "pose", "keypoints", sigmas)


@pytest.mark.parametrize(("options", "max_det"), SETS)
def test_ap_of_rotated_boxes_equals_pycocotools_matching(options, max_det):
    found, labels = with_angles(*random_split(**options))
    equal_pycocotools(found, labels, options["classes"], max_det, "obb", "rotated", "rotated")


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
    metrics = measure_detections(FOUND, LABELS, ["a", "b", "c"])
    #          true a  b  c  nothing
    expected = [[1, 0, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(metrics.confusion, expected)


def test_what_is_left_of_right_and_wrong_detections_at_a_confidence():
    """0.9 and 0.6 are the class's only right one and a wrong one; 0.8 is of a class without objects, 0.7 nowhere."""
    roc = measure_detections(FOUND, LABELS, ["a", "b", "c"]).roc
    np.testing.assert_allclose(roc.confidences, [0.9, 0.6], rtol=1e-6)
    np.testing.assert_allclose(roc.true_positive_rate, [1 / 3, 1 / 3])
    np.testing.assert_allclose(roc.false_positive_rate, [0, 1])


def test_without_detections_nothing_is_left():
    roc = measure_detections([Detections.empty()] * 3, LABELS, ["a", "b", "c"]).roc
    assert len(roc.confidences) == len(roc.true_positive_rate) == len(roc.false_positive_rate) == 0


@pytest.mark.parametrize("levels", [1000, 5], ids=["few equal scores", "many"])
def test_the_operating_curve_lies_on_scikit_learns(levels):
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(levels)
    scores, right = rng.integers(0, levels, 500) / levels, rng.random(500) < 0.3
    roc = receiver_operating(scores, right, int(right.sum()))
    wrong, found, confidences = roc_curve(right, scores, drop_intermediate=False)
    reference = {tuple(row) for row in np.stack([wrong, found, confidences], axis=1).round(9).tolist()}
    ours = np.stack([roc.false_positive_rate, roc.true_positive_rate, roc.confidences], axis=1).round(9)
    assert {tuple(row) for row in ours.tolist()} <= reference
    assert len(ours) == min(33, levels)
    assert ours[-1, 0] == ours[-1, 1] == 1


def test_classes_without_labels_are_left_out_of_the_mean():
    metrics = measure_detections(FOUND, LABELS, ["a", "b", "c"])
    assert metrics.classes.tolist() == [0, 1] and metrics.objects.tolist() == [2, 1]
    assert metrics.principal.map50 == pytest.approx(metrics.principal.ap[:, 0].mean())
    assert set(metrics.per_class()) == {"a", "b"}


@pytest.mark.parametrize(
    ("confidence", "precision", "recall"),
    [(0.95, 1.0, 0.0), (0.7, 1.0, 0.5), (0.55, 0.5, 0.5), (0.0, 0.5, 0.5)],
    ids=["nothing that sure: no mistake", "only the right one", "the wrong one too", "everything"],
)
def test_curves_say_what_is_left_at_a_confidence(confidence, precision, recall):
    metrics = measure_detections(FOUND, LABELS, ["a", "b", "c"])
    at = np.searchsorted(CONFIDENCES, confidence)
    assert metrics.principal.precision_curve[0, at] == precision
    assert metrics.principal.recall_curve[0, at] == recall


def test_figures_are_stated_where_f1_is_highest():
    metrics = measure_detections(FOUND[:2], LABELS[:2], ["a", "b", "c"])
    accuracy = metrics.principal
    assert accuracy.f1 == pytest.approx(accuracy.f1_curve.mean(axis=0).max())
    assert metrics.summary()["precision"] == accuracy.precision
    assert 0 <= accuracy.confidence < 0.9


def test_iou_is_that_of_the_right_detections_at_the_best_confidence():
    """Half of the first object is found and four fifths of the second; a better guess of the first comes too late, and
    what is unsure or beside counts for nothing."""
    labels = [Labels(np.array([0, 0, 1]), boxes([0, 0, 100, 100], [200, 0, 300, 100], [0, 200, 100, 300]))]
    rows = [[0, 0, 60, 100], [200, 0, 280, 100], [0, 0, 100, 99], [400, 0, 500, 100], [0, 200, 100, 290]]
    scores, classes = np.float32([0.9, 0.8, 0.7, 0.001, 0.75]), np.array([0, 0, 0, 0, 1])
    metrics = measure_detections([Detections(boxes(*rows), scores, classes)], labels, ["a", "b"])
    assert 0.001 < metrics.principal.confidence < 0.7
    assert metrics.summary()["iou"] == pytest.approx((0.6 + 0.8 + 0.9) / 3)
    assert [row["iou"] for row in metrics.per_class().values()] == pytest.approx([0.7, 0.9])


BOX_FIGURES = ["map50_95", "map50", "map75", "precision", "recall", "f1", "iou", "confidence"]
TASKS = {
    "detect": (lambda *split: split, ""),
    "segment": (with_masks, "mask_"),
    "pose": (lambda *split: with_keypoints(*split, 17), "pose_"),
    "obb": (with_angles, ""),
}


@pytest.mark.parametrize("task", TASKS)
def test_names_and_fitness_of_each_task(task):
    more, prefix = TASKS[task]
    found, labels = more(*random_split(0, 10, 3, 6))
    metrics = measure(found, labels, ["a", "b", "c"], task=task)
    summary, per_class = metrics.summary(), metrics.per_class()
    own = [f"{prefix}{name}".replace("pose_iou", "pose_oks") for name in BOX_FIGURES[:-1]] if prefix else []
    assert list(summary) == BOX_FIGURES + own
    assert metrics.fitness == sum(value for name, value in summary.items() if name.endswith("map50_95"))
    for row in per_class.values():
        assert set(row) == {"objects"} | {name for name in summary if not name.endswith(("map75", "confidence"))}
    json.dumps([summary, per_class], allow_nan=False)


@pytest.mark.parametrize("task", TASKS)
def test_perfect_detections_have_perfect_figures(task):
    _, labels = TASKS[task][0](*random_split(0, 10, 3, 6))
    labels = [replace(truth, keypoints=np.maximum(truth.keypoints, 1)) if task == "pose" else truth for truth in labels]
    found = [Detections(truth.boxes, np.full(len(truth), 0.9, np.float32), truth.classes) for truth in labels]
    if task == "segment":
        found = with_masks(found, labels)[0]
    if task == "pose":
        found = [replace(each, keypoints=truth.keypoints) for each, truth in zip(found, labels, strict=True)]
    if task == "obb":
        found = [replace(each, rotated=truth.rotated) for each, truth in zip(found, labels, strict=True)]
    summary = measure(found, labels, ["a", "b", "c"], task=task).summary()
    assert all(value == pytest.approx(1) for name, value in summary.items() if name != "confidence")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("found", "labels"),
    [
        pytest.param([Detections.empty()], [LABELS[0]], id="nothing found"),
        pytest.param([FOUND[2]], [LABELS[2]], id="nothing there"),
        pytest.param([], [], id="no images"),
    ],
)
def test_nothing_gives_zeros(found, labels, task):
    if task != "detect":
        found, labels = TASKS[task][0](found, labels)
        found = [each if len(each) else Detections.empty() for each in found]
    metrics = measure(found, labels, ["a", "b", "c"], task=task)
    assert not any(metrics.summary()[name] for name in ("map50_95", "recall", "f1", "iou"))
    assert metrics.fitness == 0
    json.dumps([metrics.summary(), metrics.per_class()], allow_nan=False)


def test_an_object_without_outline_has_its_box():
    truth = Labels(
        np.array([0, 0]), boxes([0, 0, 10, 10], [20, 20, 40, 40]), ((), (np.float32([[0, 0], [5, 0], [5, 5]]),))
    )
    found, _ = with_masks([Detections(truth.boxes, np.float32([0.9, 0.8]), np.array([1, 1]))], [truth])
    found = [replace(found[0], classes=truth.classes)]
    assert measure(found, [truth], ["a"], task="segment").summary()["mask_map50"] == pytest.approx(0.5, abs=0.01)


def test_an_outline_says_an_objects_area():
    """A thin object is judged more strictly than its box would be: the same distance is a larger share of its size."""
    points = np.full((1, 17, 3), 50, np.float32)
    found = [
        Detections(boxes([0, 0, 100, 100]), np.float32([0.9]), np.array([0]), keypoints=points + np.float32([4, 0, 0]))
    ]
    thick = Labels(np.array([0]), found[0].boxes, keypoints=points)
    thin = replace(thick, polygons=((np.float32([[0, 0], [100, 0], [100, 4], [0, 4]]),),))
    thick, thin = (measure(found, [truth], ["a"], task="pose").summary() for truth in (thick, thin))
    assert thick["pose_map50_95"] > 0.6 > 0.3 > thin["pose_map50_95"]


CERTAIN = np.eye(6, dtype=np.float32)


def seen(*rows):
    return [Classification(np.array(row, np.float32)) for row in rows]


def shown(*classes):
    return [Labels(np.array([label]), boxes([0, 0, 9, 9])) for label in classes]


def test_classes_of_images():
    guesses = seen([0.5, 0.3, 0.2, 0, 0, 0], [0.1, 0.2, 0.3, 0.25, 0.05, 0.1], CERTAIN[5], CERTAIN[5])
    metrics = measure(guesses, shown(0, 4, 5, 0), list("abcdef"), task="classify")
    assert metrics.summary() == {
        "top1": 0.5,
        "top5": 0.75,  # class 4 is the sixth; class 0 comes second of those equally improbable
        "precision": pytest.approx((1 + 0 + 0.5) / 3),
        "recall": pytest.approx((0.5 + 0 + 1) / 3),
        "f1": pytest.approx((2 / 3 + 0 + 2 / 3) / 3),
    }
    assert metrics.fitness == pytest.approx(0.625)
    assert metrics.per_class()["a"] == {"objects": 2, "precision": 1, "recall": 0.5, "f1": pytest.approx(2 / 3)}
    assert list(metrics.per_class()) == ["a", "e", "f"]
    assert metrics.confusion.sum() == 4 and metrics.confusion[5, 0] == 1
    assert metrics.roc.true_positive_rate[-1] == metrics.roc.false_positive_rate[-1] == 1
    assert metrics.roc.confidences[0] == 1, "a certain guess comes first"


def test_of_few_classes_all_are_among_the_first_five():
    metrics = measure_classes(seen([0.9, 0.1], [0.9, 0.1]), shown(0, 1), ["a", "b"])
    assert (metrics.top1, metrics.top5) == (0.5, 1)


def test_no_images_have_no_class():
    metrics = measure([], [], ["a"], task="classify")
    assert set(metrics.summary().values()) == {0} and metrics.fitness == 0
