"""What an epoch is judged by: the evaluator's figures of the average weights, and their loss on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from yolocore.config.tree import TrainConfig, ValConfig
from yolocore.data.augment import without_augmentation
from yolocore.data.dataset import Split
from yolocore.data.loader import TrainLoader
from yolocore.errors import PreemptedError
from yolocore.evaluate import evaluate
from yolocore.meta import ModelMeta
from yolocore.model.fuse import fuse
from yolocore.model.yolo11 import YOLO11
from yolocore.progress import Listener, Listeners, Silent
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
    """Validates models on a split; a context manager, for the images stay decoded from epoch to epoch."""

    def __init__(
        self,
        images: Split,
        meta: ModelMeta,
        config: TrainConfig,
        objective: Objective,
        listener: Listener,
        flip_idx: Sequence[int] = (),
    ) -> None:
        """flip_idx (pose): as `TrainLoader` takes it, which learns from it how many keypoints an object has."""
        self._images, self._meta, self._objective, self._listener = images, meta, objective.alone(), listener
        self._loader = TrainLoader(images, without_augmentation(config), meta.task, flip_idx)

    def __enter__(self) -> Self:
        self._loader.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._loader.__exit__(*exception)

    @torch.no_grad()
    def measure(self, model: YOLO11, asked_to_end: Callable[[], bool]) -> Figures:
        """Raises PreemptedError as soon as `asked_to_end` says so, DataError for a broken image."""
        fused = fuse(model)
        detector = LocalDetector(TorchRuntime.of(fused, self._meta))
        listener = Listeners([self._listener, _EndWhenAsked(asked_to_end)])
        found = evaluate(detector, self._images, ValConfig(), listener)
        sums = torch.zeros(len(self._objective.parts), device=self._objective.device)
        for batch in self._loader.epoch(0):
            _end_if(asked_to_end)
            sums += self._objective(fused, batch)[1] * len(batch.images)
        losses = (sums / len(self._images)).tolist()
        return Figures(found.fitness, found.summary(), dict(zip(self._objective.parts, losses, strict=True)))


def _end_if(asked_to_end: Callable[[], bool]) -> None:
    if asked_to_end():
        raise PreemptedError("SIGTERM: asked to end while validating")


class _EndWhenAsked(Silent):
    """Ends the work that reports its progress when that is asked for."""

    def __init__(self, asked_to_end: Callable[[], bool]) -> None:
        self._asked_to_end = asked_to_end

    def advance(self, n: int = 1, **figures: float) -> None:
        _end_if(self._asked_to_end)
