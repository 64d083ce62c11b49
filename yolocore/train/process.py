"""What training asks of its process: equal results every time, and a moment to save before it is ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from yolocore.config.tree import TrainConfig
from yolocore.errors import UsageError
from yolocore.termination import on_sigterm


@contextlib.contextmanager
def preemption() -> Iterator[Callable[[], bool]]:
    """Hold SIGTERM back: the function given says whether it has come, so that work can end at a good moment.

    Signals reach the main thread only; training in another thread cannot be preempted.
    """
    asked = False

    def ask() -> None:
        nonlocal asked
        asked = True

    with on_sigterm(ask):
        yield lambda: asked


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Kernels that give the same bits every time, on one kind of machine and number of threads.

    On a GPU the few that have no such form only warn.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    fill, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, False  # a debugging aid, and slow
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = fill


@contextlib.contextmanager
def memory_errors(config: TrainConfig) -> Iterator[None]:
    """Turn what the libraries raise when memory does not suffice into one UsageError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # PyTorch's own class is for GPUs; on the CPU only the text tells.
        if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        remedy = "give a smaller batch or imgsz" if config.batch > 0 else "give a batch of your own, or a smaller imgsz"
        raise UsageError(f"batch={config.batch}: does not fit in memory at imgsz={config.imgsz}; {remedy}") from None


@contextlib.contextmanager
def page_locked(memory: npt.NDArray[np.uint8]) -> Iterator[None]:
    """Hold memory where it is, so that a GPU fetches from it by itself while the processor goes on.

    Where the system does not allow that, it is copied as any other memory is.
    """
    runtime = torch.cuda.cudart()
    held = int(runtime.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)) == 0
    try:
        yield
    finally:
        if held:
            torch.cuda.synchronize()
            runtime.cudaHostUnregister(memory.ctypes.data)


def seed_step(*position: int) -> None:
    """Seed the network's own random numbers (dropout) by where training is: no generator's state has to be saved."""
    torch.manual_seed(int(np.random.SeedSequence(position).generate_state(1, np.uint64)[0] >> 1))
