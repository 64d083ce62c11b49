"""Where to compute, from the name that users give."""

from __future__ import annotations

import re

import torch

from yolocore.errors import UsageError


def select_device(name: str) -> torch.device:
    """auto (a GPU where there is one), cpu, cuda, cuda:N, or N for cuda:N.

    Raises UsageError for a name that means nothing and for a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = re.fullmatch(r"(cpu)|cuda|(?:cuda:)?(\d+)", name)
    if match is None:
        raise UsageError(f"device={name!r}: give auto, cpu, cuda or cuda:N")
    if match[1]:
        return torch.device("cpu")
    index = int(match[2] or 0)
    if index >= torch.cuda.device_count():
        raise UsageError(f"device={name!r}: {torch.cuda.device_count()} CUDA devices are here; give cpu or auto")
    return torch.device("cuda", index)
