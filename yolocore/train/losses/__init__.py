"""What training minimises, for each task: weighted parts, and their sum times the images of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from yolocore.config.tree import TrainConfig
from yolocore.meta import KeypointShape, Task
from yolocore.train.assign import Targets
from yolocore.train.losses.dense import DENSE_PARTS, dense_loss

PARTS: dict[Task, tuple[str, ...]] = {**DENSE_PARTS, "classify": ("loss",)}


def task_loss(
    task: Task,
    raw: Sequence[Tensor],
    targets: Targets,
    config: TrainConfig,
    *,
    keypoints: KeypointShape | None = None,
    class_weights: Tensor | None = None,
    total: Callable[[Tensor], Tensor] = lambda counts: counts,
) -> tuple[Tensor, Tensor]:
    """Loss of a batch, or of one process's share of it. Computed in float32 whatever the network ran in.

    raw: what the model puts out in training (`YOLO11.raw`). config: gives the parts' weights.
    keypoints: of a pose model. class_weights: (nc,) of the class term.
    total: adds up a tensor of counts over all processes. With it, the sums of what the processes return
    are the loss and the parts of the whole batch.
    Returns the scalar to differentiate, which is the weighted sum of the parts times the images of the
    whole batch (so that accumulated batches weigh by their images), and the weighted parts, detached, as
    PARTS names them.
    """
    if task == "classify":
        return _classification_loss(raw[0], targets.classes, class_weights, total)
    return dense_loss(task, raw, targets, config, keypoints, class_weights, total)


def _classification_loss(
    logits: Tensor, classes: Tensor, class_weights: Tensor | None, total: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Cross-entropy, a mean over images weighted by their classes. logits: (b, nc). classes: (b,)."""
    weight = logits.new_ones(len(logits)) if class_weights is None else class_weights[classes]
    counts = torch.stack((weight.float().sum(), weight.new_tensor(len(weight)).float()))
    per_weight, images = total(counts)
    loss = cross_entropy(logits.float(), classes, class_weights, reduction="sum") / per_weight
    return loss * images, loss.detach()[None]
