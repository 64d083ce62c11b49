"""PyTorch as an engine: for checkpoints, and for a model that is being trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from yolocore.errors import UsageError
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import load_weights
from yolocore.model.device import half_type, select_device
from yolocore.model.fuse import fuse, fuse_activations
from yolocore.model.yolo11 import YOLO11
from yolocore.runtimes.base import Floats, Outputs


class TorchRuntime:
    """Runs a fused copy of a model. How many threads it takes is left to the process."""

    name = "torch"
    shape: tuple[int, int] | None = None

    def __init__(self, path: str | Path, device: str = "auto", half: bool = False) -> None:
        """Raises ModelError as `load_weights` does, and UsageError for a device that is not there."""
        where = select_device(device)
        dtype = _half(where) if half else torch.float32
        model, meta = load_weights(path)
        self._set_up(model, meta, where, dtype)

    @classmethod
    def of(cls, model: YOLO11, meta: ModelMeta, dtype: torch.dtype = torch.float32) -> Self:
        """Around the present weights of a model in memory, on its own device. dtype: that the network computes in."""
        runtime = cls.__new__(cls)
        runtime._set_up(model, meta, next(model.parameters()).device, dtype)
        return runtime

    def _set_up(self, model: YOLO11, meta: ModelMeta, device: torch.device, dtype: torch.dtype) -> None:
        self.meta = meta
        # Channels last is what convolution kernels want: a quarter faster than planes on x86, and needed for
        # tensor cores.
        fused = fuse(model).to(device, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._model = fuse_activations(fused) if device.type == "cpu" else fused
        self._device = device
        self._dtype = dtype

    def forward(self, batch: Floats) -> Outputs:
        """As `Runtime.forward` says."""
        return self.decode(self.raw(batch))

    @torch.inference_mode()
    def raw(self, batch: Floats) -> list[torch.Tensor]:
        """The first half of `forward`: as `YOLO11.raw` says, on the device.

        In float32 whatever the network computed in: of scores in bfloat16 too many would be equal.
        """
        images = torch.from_numpy(batch).to(self._device, self._dtype, memory_format=torch.channels_last)
        return [each.float() for each in self._model.raw(images)]

    @torch.inference_mode()
    def decode(self, raw: Sequence[torch.Tensor]) -> Outputs:
        """The second half of `forward`."""
        return tuple(output.cpu().numpy() for output in self._model.head.decode(raw))


def _half(device: torch.device) -> torch.dtype:
    """The half-width type for inference: on GPUs float16, whose fractions have three bits more than bfloat16's."""
    if device.type == "cuda":
        return torch.float16
    dtype = half_type(device)
    if dtype is None:
        raise UsageError("half=True: this CPU has no bfloat16 instructions; give half=False, or a GPU by device=")
    return dtype
