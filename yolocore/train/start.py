"""Where a training starts from: fresh weights, or all those of a checkpoint that fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from yolocore.config.tree import TrainConfig
from yolocore.meta import ModelMeta
from yolocore.model.checkpoint import load_weights
from yolocore.model.transfer import transfer
from yolocore.model.yolo11 import SCALES, YOLO11, build
from yolocore.progress import Listener


def start_from(model: str, names: Sequence[str], config: TrainConfig, listener: Listener) -> tuple[YOLO11, ModelMeta]:
    """A model for these class names, with what it will say of itself.

    model: an architecture (yolo11n, …) or the path of a checkpoint. Fresh weights follow the config's seed.
    Raises ModelError as `load_weights` does.
    """
    torch.manual_seed(config.seed)
    scale = model.removeprefix("yolo11")
    if scale in SCALES:
        network = build(scale, len(names))
        listener.note(f"yolo11{scale} from scratch")
    else:
        source, meta = load_weights(model)
        scale = meta.scale
        network = build(scale, len(names))
        moved = transfer(network, source)
        listener.note(f"{len(moved.copied)} tensors from {model}, {len(moved.fresh)} fresh for {len(names)} classes")
    return network, ModelMeta(scale=scale, names=tuple(names), imgsz=config.imgsz)
