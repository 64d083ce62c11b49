"""Everything that decides how a training goes on, saved and loaded as one."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.amp import GradScaler
from torch.optim import Optimizer

from yolocore.errors import StorageError
from yolocore.model.yolo11 import YOLO11
from yolocore.store import write_atomic
from yolocore.train.ema import Ema

Row = dict[str, float]
Saved = dict[str, Any]


@dataclass
class TrainState:
    """A training between two updates.

    batch_size: images of a step; it is here because the memory of another machine would choose another.
    epoch: epochs that are finished. batch: batches of the present epoch that are done; together they are
    the sampler's position and the seed of all random numbers. sums: each part of the loss, summed over the
    images of those batches. rows: figures of the finished epochs. best: highest fitness on val so far and
    best_epoch (from 1; 0: none) where it was. seconds: spent, over all runs.
    """

    model: YOLO11
    ema: Ema[YOLO11]
    optimizer: Optimizer
    scaler: GradScaler
    batch_size: int
    sums: list[float]
    epoch: int = 0
    batch: int = 0
    rows: list[Row] = field(default_factory=list)
    best: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0

    _POSITION = ("batch_size", "sums", "epoch", "batch", "rows", "best", "best_epoch", "seconds")

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all. Raises StorageError where the disk refuses."""
        content: Saved = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **{name: getattr(self, name) for name in self._POSITION},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomic(path, buffer.getvalue())

    def restore(self, saved: Saved) -> None:
        """Go on from what `read_state` returned."""
        self.model.load_state_dict(saved["model"])
        self.ema.model.load_state_dict(saved["ema"])
        self.ema.updates = saved["ema_updates"]
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        for name in self._POSITION:
            setattr(self, name, saved[name])


def read_state(path: Path) -> Saved | None:
    """What `TrainState.save` wrote, on the CPU; None where there is nothing. Raises StorageError for a damaged file."""
    if not path.exists():
        return None
    try:
        saved: Saved = torch.load(path, map_location="cpu", weights_only=True)
        return saved
    except Exception as error:  # torch.load has no error class of its own
        raise StorageError(f"{path}: is damaged ({type(error).__name__}); delete it to train from the start") from None
