"""What a network costs: layers, parameters, and operations for one image."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """layers: modules without children. gflops: 10⁹ operations for one image, two to a multiply-add."""

    layers: int
    parameters: int
    gflops: float


def cost(model: nn.Module, imgsz: int = 640) -> Cost:
    """Count without computing: the network runs on tensors that have a shape and no content.

    Counted are convolutions and matrix products, and four multiply-adds an element for a normalisation
    that has not been folded (subtract, divide, scale, shift), which is how YOLO's published counts are made.
    """
    shadow = copy.deepcopy(model).to("meta").eval()
    normalisation = {torch.ops.aten._native_batch_norm_legit_no_training: _normalisation_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=normalisation) as counter:
        shadow(torch.empty(1, 3, imgsz, imgsz, device="meta"))
    return Cost(
        layers=sum(1 for module in model.modules() if not any(module.children())),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflops=counter.get_total_flops() / 1e9,
    )


def _normalisation_flops(x: torch.Size, *_: object, **__: object) -> int:
    return 2 * 4 * x.numel()
