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


@dataclass
class TrainState:
    """A training between two updates.

    epoch: epochs that are finished. batch: batches of the present epoch that are done; together they are
    the sampler's position, because augmentation is a function of it. sums: each part of the loss, summed
    over the images of those batches. rows: figures of the finished epochs. best: highest val mAP50-95 so
    far and best_epoch (from 1; 0: none) where it was. seconds: spent, over all runs.
    """

    model: YOLO11
    ema: Ema[YOLO11]
    optimizer: Optimizer
    scaler: GradScaler
    epoch: int = 0
    batch: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    rows: list[Row] = field(default_factory=list)
    best: float = -1.0
    best_epoch: int = 0
    seconds: float = 0.0

    _POSITION = ("epoch", "batch", "sums", "rows", "best", "best_epoch", "seconds")

    def save(self, path: Path) -> None:
        """Write the state, whole or not at all. Raises StorageError where the disk refuses."""
        content: dict[str, Any] = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "ema_updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "rng": torch.get_rng_state(),
            "position": {name: getattr(self, name) for name in self._POSITION},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomic(path, buffer.getvalue())

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote. Raises StorageError for a file that is not whole."""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file fails anywhere in the reader
            raise StorageError(
                f"{path}: is damaged ({type(error).__name__}); delete it to train from the start"
            ) from None
        self.model.load_state_dict(content["model"])
        self.ema.model.load_state_dict(content["ema"])
        self.ema.updates = content["ema_updates"]
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["rng"])
        for name in self._POSITION:
            setattr(self, name, content["position"][name])
