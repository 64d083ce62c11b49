"""What a model makes of a batch: from pictures in memory to the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from yolocore.config.tree import TrainConfig
from yolocore.data.loader import Batch, ObjectTable
from yolocore.meta import ModelMeta
from yolocore.train.assign import Targets
from yolocore.train.losses import PARTS, task_loss


def _alone(count: Tensor) -> Tensor:
    return count


@dataclass(frozen=True)
class Objective:
    """The loss of one training. half: type of mixed precision, None for none. class_weights: (nc,) on the device.
    total: adds up counts over all processes that share a batch."""

    meta: ModelMeta
    config: TrainConfig
    device: torch.device
    half: torch.dtype | None
    class_weights: Tensor | None = None
    total: Callable[[Tensor], Tensor] = _alone

    @property
    def parts(self) -> tuple[str, ...]:
        return PARTS[self.meta.task]

    def alone(self) -> Objective:
        """For batches that this process has to itself."""
        return replace(self, total=_alone)

    def __call__(self, network: Callable[[Tensor], Sequence[Tensor]], batch: Batch) -> tuple[Tensor, Tensor]:
        """What a network (`YOLO11.raw`) makes of a batch, as `task_loss` returns it."""
        # A view of the batch's own memory, which is channels last already.
        images = torch.from_numpy(batch.images).to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
        # Every weight is used once: nothing to cache, and recordings (recorded.py) could not.
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None, cache_enabled=False):
            raw = network(images)
        return self.loss(raw, batch.objects)

    def loss(self, raw: Sequence[Tensor], objects: ObjectTable) -> tuple[Tensor, Tensor]:
        """raw: of `YOLO11.raw`. As `task_loss` returns it."""
        return task_loss(
            self.meta.task,
            raw,
            Targets.of(objects, self.device),
            self.config,
            keypoints=self.meta.keypoints,
            class_weights=self.class_weights,
            total=self.total,
        )
