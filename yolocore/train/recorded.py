"""The network's two passes on a GPU, recorded once and replayed (CUDA graphs).

A pass of the small networks is several hundred kernels of some microseconds each. Python takes longer to launch
them than a GPU of today takes to run them; a recording is launched as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Size, Tensor, nn

from yolocore.model.yolo11 import YOLO11

MOST = 4  # shapes that are recorded; each costs a second, and memory for its inputs and outputs


class RecordedNetwork:
    """`YOLO11.raw` of a model in training, with its backward pass.

    A batch of a new shape is recorded when it is first seen, up to MOST shapes; others run as they always do.
    What a recording fixes must not change: which layers learn, the momentum of normalisations. All parameters that
    learn have a gradient from the first recording on, which has to be set to zero in its place, not dropped: a
    recording writes what it finds to memory of its own, which becomes no parameter's gradient that way.
    """

    def __init__(self, model: YOLO11) -> None:
        self._model = model
        self._recordings: dict[Size, nn.Module] = {}
        # The recordings share their memory: what one keeps between its two passes, no other needs.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """images: as `YOLO11.raw` takes them. An autocast around the call must not cache weights."""
        if images.shape not in self._recordings:
            if len(self._recordings) == MOST:
                return self._model.raw(images)
            self._recordings[images.shape] = self._record(images)
        return self._recordings[images.shape](images)

    def _record(self, images: Tensor) -> nn.Module:
        for parameter in self._model.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        # Recording runs the network, which leaves traces in its statistics and in the random numbers.
        kept = [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)  # recordings have a stream of their own
        with torch.random.fork_rng([images.device]):
            recording = torch.cuda.make_graphed_callables(_Raw(self._model), (images.clone(),), pool=self._pool)
        for buffer, value in kept:
            buffer.copy_(value)
        assert isinstance(recording, nn.Module)
        return recording


class _Raw(nn.Module):
    """A network's `raw` in the form that can be recorded."""

    def __init__(self, model: YOLO11) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.raw(images))
