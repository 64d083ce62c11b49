"""The whole of detection against another program's: public weights on the real images that it was run on."""

import json

import numpy as np
import pytest

from tests.evaluate.coco import coco_ap
from yolocore.boxes import iou_matrix
from yolocore.config import ValConfig
from yolocore.data import open_dataset
from yolocore.detections import Detections
from yolocore.evaluate import detect_split
from yolocore.runtimes.detector import open_detector


@pytest.mark.slow
def test_public_weights_are_as_good_as_recorded(shared, tmp_path):
    """128 COCO images in rectangular batches of one, as they were recorded."""
    (tmp_path / "images").symlink_to(shared / "data/coco/images")
    (tmp_path / "labels").symlink_to(shared / "data/coco/labels-detect")
    (tmp_path / "dataset.yaml").write_text(
        f"path: {tmp_path}\ntrain: images\nval: images\n" + (shared / "data/coco/names.yaml").read_text()
    )
    split = open_dataset(tmp_path / "dataset.yaml").split("val")
    labels = [split.labels(index) for index in range(len(split))]
    detector = open_detector(str(shared / "data/weights/yolo11n.pt"), "cpu")
    found = detect_split(detector, split, ValConfig(batch=1))
    recorded = read_detections(shared / "facts/reference/detect_coco_train_detections.json", split.names)

    ours, theirs = (coco_ap(each, labels, 80) for each in (found, recorded))
    assert ours[ours > -1].mean() == pytest.approx(theirs[theirs > -1].mean(), abs=0.003)
    assert theirs[theirs > -1].mean() == pytest.approx(0.528, abs=0.001)
    for mine, other in zip(found, recorded, strict=True):
        sure = other[other.scores > 0.25]
        if not len(sure):
            continue
        overlap = iou_matrix(mine.boxes, sure.boxes) * (mine.classes[:, None] == sure.classes)
        assert (overlap.max(axis=0) > 0.99).all()
        np.testing.assert_allclose(mine.scores[overlap.argmax(axis=0)], sure.scores, atol=0.005)


def read_detections(path, names):
    """COCO results as `Detections` in the order of the names."""
    rows = {name: [] for name in names}
    for row in json.loads(path.read_text()):
        x, y, width, height = row["bbox"]
        rows[row["file_name"]].append((x, y, x + width, y + height, row["score"], row["category_id"] - 1))
    columns = [np.array(of_image, np.float32).reshape(-1, 6) for of_image in rows.values()]
    return [Detections(each[:, :4], each[:, 4], each[:, 5].astype(np.int64)) for each in columns]
