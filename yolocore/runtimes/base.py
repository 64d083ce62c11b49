"""What a model says about itself, and what every engine that runs one can do."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Task = Literal["detect"]
Scale = Literal["n", "s", "m", "l", "x"]

ONNX_KEY = "yolocore"  # entry of an ONNX file's metadata_props that holds its ModelMeta as JSON


class ModelMeta(BaseModel):
    """What cannot be read off the weights. Travels with them, as JSON, through every format.

    Read back with `ModelMeta.model_validate_json`, which raises pydantic's ValidationError for JSON
    that is no such document.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task = "detect"
    scale: Scale = Field("n", description="size of the architecture")
    names: tuple[str, ...] = Field(..., min_length=1, description="class names in the order of their indices")
    imgsz: int = Field(640, ge=32, description="side in pixels of the images it was trained at")
    stride: int = Field(32, ge=1, description="coarsest stride: input sides are multiples of it")


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
