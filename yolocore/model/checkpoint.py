"""Files of weights: ours are written here, and both ours and the public ones are read.

Ours is what `torch.save` makes of plain containers, so `torch.load(weights_only=True)` reads it too:
`format`, `meta` (see ModelMeta) and `state`, the float32 state dict. Equal weights give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from yolocore.errors import ModelError
from yolocore.meta import ModelMeta
from yolocore.model.archive import Archive, TensorRef
from yolocore.model.head import MOST_CLASS_WIDTH
from yolocore.model.public import parse_public
from yolocore.model.yolo11 import SCALES, YOLO11, build
from yolocore.store import write_atomic

FORMAT = "yolocore-weights-1"
CLASS_BRANCH = "model.23.cv3.0.0.1.conv.weight"  # the first of its convolutions that has its width


def save_weights(path: Path, model: YOLO11, meta: ModelMeta) -> None:
    """Write a checkpoint, whole or not at all. Raises StorageError where the disk refuses."""
    # Fresh float32 tensors in one layout: the bytes shall not depend on how and where the model was computed.
    state = {
        key: torch.empty(value.shape, dtype=torch.float32 if value.is_floating_point() else value.dtype).copy_(value)
        for key, value in model.state_dict().items()
    }
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "meta": meta.model_dump(mode="json"), "state": state}, buffer)
    write_atomic(path, buffer.getvalue())


def load_weights(path: str | Path) -> tuple[YOLO11, ModelMeta]:
    """Read a checkpoint of ours or of the public layout; its content tells which.

    Nothing in the file is executed. The model is on the CPU, float32, in evaluation mode. Raises
    ModelError for a file that is missing, damaged, hostile, or of another architecture.
    """
    path = Path(path)
    with Archive(path) as archive:
        if isinstance(archive.root, dict) and archive.root.get("format") == FORMAT:
            try:
                state, meta = archive.root["state"], ModelMeta.model_validate(archive.root["meta"])
            except (KeyError, ValidationError) as error:
                raise ModelError(f"{path}: is a damaged checkpoint; get the file again") from error
        else:
            state, meta = parse_public(archive)
        # Without memory at first: a file could announce more than it holds, and fresh weights would be overwritten.
        with torch.device("meta"):
            model = build(meta.scale, len(meta.names), meta.task, meta.keypoints, _class_width(state, meta))
        _check_shapes(path, state, model.state_dict())
        model.to_empty(device="cpu")
        for key, tensor in model.state_dict().items():
            tensor.copy_(archive.tensor(state[key]))
    return model.eval(), meta


def _class_width(state: Mapping[str, TensorRef], meta: ModelMeta) -> int | None:
    """Channels inside the class branch, where they are some that a model of this size may have."""
    weight = state.get(CLASS_BRANCH)
    least = SCALES[meta.scale].channels(256)
    if meta.task == "classify" or not isinstance(weight, TensorRef) or not weight.shape:
        return None
    return weight.shape[0] if least <= weight.shape[0] <= max(least, MOST_CLASS_WIDTH) else None


def _check_shapes(path: Path, state: Mapping[str, TensorRef], expected: Mapping[str, Tensor]) -> None:
    """Before any tensor is read, so that a file cannot ask for more memory than the model needs."""
    advice = "give a YOLO11 checkpoint"
    for key, value in expected.items():
        if not isinstance(state.get(key), TensorRef):
            raise ModelError(f"{path}: has no tensor {key}; {advice}")
        if state[key].shape != tuple(value.shape):
            raise ModelError(f"{path}: {key} has the shape {state[key].shape}, not {tuple(value.shape)}; {advice}")
    if unknown := sorted(state.keys() - expected.keys()):
        raise ModelError(f"{path}: has a tensor {ascii(unknown[0])[1:-1][:100]} too many; {advice}")
