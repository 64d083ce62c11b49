"""Where a training starts from: fresh weights, or all those of a checkpoint that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from yolocore.config.tree import TrainConfig
from yolocore.data.dataset import Dataset
from yolocore.data.legend import NOT_MIRRORED
from yolocore.errors import ModelError, UsageError
from yolocore.meta import ONE_CLASS, SUFFIXES, ModelMeta, Scale, Task, architecture
from yolocore.model.checkpoint import load_weights
from yolocore.model.head import Classify, Detect
from yolocore.model.transfer import transfer
from yolocore.model.yolo11 import YOLO11, build
from yolocore.progress import Listener


@dataclass(frozen=True)
class Origin:
    """What was asked to start from. model: its name or path. weights: those of a checkpoint, with what they say."""

    model: str
    scale: Scale
    task: Task
    weights: tuple[YOLO11, ModelMeta] | None = None


def choose_origin(model: str, config: TrainConfig) -> Origin:
    """Find out what `model` is: an architecture (yolo11n, yolo11n-seg, …) or the path of a checkpoint.

    `task` may give a plain architecture another head. Raises ModelError for a model of another task, and as
    `load_weights` does.
    """
    known = architecture(model)
    weights = None
    if known:
        scale, task = known
        if task == "detect":
            task = config.task or task
    else:
        weights = load_weights(model)
        scale, task = weights[1].scale, weights[1].task
    if config.task not in (None, task):
        fitting = f"yolo11{scale}{SUFFIXES[config.task]}"
        raise ModelError(f"model={model}: is for task={task}, not task={config.task}; give {fitting} or its weights")
    return Origin(model, scale, task, weights)


def check_labels(dataset: Dataset, origin: Origin) -> None:
    """Raises DataError for a dataset without labels of the task, or with another number of keypoints than the weights
    have. Whether each has a visibility may differ: that is learnt anew."""
    theirs = origin.weights[1].keypoints if origin.weights else None
    same = theirs and dataset.keypoints and theirs[0] == dataset.keypoints[0]
    dataset.check_task(origin.task, None if same else theirs)


def start_from(origin: Origin, dataset: Dataset, config: TrainConfig, listener: Listener) -> tuple[YOLO11, ModelMeta]:
    """A model for the classes and keypoints of a dataset, with what it will say of itself.

    Fresh weights follow the config's seed. Layers before `freeze` take no part in training. Raises UsageError
    where that leaves none.
    """
    torch.manual_seed(config.seed)
    names = class_names(dataset, config)
    keypoints = dataset.keypoints if origin.task == "pose" else None
    network = build(origin.scale, len(names), origin.task, keypoints, _class_width(origin))
    if origin.weights is None:
        listener.note(f"yolo11{origin.scale}{SUFFIXES[origin.task]} from scratch")
    else:
        moved = transfer(network, origin.weights[0])
        count, fresh = len(moved.copied), len(moved.fresh)
        listener.note(f"{count} tensors from {origin.model}, {fresh} fresh for {len(names)} classes")
    if origin.task == "pose" and not dataset.legend.mirrors and (config.fliplr or config.flipud):
        listener.note(NOT_MIRRORED)
    if config.freeze >= len(network.model):
        raise UsageError(
            f"freeze={config.freeze}: the network has {len(network.model)} layers; leave the last to learn"
        )
    frozen_layers(network, config.freeze).requires_grad_(False)
    if isinstance(network.head, Classify):
        network.head.drop.p = config.dropout
    meta = ModelMeta(task=origin.task, scale=origin.scale, names=tuple(names), imgsz=config.imgsz, keypoints=keypoints)
    return network, meta


def _class_width(origin: Origin) -> int | None:
    """That of the weights, whose class branch then serves other classes too, all but its last layer: what it has
    learnt to see is worth more than the width that the number of classes asks for."""
    if origin.weights is None or origin.task == "classify":
        return None
    head = origin.weights[0].head
    return head.class_width if isinstance(head, Detect) else None


def frozen_layers(model: YOLO11, count: int) -> torch.nn.ModuleList:
    return model.model[:count]


def class_names(dataset: Dataset, config: TrainConfig) -> Sequence[str]:
    """The classes that the model is to tell apart."""
    return ONE_CLASS if config.single_cls else dataset.names
