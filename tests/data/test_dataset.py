"""A plain YOLO folder as a dataset: the same as the one ingested from it."""

import json

import cv2
import numpy as np
import pytest

from yolocore.config import IngestConfig
from yolocore.data import decode_image, open_dataset
from yolocore.errors import DataError
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs

ROW = "0 0.5 0.5 0.5 0.5\n"


def same_labels(one, two):
    for name in ("classes", "boxes", "keypoints", "corners"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    outlines = [[[part.tolist() for part in parts] for parts in labels.polygons or ()] for labels in (one, two)]
    assert outlines[0] == outlines[1]


def ingested(root, tmp_path):
    record = ingest(IngestConfig(), IngestInputs(source=str(root)), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.digest == record.dataset
    return dataset, record


KEYPOINTS = {"kpt_shape": [2, 3], "flip_idx": [1, 0]}


@pytest.mark.parametrize(
    ("labels", "description", "annotations"),
    [
        pytest.param({"train/b": ROW + "1 .1 .1 .1 .123457", "train/a": "", "val/c": ROW}, {}, ("boxes",), id="boxes"),
        pytest.param(
            {"train/a": ROW + "1 .1 .1 .3 .1 .3 .4", "val/c": ROW}, {}, ("boxes", "polygons"), id="some outlines"
        ),
        pytest.param(
            {"train/a": "0 .2 .1 .4 .3 .3 .5 .1 .3", "val/c": ""}, {}, ("boxes", "polygons"), id="rotated boxes"
        ),
        pytest.param(
            {"train/a": "0 .5 .5 .5 .5 .3 .3 2 .4 .4 1\n" + ROW, "val/c": "0 .5 .5 .5 .5 0 0 0 0 0 0"},
            KEYPOINTS,
            ("boxes", "keypoints"),
            id="keypoints",
        ),
        pytest.param(
            {"train/a": "0 .5 .5 .5 .5 .3 .3 0 0", "val/c": ""},
            {"kpt_shape": [2, 2]},
            ("boxes", "keypoints"),
            id="keypoints without visibility",
        ),
        pytest.param({"train/a": ROW, "val/c": ""}, KEYPOINTS, ("boxes",), id="no keypoint of those announced"),
    ],
)
def test_plain_and_ingested_are_the_same(yolo_folder, tmp_path, labels, description, annotations):
    root = yolo_folder(labels, **description)
    plain = open_dataset(root)
    sharded, _ = ingested(root, tmp_path)
    assert plain.digest == sharded.digest
    assert plain.annotations == sharded.annotations == annotations
    assert plain.legend == sharded.legend
    said = bool(description.get("flip_idx")) or not description
    assert plain.legend.mirrors is said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert ("keypoints without mirror images" in report["warnings"]) is not said
    for name in ("train", "val"):
        one, two = plain.split(name), sharded.split(name)
        assert one.names == two.names
        assert one.digest == two.digest
        np.testing.assert_array_equal(one.sizes, two.sizes)
        for i in range(len(one)):
            assert one.image(i) == two.image(i)
            same_labels(one.labels(i), two.labels(i))


def test_harmless_labels_are_left_out_of_both(yolo_folder, tmp_path):
    root = yolo_folder({"train/a": ROW, "val/c": ROW + ROW + "1 .5 .5 0 0"})
    sharded, record = ingested(root, tmp_path)
    assert open_dataset(root).digest == sharded.digest
    assert record.dropped == {"duplicate box": 1, "zero-area box": 1}


def test_class_folders(class_folders, tmp_path):
    root = class_folders("train/dog/b.jpg", "train/cat/a.jpg", "val/dog/c.jpg", "test/cat/deep/d.jpg")
    plain = open_dataset(root)
    sharded, record = ingested(root, tmp_path)
    assert plain.digest == sharded.digest
    assert record.objects == {"cat": 2, "dog": 2}
    for dataset in (plain, sharded):
        assert dataset.annotations == ("classes",)
        assert dataset.names == ("cat", "dog")
        assert set(dataset.splits) == {"train", "val", "test"}
        split = dataset.split("train")
        assert split.names == ("cat/a.jpg", "dog/b.jpg")
        assert [split.labels(i).classes.tolist() for i in (0, 1)] == [[0], [1]]
        np.testing.assert_array_equal(split.labels(0).boxes, np.array([[0, 0, 60, 40]], np.float32))
        dataset.check_task("classify")


def test_keypoints_of_real_images(shared):
    dataset = open_dataset(shared / "data" / "coco8-pose")
    assert dataset.keypoints == (17, 3)
    assert dataset.flip_idx[:5] == (0, 2, 1, 4, 3)
    dataset.check_task("pose", (17, 3))
    for split in map(dataset.split, dataset.splits):
        for i in range(len(split)):
            labels = split.labels(i)
            assert labels.keypoints.shape == (len(labels), 17, 3)
            # Boxes hold what is to be seen of a person, and keypoints may be hidden: they lie near, not always inside.
            points, (low, high) = labels.keypoints[..., :2], np.split(labels.boxes[:, None], 2, axis=-1)
            outside = np.maximum(low - points, points - high).max(axis=-1) / (high - low).max(axis=-1)
            assert outside[labels.keypoints[..., 2] > 0].max() < 0.5


def test_rotated_boxes_of_real_images(shared):
    dataset = open_dataset(shared / "data" / "dota8")
    dataset.check_task("obb")
    for split in map(dataset.split, dataset.splits):
        for i in range(len(split)):
            labels = split.labels(i)
            quadrangles = np.array([parts[0] for parts in labels.polygons])
            # They were drawn nearly as rectangles: what is found around each one is hardly larger than it.
            areas = np.array([cv2.contourArea(quadrangle) for quadrangle in quadrangles])
            share = labels.rotated[:, 2] * labels.rotated[:, 3] / areas
            assert share.min() > 0.999
            assert share.max() < 1.2
            np.testing.assert_allclose(labels.rotated[:, :2], quadrangles.mean(axis=1), atol=4)


BOXES = {"train/a": ROW, "val/b": ""}
OUTLINES = {"train/a": "0 .1 .1 .3 .1 .3 .4", "val/b": ""}
POSES = {"train/a": "0 .5 .5 .5 .5 .3 .3 2 .4 .4 1", "val/b": ""}


@pytest.mark.parametrize(
    ("labels", "task", "shape", "words"),
    [
        (BOXES, "detect", None, None),
        (OUTLINES, "detect", None, None),
        (OUTLINES, "segment", None, None),
        (OUTLINES, "obb", None, None),
        (POSES, "pose", None, None),
        (POSES, "pose", (2, 3), None),
        (
            BOXES,
            "segment",
            None,
            "set: has no labels for task=segment, only boxes; add outlines, or use task=detect",
        ),
        (BOXES, "obb", None, "no labels for task=obb, only boxes; add corners or outlines, or use task=detect"),
        (BOXES, "classify", None, "sort its images into folders named as the classes, or use task=detect"),
        (BOXES, "pose", (2, 3), "no labels for task=pose, only boxes; add keypoints"),
        (OUTLINES, "pose", None, "add keypoints, or use task=detect, segment or obb and a model for it$"),
        (POSES, "pose", (17, 3), "its keypoints have the shape 2x3, the model's 17x3; use a model"),
        (POSES, "pose", (2, 2), "its keypoints have the shape 2x3, the model's 2x2; use a model"),
        (
            {"train/a": "0 .5 .5 0 0", "val/b": ""},
            "detect",
            None,
            r"task=detect, not even an object \(those of a\.jpg belong in .*/set/labels/train/a\.txt; "
            r"boxes without area do not count\); add boxes$",
        ),
    ],
)
def test_which_tasks_labels_serve(yolo_folder, labels, task, shape, words):
    dataset = open_dataset(yolo_folder(labels, **(KEYPOINTS if labels is POSES else {})))
    if words is None:
        dataset.check_task(task, shape)
        return
    with pytest.raises(DataError, match=words) as error:
        dataset.check_task(task, shape)
    assert "\n" not in str(error.value)


def test_a_plain_folder_is_read(yolo_folder):
    root = yolo_folder({"train/a": ROW, "val/b": ""})
    split = open_dataset(root / "dataset.yaml").split("train")
    assert split.names == ("a.jpg",)
    np.testing.assert_array_equal(split.sizes, [[40, 60]])
    assert split.sizes.dtype == np.int32
    np.testing.assert_array_equal(split.labels(0).boxes, np.array([[15, 10, 45, 30]], np.float32))
    assert decode_image(split.image(0), "a.jpg").shape == (40, 60, 3)


def test_names_decide_the_digest(yolo_folder):
    one = yolo_folder({"train/a": ROW, "val/b": ROW}, name="one")
    two = yolo_folder({"train/a": ROW, "val/b": ROW}, name="two")
    three = yolo_folder({"train/a": ROW, "val/b": ROW}, name="three", names=["dog", "cat"])
    assert open_dataset(one).digest == open_dataset(two).digest != open_dataset(three).digest


def test_what_keypoints_mean_decides_the_digest(yolo_folder):
    descriptions = [{}, KEYPOINTS, {**KEYPOINTS, "flip_idx": [0, 1]}, {**KEYPOINTS, "kpt_shape": [2, 2]}]
    datasets = [open_dataset(yolo_folder(BOXES, str(i), **each)) for i, each in enumerate(descriptions)]
    assert len({dataset.digest for dataset in datasets}) == len(datasets)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / "labels/train/a.txt").write_text("9 .5 .5 .5 .5"), "labels/train/a.txt:1: class 9"),
        (lambda root: (root / "labels/train/a.txt").write_text("0 .9 .9 .5 .5"), "a.txt:1: the box .* is outside"),
        (lambda root: (root / "images/train/a.jpg").write_bytes(b"\xff\xd8"), "a.jpg: .* can be decoded"),
        (lambda root: (root / "dataset.yaml").write_text("names: [a]"), "names no splits; ingest it first"),
        (lambda root: (root / "dataset.yaml").unlink(), "no dataset of a known form; looked for yolo: a yaml"),
    ],
    ids=["class out of range", "box outside", "broken image", "no splits", "no description"],
)
def test_what_is_wrong_is_named(yolo_folder, spoil, words):
    root = yolo_folder({"train/a": ROW, "val/b": ROW})
    spoil(root)
    with pytest.raises(DataError, match=words):
        open_dataset(root).split("train")


def test_an_empty_path_is_not_the_folder_that_we_are_in(yolo_folder, monkeypatch):
    monkeypatch.chdir(yolo_folder(BOXES))
    with pytest.raises(DataError, match=r"^data=: is empty; give"):
        open_dataset("")


def test_a_missing_dataset(tmp_path):
    with pytest.raises(DataError, match=r"data=.*nowhere: no such file or folder"):
        open_dataset(tmp_path / "nowhere")
