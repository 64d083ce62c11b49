"""Starting a model from another one's weights, also where the classes differ."""

from __future__ import annotations

from dataclasses import dataclass

from yolocore.errors import ModelError
from yolocore.model.yolo11 import YOLO11


@dataclass(frozen=True)
class Transfer:
    """Names of the tensors that were copied, and of those that keep their fresh values."""

    copied: tuple[str, ...]
    fresh: tuple[str, ...]


def transfer(target: YOLO11, source: YOLO11) -> Transfer:
    """Copy into `target` every tensor of `source` that fits.

    Backbone, neck and box branch always fit between models of one size. The class branch's width and
    output depend on the number of classes: where they differ, `target` keeps its fresh layers.
    Raises ModelError for models of different sizes.
    """
    if target.scale != source.scale:
        raise ModelError(f"a yolo11{target.scale} cannot start from weights of a yolo11{source.scale}; choose one size")
    own, other = target.state_dict(), source.state_dict()
    copied = tuple(key for key, value in own.items() if value.shape == other[key].shape)
    for key in copied:
        own[key].copy_(other[key])
    return Transfer(copied, tuple(key for key in own if key not in copied))
