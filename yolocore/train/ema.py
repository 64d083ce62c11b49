"""The exponential moving average of the weights: what is validated and kept."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

DECAY = 0.9999
RAMP = 2000.0  # updates until the average remembers far back; at first it forgets the random start quickly

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """A model whose floating-point weights and statistics are the average of another's.

    updates: how often it has been brought up to date.
    """

    def __init__(self, model: M) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        self._own = _floating(self.model)
        self._source = _floating(model)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the other model's weights as they are now."""
        self.updates += 1
        torch._foreach_lerp_(self._own, self._source, 1 - decay(self.updates))


def decay(updates: int) -> float:
    """How much of the old average is kept at an update (from 1)."""
    return DECAY * (1 - math.exp(-updates / RAMP))


def _floating(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
