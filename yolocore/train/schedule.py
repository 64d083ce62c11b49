"""What the step number decides: learning rates, momentum, and which batches make an update.

Everything here is a pure function of the settings and the position, so that a training that goes on
after a crash cannot differ from one that was never interrupted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from yolocore.config.tree import TrainConfig
from yolocore.train.optim import Rule


@dataclass(frozen=True)
class Schedule:
    """Rates of one training. batches: in an epoch."""

    config: TrainConfig
    rule: Rule
    batches: int

    @property
    def warmup(self) -> int:
        """Batches of the warm-up. The last epoch is never one of it."""
        return round(min(self.config.warmup_epochs, self.config.epochs - 1) * self.batches)

    @property
    def together(self) -> int:
        """Batches whose gradients are summed once training is warm, so that they have about the nominal batch."""
        return max(round(self.rule.nominal_batch / self.config.batch), 1)

    @property
    def weight_decay(self) -> float:
        """The setting's is that of an update of the nominal batch."""
        return self.config.weight_decay * self.config.batch * self.together / self.rule.nominal_batch

    def decay(self, epoch: int) -> float:
        """Share of the initial learning rate in an epoch (from 0): from 1 towards lrf."""
        progress = epoch / self.config.epochs
        left = (1 + math.cos(math.pi * progress)) / 2 if self.config.cos_lr else 1 - progress
        return left * (1 - self.config.lrf) + self.config.lrf

    def rate(self, batch: int) -> float:
        """Learning rate at a batch (from 0, over all epochs): a linear rise from 0, then `decay`."""
        return self._warm(batch, 0.0, self.rule.lr * self.decay(batch // self.batches))

    def bias_rate(self, batch: int) -> float:
        """Learning rate of biases: they may start high, because a new head's are far off."""
        return self._warm(batch, self.rule.warmup_bias_lr, self.rule.lr * self.decay(batch // self.batches))

    def momentum(self, batch: int) -> float:
        return self._warm(batch, min(self.config.warmup_momentum, self.rule.momentum), self.rule.momentum)

    def norm_momentum(self, batch: int, own: float) -> float:
        """Weight of a batch in the running statistics of batch normalisation, whose own momentum is `own`.

        At first they average over about the last quarter of the batches so far. Statistics that start
        fresh would else lag a hundred batches behind the weights, and validation find nothing meanwhile.
        """
        return max(own, 4 / (4 + batch))

    def updates(self, epoch: int) -> list[int]:
        """How many batches make each of an epoch's updates.

        Together they have about the nominal batch of images, less at the beginning of the warm-up; an
        epoch's batches are divided evenly, so that none are left over and every epoch ends with an update.
        """
        middle = (epoch + 0.5) * self.batches
        together = self._warm(middle, 1.0, float(self.together))
        count = min(max(round(self.batches / together), 1), self.batches)
        return [len(part) for part in np.array_split(np.arange(self.batches), count)]

    def _warm(self, batch: float, start: float, end: float) -> float:
        return start + (end - start) * min(batch / self.warmup, 1.0) if self.warmup else end
