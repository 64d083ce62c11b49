"""Validation within training: the loss is that of the pictures which the figures are about."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.data import open_dataset
from yolocore.data.images import decode_image
from yolocore.data.loader import Batch, ObjectTable
from yolocore.data.subset import subset
from yolocore.letterbox import Letterbox
from yolocore.meta import ModelMeta
from yolocore.model.device import half_type
from yolocore.model.yolo11 import YOLO11, build
from yolocore.progress import SILENT
from yolocore.train.objective import Objective
from yolocore.train.validation import Validator

TASKS = ("detect", "segment", "pose", "obb", "classify")
CPU = torch.device("cpu")


def setting(dataset, task: str) -> tuple[YOLO11, Objective, ModelMeta]:
    keypoints = dataset.keypoints if task == "pose" else None
    torch.manual_seed(0)
    model = build("n", len(dataset.names), task, keypoints).eval()
    meta = ModelMeta(task=task, names=dataset.names, keypoints=keypoints, imgsz=64)
    return model, Objective(meta, TrainConfig(imgsz=64), CPU, None), meta


@pytest.mark.parametrize("task", TASKS)
def test_the_network_sees_every_image_once(shapes, class_folders, task: str, monkeypatch) -> None:
    dataset = open_dataset(class_folders if task == "classify" else shapes)
    model, objective, meta = setting(dataset, task)
    images, seen = dataset.split("val"), []
    raw = YOLO11.raw
    monkeypatch.setattr(YOLO11, "raw", lambda self, batch: seen.append(len(batch)) or raw(self, batch))
    figures = Validator(images, meta, objective, SILENT).measure(model, lambda: False)
    assert sum(seen) == len(images)
    assert tuple(figures.losses) == objective.parts
    assert all(value > 0 for value in figures.losses.values())


@pytest.mark.skipif(half_type(CPU) is None, reason="needs a CPU with bfloat16")
def test_the_network_is_judged_in_the_precision_of_training(shapes, monkeypatch) -> None:
    dataset = open_dataset(shapes)
    model, objective, meta = setting(dataset, "detect")
    raw, types = YOLO11.raw, set()
    monkeypatch.setattr(YOLO11, "raw", lambda self, batch: types.add(batch.dtype) or raw(self, batch))
    losses = []
    for half in (None, torch.bfloat16):
        validator = Validator(dataset.split("val"), meta, replace(objective, half=half), SILENT)
        losses.append(list(validator.measure(model, lambda: False).losses.values()))
    assert types == {torch.float32, torch.bfloat16}
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_the_loss_is_of_each_image_on_the_evaluators_canvas(shapes) -> None:
    """Square images of imgsz get half a stride of context: their canvas is one stride larger."""
    dataset = open_dataset(shapes)
    model, objective, meta = setting(dataset, "detect")
    images = dataset.split("val")
    figures = Validator(images, meta, objective, SILENT).measure(model, lambda: False)
    sums = torch.zeros(len(objective.parts))
    for start in range(0, len(images), 16):
        indices = range(start, min(start + 16, len(images)))
        place = Letterbox.fit((64, 64), (96, 96), 64)
        pictures = [place.apply(decode_image(images.image(index), images.names[index])) for index in indices]
        labels = [images.labels(index) for index in indices]
        boxes = np.concatenate([each.boxes for each in labels]) + 16
        rows = np.repeat(np.arange(len(labels)), [len(each) for each in labels])
        table = ObjectTable(rows, np.concatenate([each.classes for each in labels]), boxes.astype(np.float32))
        with torch.no_grad():
            sums += objective(model.raw, Batch(np.stack(pictures)[..., ::-1].copy(), table))[1] * len(labels)
    for found, expected in zip(figures.losses.values(), (sums / len(images)).tolist(), strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


def test_keypoints_are_validated_beside_pictures_without_objects(shapes) -> None:
    dataset = open_dataset(shapes)
    images = subset(dataset.split("train"), classes=(0,))
    counts = [len(images.labels(index)) for index in range(len(images))]
    assert 0 in counts and max(counts) > 0, "the case is not there"
    model, objective, meta = setting(dataset, "pose")
    figures = Validator(images, meta, objective, SILENT).measure(model, lambda: False)
    assert all(value > 0 for value in figures.losses.values())
