"""Where to compute, from the name that users give, and in what type."""

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


def half_type(device: torch.device) -> torch.dtype | None:
    """The half-width type in which this hardware computes faster, and trains; None where it has none.

    On CPUs only those with bfloat16 instructions gain (measured on AVX-512: 1.7 times in training at imgsz 320,
    twice in validation at 640).
    """
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else None
