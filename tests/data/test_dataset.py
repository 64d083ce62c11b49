"""A plain YOLO folder as a dataset: the same as the one ingested from it."""

import numpy as np
import pytest

from yolocore.config import IngestConfig
from yolocore.data import decode_image, open_dataset
from yolocore.errors import DataError
from yolocore.modes.ingest import ingest
from yolocore.modes.inputs import IngestInputs

ROW = "0 0.5 0.5 0.5 0.5\n"


def test_plain_and_ingested_are_the_same(yolo_folder, tmp_path):
    root = yolo_folder({"train/b": ROW + "1 .1 .1 .1 .123457", "train/a": "", "val/c": ROW + ROW + "1 .5 .5 0 0"})
    plain = open_dataset(root)
    record = ingest(IngestConfig(), IngestInputs(source=str(root)), tmp_path / "out")
    sharded = open_dataset(tmp_path / "out")
    assert plain.digest == sharded.digest == record.dataset
    assert record.dropped == {"duplicate box": 1, "zero-area box": 1}
    for name in ("train", "val"):
        one, two = plain.split(name), sharded.split(name)
        assert one.names == two.names
        assert one.digest == two.digest
        np.testing.assert_array_equal(one.sizes, two.sizes)
        for i in range(len(one)):
            assert one.image(i) == two.image(i)
            np.testing.assert_array_equal(one.labels(i).boxes, two.labels(i).boxes)
            np.testing.assert_array_equal(one.labels(i).classes, two.labels(i).classes)


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


def test_a_missing_dataset(tmp_path):
    with pytest.raises(DataError, match=r"data=.*nowhere: no such file or folder"):
        open_dataset(tmp_path / "nowhere")
