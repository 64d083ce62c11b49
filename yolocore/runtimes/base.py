"""What every engine that runs a model can do."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt

from yolocore.meta import ModelMeta

ONNX_KEY = "yolocore"  # entry of an ONNX file's metadata_props that holds its ModelMeta as JSON
PROTOTYPES = 32  # pictures that a mask is a weighted sum of

Floats = npt.NDArray[np.float32]
Outputs = tuple[Floats, ...]


class Runtime(Protocol):
    """An engine with a model loaded: pixels in, decoded predictions out.

    name: of the engine. shape: (H, W) where the model takes no other input size, else None.
    """

    name: str
    meta: ModelMeta
    shape: tuple[int, int] | None

    def forward(self, batch: Floats) -> Outputs:
        """Run the network.

        batch: (B, 3, H, W) float32 RGB in 0..1; H and W multiples of `meta.stride`.
        Returns float32 arrays, by the task of `meta`:
        classify: the probabilities (B, nc).
        others: predictions (B, 4 + nc + e, N) of the N = H*W*(1/8² + 1/16² + 1/32²) anchor points: box centre
        x, y, width, height in pixels of the input, each class's score in 0..1, then what the task adds: detect
        nothing; segment 32 mask coefficients; pose x y in pixels (and visibility in 0..1) of each keypoint; obb
        the angle in radians, its box being the one before rotation.
        segment: besides, the prototypes (B, 32, H/4, W/4) that the coefficients weigh.
        """
        ...


def columns(meta: ModelMeta) -> int:
    """Size of the second dimension of the first array that `Runtime.forward` returns."""
    nc = len(meta.names)
    if meta.task == "classify":
        return nc
    return 4 + nc + {"detect": 0, "segment": PROTOTYPES, "pose": math.prod(meta.keypoints or ()), "obb": 1}[meta.task]
