"""Folding batch normalisation into the convolution before it, for inference."""

from __future__ import annotations

import copy

from torch.nn.utils.fusion import fuse_conv_bn_eval

from yolocore.model.blocks import Conv
from yolocore.model.yolo11 import YOLO11


def fuse(model: YOLO11) -> YOLO11:
    """A copy for inference in which each normalisation is part of its convolution. Its outputs are the same.

    Normalisation in inference is an affine map of each channel with fixed numbers, so it composes with
    the convolution's kernel and bias (Ioffe & Szegedy, 2015, section 3.1).
    """
    fused = copy.deepcopy(model).eval()
    for module in fused.modules():
        if isinstance(module, Conv) and module.bn is not None:
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = None
    return fused.requires_grad_(False)
