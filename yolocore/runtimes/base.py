"""What every engine that runs a model can do."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from yolocore.meta import ModelMeta

ONNX_KEY = "yolocore"  # entry of an ONNX file's metadata_props that holds its ModelMeta as JSON


class Runtime(Protocol):
    """An engine with a model loaded: pixels in, decoded predictions out.

    name: of the engine. shape: (H, W) where the model takes no other input size, else None.
    """

    name: str
    meta: ModelMeta
    shape: tuple[int, int] | None

    def forward(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network.

        batch: (B, 3, H, W) float32 RGB in 0..1; H and W multiples of `meta.stride`.
        Returns (B, 4 + nc, N) float32: box centre x, y, width, height in pixels of the input, then the
        score of each class in 0..1, for the N = H*W*(1/8² + 1/16² + 1/32²) anchor points.
        """
        ...
