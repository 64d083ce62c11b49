"""A small YOLO11 that has learnt nothing and is still sure of what it sees, for tests of exports."""

from __future__ import annotations

import torch
from torch import nn

from yolocore.meta import ModelMeta, Task
from yolocore.model.yolo11 import YOLO11, build


def meta_of(task: Task) -> ModelMeta:
    keypoints = (5, 3) if task == "pose" else None
    return ModelMeta(task=task, names=("red", "green", "blü"), imgsz=64, keypoints=keypoints)


META = meta_of("detect")


def lively_network(task: Task = "detect", meta: ModelMeta | None = None) -> YOLO11:
    """Random weights and normalisations under which scores lie all over 0..1, always the same.

    meta: what it is to be for; that of the task by default.
    """
    torch.manual_seed(0)
    meta = meta or meta_of(task)
    model = build(meta.scale, len(meta.names), meta.task, meta.keypoints).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.08, 0.25)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    if meta.task != "classify":
        for branch in model.head.cv3:
            nn.init.zeros_(branch[-1].bias)
    return model
