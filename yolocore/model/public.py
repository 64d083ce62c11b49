"""The public layout of YOLO11 checkpoints: a pickle of a whole module, told apart here from its stubs.

The weights are the module's parameters and buffers, named by the path to them; everything else that
a model must know stands in the module's attributes and in the settings of its training.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from yolocore.errors import ModelError
from yolocore.meta import ModelMeta
from yolocore.model.archive import Archive, Stub, TensorRef
from yolocore.model.head import STRIDES
from yolocore.model.yolo11 import SCALES

_TASKS = {
    "SegmentationModel": "segment",
    "PoseModel": "pose",
    "OBBModel": "obb",
    "ClassificationModel": "classify",
}


def parse_public(archive: Archive) -> tuple[dict[str, TensorRef], ModelMeta]:
    """The state dict, not read yet, and what the checkpoint says about itself.

    The averaged weights (EMA) are taken where the file has them. Raises ModelError for a checkpoint of
    another task or architecture.
    """
    root = archive.root if isinstance(archive.root, dict) else {}
    module = root.get("ema") or root.get("model")
    if not isinstance(module, Stub):
        raise ModelError(f"{archive.path}: holds no model; give weights saved here or in the public YOLO11 layout")
    if module.type.name in _TASKS:
        task = _TASKS[module.type.name]
        raise ModelError(f"{archive.path}: is a checkpoint for the task {task}; give one for detect")
    if module.type.name != "DetectionModel":
        raise ModelError(f"{archive.path}: holds a {module.type}; give a YOLO11 detect checkpoint")
    try:
        state = _tensors(module)
        strides = archive.tensor(module.state["stride"]).tolist()
        names = module.state["names"]
        settings = root.get("train_args") or {}
        meta = ModelMeta(
            scale=_scale(state),
            names=tuple(names[i] for i in range(len(names))),
            imgsz=settings.get("imgsz", 640),
            stride=max(STRIDES),
        )
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{archive.path}: is no YOLO11 detect checkpoint; give one that is") from error
    if strides != list(STRIDES):
        raise ModelError(f"{archive.path}: has the strides {strides}; a YOLO11 detect checkpoint has {list(STRIDES)}")
    return state, meta


def _tensors(root: Stub) -> dict[str, TensorRef]:
    """Parameters and buffers of a module and all below it, by dotted path. Raises ValueError for none."""
    state: dict[str, TensorRef] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        path, module = waiting.pop()
        # A file can nest modules without end, or in a circle.
        if not isinstance(module, Stub) or id(module) in seen or len(path) > 100:
            continue
        seen.add(id(module))
        for name, value in {**module.state["_parameters"], **module.state["_buffers"]}.items():
            if isinstance(value, TensorRef):
                state[f"{path}{name}"] = value
        waiting += [(f"{path}{name}.", child) for name, child in module.state["_modules"].items()]
    return state


def _scale(state: dict[str, TensorRef]) -> str:
    """The size whose first layer is as wide and whose first block is as deep as this one."""
    width = state["model.0.conv.weight"].shape[0]
    depth = len({key.split(".")[3] for key in state if key.startswith("model.2.m.")})
    return next(name for name, s in SCALES.items() if (s.channels(64), s.repeats(2)) == (width, depth))
