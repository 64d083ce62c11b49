"""The heads of the five tasks, and the decoding of what they say.

Four are anchor-free and look at three levels; the classifier's looks at the last layer of the backbone.
Every head has `forward`, from features to the raw numbers that its loss takes, and `decode`, from these to
predictions as `yolocore.runtimes.base.Runtime.forward` describes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from yolocore.meta import KeypointShape
from yolocore.model.blocks import Conv, Proto, depthwise
from yolocore.model.decode import (
    REG_MAX,
    anchor_points,
    decode_angles,
    decode_boxes,
    decode_keypoints,
    decode_rotated,
)

STRIDES = (8, 16, 32)
PROTOTYPES = 32
MOST_CLASS_WIDTH = 100  # that the number of classes asks for


class DFL(nn.Module):
    """The public layout's copy of the constants 0, 1, …, REG_MAX - 1, which `decode_boxes` computes itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(REG_MAX, 1, 1, bias=False).requires_grad_(False)
        self.conv.weight.copy_(torch.arange(REG_MAX, dtype=torch.float32).view(1, REG_MAX, 1, 1))


def _branch(channels: Sequence[int], hidden: int, outputs: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(Conv(c, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, outputs, 1)) for c in channels
    )


class Detect(nn.Module):
    """Anchor-free head with decoupled branches: `cv2` for boxes, `cv3` for classes, `cv4` for what a task adds."""

    def __init__(self, nc: int, channels: Sequence[int], class_width: int | None = None) -> None:
        """nc: classes. channels: of the three levels' features. class_width: channels inside the class branch where
        they are not those of a fresh model: one that started from another's weights keeps its width."""
        super().__init__()
        self.nc = nc
        self.widths: tuple[int, ...] = (4 * REG_MAX, nc)  # of the branches' outputs
        self.class_width = cls = class_width or max(channels[0], min(nc, MOST_CLASS_WIDTH))
        self.cv2 = _branch(channels, max(16, channels[0] // 4, 4 * REG_MAX), 4 * REG_MAX)
        self.cv3 = nn.ModuleList(
            nn.Sequential(
                nn.Sequential(depthwise(c), Conv(c, cls)),
                nn.Sequential(depthwise(cls), Conv(cls, cls)),
                nn.Conv2d(cls, nc, 1),
            )
            for c in channels
        )
        self.cv4: nn.ModuleList | None = None
        self.dfl = DFL()
        self._grid: tuple[object, tuple[Tensor, Tensor]] | None = None
        self._init_biases()

    def _add_branch(self, channels: Sequence[int], outputs: int) -> None:
        self.cv4 = _branch(channels, max(channels[0] // 4, outputs), outputs)
        self.widths = (*self.widths, outputs)

    @torch.no_grad()
    def _init_biases(self) -> None:
        """Start from a flat distance distribution, and scores as rare as objects: about 5 in a 640x640 image.

        Source of the prior: Lin et al., "Focal Loss for Dense Object Detection", 2017, section 3.3.
        """
        for box, cls, stride in zip(self.cv2, self.cv3, STRIDES, strict=True):
            box.get_parameter("2.bias").fill_(1.0)
            cls.get_parameter("2.bias").fill_(math.log(5 / self.nc / (640 / stride) ** 2))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """For each level (b, 4 * REG_MAX + nc + extra, h, w): distance logits, class logits, what the task adds."""
        branches = [branch for branch in (self.cv2, self.cv3, self.cv4) if branch is not None]
        return [torch.cat([layer(x) for layer in layers], 1) for x, *layers in zip(features, *branches, strict=True)]

    def decode(self, raw: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Raw maps → (b, 4 + nc + extra, a): cx cy w h in pixels of the input, each class's score in 0..1, and
        what the task adds. Whatever follows the maps is passed on.
        """
        maps = raw[: len(STRIDES)]
        logits, classes, *extra = torch.cat([m.flatten(2) for m in maps], 2).split(self.widths, 1)
        box, *added = self._geometry(*self._anchor_points(maps), logits, *extra)
        return torch.cat((box, classes.sigmoid(), *added), 1), *raw[len(STRIDES) :]

    def _geometry(self, centres: Tensor, strides: Tensor, logits: Tensor, *extra: Tensor) -> tuple[Tensor, ...]:
        """Boxes (b, 4, a), cx cy w h, and what the task adds to them."""
        x1y1, x2y2 = decode_boxes(logits, centres, strides).split((2, 2), 1)
        return torch.cat(((x1y1 + x2y2) / 2, x2y2 - x1y1), 1), *extra

    def _anchor_points(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        shapes = [m.shape[2:] for m in maps]
        device = maps[0].device
        if torch.jit.is_tracing():  # an exported graph computes them from its own input's shape
            return anchor_points(shapes, STRIDES, device)
        if self._grid is None or self._grid[0] != (shapes, device):
            with torch.inference_mode(False):  # what is kept must also serve a later pass with gradients
                self._grid = (shapes, device), anchor_points(shapes, STRIDES, device)
        return self._grid[1]


class Segment(Detect):
    """Instance masks as weighted sums of prototypes, which are common to all objects of an image.

    Source: Bolya et al., "YOLACT", ICCV 2019 (arXiv:1904.02689), section 3.
    """

    def __init__(self, nc: int, channels: Sequence[int], class_width: int | None = None) -> None:
        super().__init__(nc, channels, class_width)
        self.proto = Proto(channels[0], PROTOTYPES)
        self._add_branch(channels, PROTOTYPES)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The levels' maps with PROTOTYPES coefficients, then the prototypes (b, PROTOTYPES, H / 4, W / 4)."""
        return [*super().forward(features), self.proto(features[0])]


class Pose(Detect):
    """Adds the keypoints of each object (see `decode_keypoints`)."""

    def __init__(
        self, nc: int, channels: Sequence[int], keypoints: KeypointShape, class_width: int | None = None
    ) -> None:
        super().__init__(nc, channels, class_width)
        self.keypoints = keypoints
        self._add_branch(channels, math.prod(keypoints))

    def _geometry(self, centres: Tensor, strides: Tensor, logits: Tensor, *extra: Tensor) -> tuple[Tensor, ...]:
        box, raw = super()._geometry(centres, strides, logits, *extra)
        return box, decode_keypoints(raw, centres, strides, self.keypoints[1])


class OBB(Detect):
    """Adds the angle by which each box is rotated (see `decode_rotated`)."""

    def __init__(self, nc: int, channels: Sequence[int], class_width: int | None = None) -> None:
        super().__init__(nc, channels, class_width)
        self._add_branch(channels, 1)

    def _geometry(self, centres: Tensor, strides: Tensor, logits: Tensor, *extra: Tensor) -> tuple[Tensor, ...]:
        return decode_rotated(logits, decode_angles(*extra), centres, strides).split((4, 1), 1)


class Classify(nn.Module):
    """One label for the image, from the mean over all positions. `drop.p` is the share of features dropped."""

    def __init__(self, nc: int, channels: int) -> None:
        super().__init__()
        self.nc = nc
        hidden = 1280
        self.conv = Conv(channels, hidden)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.0)
        self.linear = nn.Linear(hidden, nc)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits (b, nc)."""
        return [self.linear(self.drop(self.pool(self.conv(x)).flatten(1)))]

    def decode(self, raw: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Logits → probabilities (b, nc)."""
        return (raw[0].softmax(1),)
