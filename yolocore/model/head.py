"""The detection head: a box branch and a class branch on each of three levels, and their decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolocore.model.blocks import Conv, depthwise
from yolocore.model.decode import REG_MAX, anchor_points, decode_boxes

STRIDES = (8, 16, 32)


class DFL(nn.Module):
    """The public layout's copy of the constants 0, 1, …, REG_MAX - 1, which `decode_boxes` computes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(REG_MAX, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.copy_(torch.arange(REG_MAX, dtype=torch.float32).view(1, REG_MAX, 1, 1))


class Detect(nn.Module):
    """Anchor-free head with decoupled branches: `cv2` for boxes, `cv3` for classes."""

    def __init__(self, nc: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.nc = nc
        box = max(16, channels[0] // 4, 4 * REG_MAX)
        cls = max(channels[0], min(nc, 100))
        self.cv2 = nn.ModuleList(
            nn.Sequential(Conv(c, box, 3), Conv(box, box, 3), nn.Conv2d(box, 4 * REG_MAX, 1)) for c in channels
        )
        self.cv3 = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(depthwise(c), Conv(c, cls)),
                nn.Sequential(depthwise(cls), Conv(cls, cls)),
                nn.Conv2d(cls, nc, 1),
            )
            for c in channels
        )
        self.dfl = DFL()
        self._grid: tuple[object, tuple[Tensor, Tensor]] | None = None
        self._init_biases()

    @torch.no_grad()
    def _init_biases(self) -> None:
        """Start from a flat distance distribution, and scores as rare as objects: about 5 in a 640x640 image.

        Source of the prior: Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.3.
        """
        for box, cls, stride in zip(self.cv2, self.cv3, STRIDES, strict=True):
            box.get_parameter("2.bias").fill_(1.0)
            cls.get_parameter("2.bias").fill_(math.log(5 / self.nc / (640 / stride) ** 2))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Raw maps, (b, 4 * REG_MAX + nc, h, w) for each level: distance logits, then class logits."""
        return [torch.cat((b(x), c(x)), 1) for b, c, x in zip(self.cv2, self.cv3, features, strict=True)]

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Raw maps → (b, 4 + nc, a): cx cy w h in pixels of the input, then each class's score in 0..1."""
        flat = torch.cat([m.flatten(2) for m in maps], 2)
        logits, classes = flat.split((4 * REG_MAX, self.nc), 1)
        x1y1, x2y2 = decode_boxes(logits, *self._anchor_points(maps)).split((2, 2), 1)
        return torch.cat(((x1y1 + x2y2) / 2, x2y2 - x1y1, classes.sigmoid()), 1)

    def _anchor_points(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        shapes = [m.shape[2:] for m in maps]
        device = maps[0].device
        if torch.jit.is_tracing():  # an exported graph computes them from its own input's shape
            return anchor_points(shapes, STRIDES, device)
        if self._grid is None or self._grid[0] != (shapes, device):
            with torch.inference_mode(False):  # what is kept must also serve a later pass with gradients
                self._grid = (shapes, device), anchor_points(shapes, STRIDES, device)
        return self._grid[1]
