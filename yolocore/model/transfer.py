"""Starting a model from another one's weights, also where the classes or the task differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from yolocore.errors import ModelError
from yolocore.model.head import Detect
from yolocore.model.yolo11 import YOLO11


@dataclass(frozen=True)
class Transfer:
    """Names of the tensors that were copied, and of those that keep their fresh values."""

    copied: tuple[str, ...]
    fresh: tuple[str, ...]


def transfer(target: YOLO11, source: YOLO11) -> Transfer:
    """Copy into `target` every tensor of `source` that fits its place.

    Between models of one size the backbone always fits; between tasks other than classify the neck and the
    box branch do as well. The class branch's output depends on the number of classes, and its width on the
    number that it was first made for: where they differ, `target` keeps its fresh layers. What a task adds
    to the head is taken from the same task only.
    Raises ModelError for models of different sizes.
    """
    if target.scale != source.scale:
        raise ModelError(f"a yolo11{target.scale} cannot start from weights of a yolo11{source.scale}; choose one size")
    own, other = _by_place(target), _by_place(source)
    copied = []
    for place, (key, value) in own.items():
        if place in other and other[place][1].shape == value.shape:
            value.copy_(other[place][1])
            copied.append(key)
    return Transfer(tuple(copied), tuple(key for key, _ in own.values() if key not in set(copied)))


def _by_place(model: YOLO11) -> dict[str, tuple[str, Tensor]]:
    """The state dict by places that mean the same in every task; with the key of each tensor.

    A layer is known by its type and by how many such layers come before it, for a classifier has one less
    than others and so numbers them differently.
    """
    state = model.state_dict()
    places = {}
    seen = Counter[str]()
    for index, layer in enumerate(model.model):
        kind = type(layer).__name__
        seen[kind] += 1
        for name in layer.state_dict():
            common = isinstance(layer, Detect) and name.startswith(("cv2.", "cv3.", "dfl."))
            key = f"model.{index}.{name}"
            places[f"{'Detect' if common else kind}.{seen[kind]}.{name}"] = key, state[key]
    return places
