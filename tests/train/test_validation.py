"""Validation within training: pictures without objects are validated like any others."""

import torch

from yolocore.config import TrainConfig
from yolocore.data import open_dataset
from yolocore.data.subset import subset
from yolocore.meta import ModelMeta
from yolocore.model.yolo11 import build
from yolocore.progress import SILENT
from yolocore.train.objective import Objective
from yolocore.train.validation import Validator


def test_keypoints_are_validated_beside_pictures_without_objects(shapes):
    dataset = open_dataset(shapes)
    images = subset(dataset.split("train"), classes=(0,))
    counts = [len(images.labels(index)) for index in range(len(images))]
    assert 0 in counts and max(counts) > 0, "the case is not there"
    meta = ModelMeta(task="pose", names=dataset.names, keypoints=dataset.keypoints, imgsz=64)
    config = TrainConfig(imgsz=64, batch=len(images), workers=0)
    model = build("n", len(meta.names), "pose", meta.keypoints)
    objective = Objective(meta, config, torch.device("cpu"), None)
    with Validator(images, meta, config, objective, SILENT, dataset.flip_idx) as validator:
        figures = validator.measure(model, lambda: False)
    assert all(value > 0 for value in figures.losses.values())
