"""Detections that another program made of public images with public weights, and the images' labels."""

import json

import numpy as np
from pycocotools import mask as coco_mask

from yolocore.data import open_dataset
from yolocore.detections import Detections
from yolocore.masks import Masks


def open_split(shared, folder, kind):
    """The COCO images, with labels of a kind: all 128 for detect, the 100 that have outlines for segment."""
    (folder / "images").mkdir()
    (folder / "labels").symlink_to(shared / f"data/coco/labels-{kind}")
    for image in (shared / "data/coco/images").iterdir():
        if kind == "detect" or (folder / f"labels/{image.stem}.txt").exists():
            (folder / "images" / image.name).symlink_to(image)
    (folder / "dataset.yaml").write_text(
        f"path: {folder}\ntrain: images\nval: images\n" + (shared / "data/coco/names.yaml").read_text()
    )
    return open_dataset(folder / "dataset.yaml").split("val")


def read_detections(path, split):
    """COCO results as `Detections` in the order of the split."""
    rows = {name: [] for name in split.names}
    for row in json.loads(path.read_text()):
        rows[row["file_name"]].append(row)
    return [_detections(of_image) for of_image in rows.values()]


def _detections(rows):
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    masks = None
    if rows and "segmentation" in rows[0]:
        dense = [coco_mask.decode(row["segmentation"]).astype(bool)[None] for row in rows]
        masks = Masks.merge([Masks.from_dense(each) for each in dense])
    return Detections(
        boxes.astype(np.float32),
        np.array([row["score"] for row in rows], np.float32),
        np.array([row["category_id"] - 1 for row in rows], np.int64),
        masks=masks,
    )
