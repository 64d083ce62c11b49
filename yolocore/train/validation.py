"""What an epoch is judged by: the evaluator's figures of the average weights, and their loss on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from yolocore.config.tree import ValConfig
from yolocore.data.dataset import Split
from yolocore.data.geometry import Shape
from yolocore.data.loader import ObjectTable, empty_masks
from yolocore.data.objects import Objects
from yolocore.errors import PreemptedError
from yolocore.evaluate import evaluate
from yolocore.evaluate.loop import batches_of
from yolocore.letterbox import Letterbox
from yolocore.meta import ModelMeta
from yolocore.model.yolo11 import YOLO11
from yolocore.progress import Listener, Listeners, Silent
from yolocore.runtimes.base import Floats, Outputs
from yolocore.runtimes.detector import LocalDetector
from yolocore.runtimes.torch import TorchRuntime
from yolocore.train.objective import Objective


@dataclass(frozen=True)
class Figures:
    """fitness: what epochs are compared by. metrics: as `val` states them. losses: mean of each part over images."""

    fitness: float
    metrics: dict[str, float]
    losses: dict[str, float]


class Validator:
    """Validates models on a split, in the precision of training. The network sees every image once, for the figures
    and for the loss."""

    def __init__(self, images: Split, meta: ModelMeta, objective: Objective, listener: Listener) -> None:
        self._images, self._meta, self._objective, self._listener = images, meta, objective.alone(), listener

    @torch.no_grad()
    def measure(self, model: YOLO11, asked_to_end: Callable[[], bool]) -> Figures:
        """Raises PreemptedError as soon as `asked_to_end` says so, DataError for a broken image."""
        config = ValConfig()
        network = TorchRuntime.of(model, self._meta, self._objective.half or torch.float32)
        runtime = _WithLoss(network, self._objective, self._images, config.batch)
        listener = Listeners([self._listener, _EndWhenAsked(asked_to_end)])
        found = evaluate(LocalDetector(runtime), self._images, config, listener)
        losses = (runtime.sums / len(self._images)).tolist()
        return Figures(found.fitness, found.summary(), dict(zip(self._objective.parts, losses, strict=True)))


class _WithLoss:
    """A runtime for one pass over a split, in the evaluator's batches. sums: of each part of the loss, over images."""

    shape: Shape | None = None

    def __init__(self, runtime: TorchRuntime, objective: Objective, images: Split, batch: int) -> None:
        self.name, self.meta = runtime.name, runtime.meta
        self.sums = torch.zeros(len(objective.parts), device=objective.device)
        self._runtime, self._objective, self._images = runtime, objective, images
        self._batches = iter(batches_of(images, batch))

    def forward(self, batch: Floats) -> Outputs:
        indices = next(self._batches)
        raw = self._runtime.raw(batch)
        objects = self._objects(indices, (batch.shape[2], batch.shape[3]))
        self.sums += self._objective.loss(raw, objects)[1] * len(indices)
        return self._runtime.decode(raw)

    def _objects(self, indices: Sequence[int], shape: Shape) -> ObjectTable:
        """What the images of a batch show, where they lie on a canvas of this shape."""
        pictures = [self._picture(index, shape) for index in indices]
        masks = empty_masks(len(pictures), shape) if self.meta.task == "segment" else None
        if masks is not None:
            for picture, mask in zip(pictures, masks, strict=True):
                picture.paint(mask)
        return ObjectTable.of(pictures, masks)

    def _picture(self, index: int, shape: Shape) -> Objects:
        labels = self._images.labels(index)
        height, width = shape
        if self.meta.task == "classify":
            return Objects(labels.classes, np.array([[0.0, 0, width, height]]))
        points, _ = self.meta.keypoints or (0, 0)
        size = self._images.sizes[index].tolist()
        place = Letterbox.fit((size[0], size[1]), shape, self.meta.imgsz)
        matrices = np.broadcast_to(place.matrix, (len(labels), 3, 3))
        return Objects.of(labels, self.meta.task, points).moved(matrices).visible(shape)


class _EndWhenAsked(Silent):
    """Ends the work that reports its progress when that is asked for."""

    def __init__(self, asked_to_end: Callable[[], bool]) -> None:
        self._asked_to_end = asked_to_end

    def advance(self, n: int = 1, **figures: float) -> None:
        if self._asked_to_end():
            raise PreemptedError("SIGTERM: asked to end while validating")
