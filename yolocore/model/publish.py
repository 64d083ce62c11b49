"""Weights in the public layout, so that the tools around it can go on from a model trained here.

A public checkpoint is a pickled module. It is written here without its classes: the tree of our modules
becomes a tree of stubs with the public classes' names and attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from yolocore.meta import SUFFIXES, ModelMeta
from yolocore.model import blocks, head
from yolocore.model.archive import Global, Stub
from yolocore.model.decode import REG_MAX
from yolocore.model.pickling import write_archive
from yolocore.model.public import TASKS
from yolocore.model.yolo11 import YOLO11
from yolocore.store import make_parent, write_atomic

PACKAGE = "ultralytics.nn"


def save_public(path: Path, model: YOLO11, meta: ModelMeta) -> None:
    """Write a checkpoint in the public layout, in the model's own precision, whole or not at all.

    model: not fused. Equal weights give equal bytes, and `load_weights` reads them back. Raises StorageError
    where the disk refuses.
    """
    settings = {"task": meta.task, "imgsz": meta.imgsz}
    content = {
        "epoch": -1,  # training is over
        "best_fitness": None,
        "model": _network(model, meta, settings),
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": {**settings, "mode": "train", "model": _name(meta)},
    }
    make_parent(path)
    write_atomic(path, write_archive(content))


def _name(meta: ModelMeta) -> str:
    return f"yolo11{meta.scale}{SUFFIXES[meta.task]}.yaml"


def _network(model: YOLO11, meta: ModelMeta, settings: dict[str, Any]) -> Stub:
    known: dict[nn.Module, Stub] = {}
    layers = _stub(model.model, known)
    layers.type = Global("torch.nn.modules.container", "Sequential")
    for index, (sources, layer) in enumerate(zip(model.sources, model.model, strict=True)):
        stub = known[layer]
        stub.state |= {"i": index, "f": _plain(sources), "type": str(stub.type)}
    strides = torch.tensor(head.STRIDES if isinstance(model.head, head.Detect) else (1,), dtype=torch.float32)
    if isinstance(model.head, head.Detect):
        known[model.head].state["stride"] = strides
    task_class = next(name for name, task in TASKS.items() if task == meta.task)
    state = _machinery(model) | {
        "_modules": {"model": layers},
        "yaml": _description(model, meta),
        "save": sorted(model.kept),
        "names": dict(enumerate(meta.names)),
        "inplace": True,
        "stride": strides,
        "nc": model.nc,
        "args": settings,
        "task": meta.task,
    }
    if meta.keypoints:
        state["kpt_shape"] = list(meta.keypoints)
    return Stub(Global(f"{PACKAGE}.tasks", task_class), state)


def _stub(module: nn.Module, known: dict[nn.Module, Stub]) -> Stub:
    if module not in known:
        named, attributes = _public(module)
        children = {name: _stub(child, known) for name, child in module._modules.items() if child is not None}
        known[module] = Stub(named, _machinery(module) | attributes | {"_modules": children})
    return known[module]


def _machinery(module: nn.Module) -> dict[str, Any]:
    """What every module has, for evaluation."""
    return {name: vars(module)[name] for name in vars(nn.Module())} | {"training": False}


def _public(module: nn.Module) -> tuple[Global, dict[str, Any]]:
    """The public class of a module, and the attributes that it has besides parameters, buffers and children."""
    kind = type(module)
    attributes: dict[str, Any] = {}
    match module:
        case blocks.Conv() | blocks.Concat():
            room = f"{PACKAGE}.modules.conv"
            if isinstance(module, blocks.Concat):
                attributes = {"d": 1}
        case head.Detect() | head.Classify():
            room, attributes = f"{PACKAGE}.modules.head", _of_head(module)
        case _ if kind.__module__ in (blocks.__name__, head.__name__):
            room, attributes = f"{PACKAGE}.modules.block", _of_block(module)
        case _:
            room = kind.__module__
            attributes = {name: value for name, value in vars(module).items() if name not in vars(nn.Module())}
    return Global(room, kind.__name__), attributes


def _of_block(module: nn.Module) -> dict[str, Any]:
    match module:
        case blocks.C3k2() | blocks.C2PSA():
            return {"c": module.halves[0]}
        case blocks.Bottleneck() | blocks.PSABlock():
            return {"add": True}
        case blocks.Attention():
            return {
                "num_heads": module.heads,
                "head_dim": module.value_dim,
                "key_dim": module.key_dim,
                "scale": module.key_dim**-0.5,
            }
        case head.DFL():
            return {"c1": REG_MAX}
        case _:
            return {}


def _of_head(module: head.Detect | head.Classify) -> dict[str, Any]:
    if isinstance(module, head.Classify):
        return {}
    common = {
        "nc": module.nc,
        "nl": len(head.STRIDES),
        "reg_max": REG_MAX,
        "no": 4 * REG_MAX + module.nc,
        "inplace": True,
    }
    match module:
        case head.Segment():
            return common | {"nm": head.PROTOTYPES, "npr": module.proto.cv1.conv.out_channels}
        case head.Pose():
            return common | {"kpt_shape": module.keypoints, "nk": module.widths[-1]}
        case head.OBB():
            return common | {"ne": 1}
        case _:
            return common


def _description(model: YOLO11, meta: ModelMeta) -> dict[str, Any]:
    """The network as rows of (inputs, repeats, class, arguments), with channels and repeats as they are."""
    rows = [[_plain(sources), *_row(layer)] for sources, layer in zip(model.sources, model.model, strict=True)]
    description: dict[str, Any] = {
        "nc": model.nc,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "backbone": rows[:-1],
        "head": rows[-1:],
        "yaml_file": _name(meta),
        "ch": 3,
    }
    return description if meta.keypoints is None else description | {"kpt_shape": list(meta.keypoints)}


def _row(layer: nn.Module) -> tuple[int, str, list[Any]]:
    kind = type(layer).__name__
    match layer:
        case blocks.Conv():
            conv = layer.conv
            return 1, kind, [conv.out_channels, conv.kernel_size[0], conv.stride[0]]
        case blocks.C3k2():
            c = layer.cv2.conv.out_channels
            return len(layer.m), kind, [c, isinstance(layer.m[0], blocks.C3k), layer.halves[0] / c]
        case blocks.C2PSA():
            return len(layer.m), kind, [layer.cv2.conv.out_channels]
        case blocks.SPPF():
            return 1, kind, [layer.cv2.conv.out_channels, layer.m.kernel_size]
        case nn.Upsample():
            return 1, f"nn.{kind}", ["None", 2, layer.mode]
        case blocks.Concat():
            return 1, kind, [1]
        case head.Segment():
            return 1, kind, ["nc", head.PROTOTYPES, layer.proto.cv1.conv.out_channels]
        case head.Pose():
            return 1, kind, ["nc", "kpt_shape"]
        case head.OBB():
            return 1, kind, ["nc", 1]
        case _:
            return 1, kind, ["nc"]


def _plain(sources: Sequence[int]) -> int | list[int]:
    return sources[0] if len(sources) == 1 else list(sources)
