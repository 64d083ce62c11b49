"""The public layout of YOLO11 checkpoints: a pickle of a whole module, told apart here from its stubs.

The weights are the module's parameters and buffers, named by the path to them; everything else that
a model must know stands in the module's attributes and in the settings of its training.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from yolocore.errors import ModelError
from yolocore.meta import ModelMeta, Scale, Task
from yolocore.model.archive import Archive, Stub, TensorRef
from yolocore.model.head import STRIDES
from yolocore.model.yolo11 import SCALES

TASKS: dict[str, Task] = {
    "DetectionModel": "detect",
    "SegmentationModel": "segment",
    "PoseModel": "pose",
    "ClassificationModel": "classify",
    "OBBModel": "obb",
}


def parse_public(archive: Archive) -> tuple[dict[str, TensorRef], ModelMeta]:
    """The state dict, not read yet, and what the checkpoint says about itself.

    The averaged weights (EMA) are taken where the file has them. Raises ModelError for a checkpoint of
    another architecture.
    """
    root = archive.root if isinstance(archive.root, dict) else {}
    module = root.get("ema") or root.get("model")
    if not isinstance(module, Stub):
        raise ModelError(f"{archive.path}: holds no model; give weights saved here or in the public YOLO11 layout")
    task = TASKS.get(module.type.name)
    if task is None:
        raise ModelError(f"{archive.path}: holds a {module.type}; give a YOLO11 checkpoint")
    try:
        state = _tensors(module)
        strides = archive.tensor(module.state["stride"]).tolist()
        names = module.state["names"]
        settings = root.get("train_args") or {}
        if isinstance(settings, Stub):  # a training that has not ended
            settings = settings.state
        *_, head = module.state["_modules"]["model"].state["_modules"].values()
        meta = ModelMeta(
            task=task,
            scale=_scale(state),
            names=tuple(names[i] for i in range(len(names))),
            imgsz=settings.get("imgsz", 640),
            stride=max(STRIDES),
            keypoints=head.state["kpt_shape"] if task == "pose" else None,
        )
    except (ValidationError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{archive.path}: is no YOLO11 checkpoint; give one that is") from error
    if task != "classify" and strides != list(STRIDES):
        raise ModelError(f"{archive.path}: has the strides {strides}; a YOLO11 checkpoint has {list(STRIDES)}")
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


def _scale(state: dict[str, TensorRef]) -> Scale:
    """The size whose first layer is as wide and whose first block as deep as this one. Raises ValueError for none."""
    width = state["model.0.conv.weight"].shape[0]
    depth = len({key.split(".")[3] for key in state if key.startswith("model.2.m.")})
    for name, scaling in SCALES.items():
        if (scaling.channels(64), scaling.repeats(2)) == (width, depth):
            return name
    raise ValueError(f"{width} channels and {depth} blocks")
