"""How many images a step can hold: measured with a few, and extended to the memory that is free."""

from __future__ import annotations

import copy
import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from yolocore.data.cache import free_memory
from yolocore.model.yolo11 import YOLO11

SHARE = 0.6  # of the free memory that is planned for; the loader's cache and the targets of crowded images need some
MOST = 1024
_SAMPLES = (2, 6)  # images of the two measured steps
_INTERVAL = 0.001  # seconds between two looks at this process's memory


def largest_batch(model: YOLO11, side: int, half: torch.dtype | None, images: int, processes: int = 1) -> int:
    """Images of a step of this process whose memory is at most SHARE of what is free, MOST, or `images`: 2^n or 3·2^n.

    side: of the images in pixels. half: type of mixed precision. processes: that share a CPU's memory with this one.
    """
    device = next(model.parameters()).device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory() // processes
    trial = copy.deepcopy(model)
    # Adam keeps two numbers beside each weight and its gradient; the average of the weights is there already.
    kept = 3 * sum(parameter.nbytes for parameter in trial.parameters())
    _return_freed()
    before = _used(device)
    few, more = (_peak(trial, count, side, half) - before for count in _SAMPLES)
    each = max((more - few) / (_SAMPLES[1] - _SAMPLES[0]), 1.0)
    return round_down(int((SHARE * free - kept - few) / each) + _SAMPLES[0], images)


def round_down(count: int, images: int) -> int:
    """The largest of 1, 2, 3, 4, 6, 8, 12, … that is at most `count`, `images` and MOST; at least 1."""
    sizes = sorted(size for n in range(11) for size in (2**n, 3 * 2**n))
    return max((size for size in sizes if size <= min(count, images, MOST)), default=1)


def _peak(model: YOLO11, count: int, side: int, half: torch.dtype | None) -> int:
    """Most bytes that are held during a forward and backward pass."""
    device = next(model.parameters()).device
    images = torch.zeros(count, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    _return_freed()
    with _watched(device) as highest:
        with torch.autocast(device.type, half, enabled=half is not None):
            raw = model.raw(images)
        torch.stack([each.float().square().mean() for each in raw]).sum().backward()
        model.zero_grad()
    return max(highest)


def _return_freed() -> None:
    """Give the system what this process has freed: a step that fills it again would seem to need no memory.

    The allocator keeps it for the next tensors, of an earlier training for example. Where it has no such call
    (outside glibc) the figure holds for a process that has not done much yet.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _used(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss


@contextmanager
def _watched(device: torch.device) -> Iterator[list[int]]:
    """A list of how many bytes were held, the most of them included. The system keeps no such figure that could
    be reset for one step, so that on a CPU a thread looks again and again."""
    seen = [_used(device)]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield seen
        seen.append(torch.cuda.max_memory_allocated(device))
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL):
            seen.append(_used(device))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
