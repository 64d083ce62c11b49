"""What every engine that runs a model can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from yolocore.errors import ModelError
from yolocore.meta import ModelMeta

META_KEY = "yolocore"  # entry of an exported file's own metadata that holds its ModelMeta as JSON
# What a model is opened by: the suffix of its file, or for OpenVINO of its folder.
SUFFIXES = {"torch": ".pt", "onnx": ".onnx", "openvino": ".openvino"}
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


def parse_meta(content: str | None, path: Path) -> ModelMeta:
    """What `export` wrote into a model under META_KEY. Raises ModelError where that is missing (None) or damaged."""
    if content is None:
        raise ModelError(f"model={path}: a model, but no YOLO exported here; make it with: yolo export")
    try:
        return ModelMeta.model_validate_json(content)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ModelError(f"model={path}: its metadata cannot be read ({reason}); export it again") from None


def check_interface(meta: ModelMeta, path: Path, *, pixels: bool, widths: Sequence[int | None]) -> None:
    """Raises ModelError where a loaded model is no network as `Runtime.forward` describes it.

    pixels: whether it takes one float32 (B, 3, H, W). widths: second dimension of each of its outputs; None: the
    engine cannot say.
    """
    width, count = columns(meta), 2 if meta.task == "segment" else 1
    if not pixels or len(widths) != count or widths[0] not in (width, None):
        raise ModelError(
            f"model={path}: does not map pixels to {width} numbers as a model for {meta.task} does; "
            "give the network that export wrote, not the serving model"
        )


def run_in_batches(run: Callable[[Floats], Outputs], batch: Floats, size: int | None) -> Outputs:
    """The outputs of `run` for a batch of any length, where it takes only batches of `size`; None: of any."""
    if size is None or size == len(batch):
        return run(batch)
    parts = [run(_filled(batch[i : i + size], size)) for i in range(0, len(batch), size)]
    return tuple(np.concatenate(outputs)[: len(batch)] for outputs in zip(*parts, strict=True))


def _filled(batch: Floats, size: int) -> Floats:
    """The batch, made up to size with empty images."""
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])
