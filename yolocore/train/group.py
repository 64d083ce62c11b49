"""The processes that train one model together: which of them this is, and what they add up.

`torchrun` starts them and says so in the environment. Each takes its share of every batch; what they add up
(gradients, normalisers, statistics) makes their update the one that a single process would have made. Only
the first of them validates, writes and speaks. A process on its own is a group of one, whose sums are free.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from yolocore.errors import ServiceError, UsageError

T = TypeVar("T")

# The others wait while the first validates, however many images it has to look at.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Group:
    """rank: of this process, from 0. size: how many there are; local_size: how many on this machine."""

    rank: int = 0
    size: int = 1
    local_size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes. Nothing flows back through it."""
        if self.size == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values)
        return values

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each process the sum of all gradients: one message, for many small ones would mostly wait."""
        if self.size == 1:
            return
        gradients = []
        for parameter in parameters:
            if parameter.grad is None:  # no object here that this layer could learn from, but perhaps elsewhere
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def share(self, value: T) -> T:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


def own_device(device: torch.device) -> torch.device:
    """The device of this process: those of one machine take a GPU each."""
    local = os.environ.get("LOCAL_RANK")
    if device.type != "cuda" or local is None:
        return device
    if int(local) >= torch.cuda.device_count():
        raise UsageError(
            f"{os.environ['LOCAL_WORLD_SIZE']} processes on a machine with {torch.cuda.device_count()} GPUs; "
            "start one for each (torchrun --nproc-per-node), or give device=cpu"
        )
    return torch.device("cuda", int(local))


@contextlib.contextmanager
def join(device: torch.device) -> Iterator[Group]:
    """The group that this process was started in.

    Raises UsageError when the others cannot be found, ServiceError when one of them is lost.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=PATIENCE)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"WORLD_SIZE={size}: the processes do not meet ({reason}); start them by torchrun") from None
    try:
        yield Group(dist.get_rank(), size, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    except RuntimeError as error:
        # NCCL's errors have a class; of gloo's only the text says where they come from.
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise ServiceError(
            f"another of the {size} processes of this training ended: see what it said; "
            "run the same command again to go on from the last saved state"
        ) from None
    finally:
        dist.destroy_process_group()
