"""YOLO11, written from its published architecture: one table of layers, scaled in depth and width.

Source of the table: the YOLO11 model description and the parameter counts of each layer; the tests hold
parameters, operations and state-dict keys of every size to the published ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from yolocore.errors import UsageError
from yolocore.meta import KeypointShape, Scale, Task
from yolocore.model.blocks import C2PSA, SPPF, C3k2, Concat, Conv
from yolocore.model.head import OBB, Classify, Detect, Pose, Segment


class Scaling(NamedTuple):
    """Compound scaling: repeats times `depth`; channels, at most `most_channels`, times `width`."""

    depth: float
    width: float
    most_channels: int
    c3k: bool  # every C3k2 has C3k inside, not only the deep ones

    def channels(self, c: int) -> int:
        return math.ceil(min(c, self.most_channels) * self.width / 8) * 8

    def repeats(self, n: int) -> int:
        return max(round(n * self.depth), 1)


SCALES: dict[Scale, Scaling] = {
    "n": Scaling(0.50, 0.25, 1024, False),
    "s": Scaling(0.50, 0.50, 1024, False),
    "m": Scaling(0.50, 1.00, 512, True),
    "l": Scaling(1.00, 1.00, 512, True),
    "x": Scaling(1.00, 1.50, 512, True),
}
PREVIOUS = -1


def _layers(
    scale: Scaling, nc: int, task: Task, keypoints: KeypointShape | None, class_width: int | None
) -> list[tuple[Sequence[int], nn.Module]]:
    """The network as (where the input comes from, module) rows; a row's index is its name in checkpoints."""
    c = {base: scale.channels(base) for base in (64, 128, 256, 512, 1024)}
    n = scale.repeats(2)
    before = (PREVIOUS,)

    def c3k2(c1: int, c2: int, c3k: bool = False, expansion: float = 0.5) -> C3k2:
        return C3k2(c1, c2, n, c3k or scale.c3k, expansion)

    def upsample() -> nn.Upsample:
        return nn.Upsample(scale_factor=2.0, mode="nearest")

    backbone: list[tuple[Sequence[int], nn.Module]] = [
        (before, Conv(3, c[64], 3, 2)),  # 0, stride 2
        (before, Conv(c[64], c[128], 3, 2)),  # 1, stride 4
        (before, c3k2(c[128], c[256], expansion=0.25)),
        (before, Conv(c[256], c[256], 3, 2)),  # 3, stride 8
        (before, c3k2(c[256], c[512], expansion=0.25)),  # 4
        (before, Conv(c[512], c[512], 3, 2)),  # 5, stride 16
        (before, c3k2(c[512], c[512], c3k=True)),  # 6
        (before, Conv(c[512], c[1024], 3, 2)),  # 7, stride 32
        (before, c3k2(c[1024], c[1024], c3k=True)),
    ]
    if task == "classify":  # it sees the whole image at the end anyway, without pyramid pooling
        return [*backbone, (before, C2PSA(c[1024], n)), (before, Classify(nc, c[1024]))]
    return [
        *backbone,
        (before, SPPF(c[1024])),
        (before, C2PSA(c[1024], n)),  # 10
        # neck: top-down, then bottom-up
        (before, upsample()),
        ((PREVIOUS, 6), Concat()),
        (before, c3k2(c[1024] + c[512], c[512])),  # 13
        (before, upsample()),
        ((PREVIOUS, 4), Concat()),
        (before, c3k2(c[512] + c[512], c[256])),  # 16, stride 8
        (before, Conv(c[256], c[256], 3, 2)),
        ((PREVIOUS, 13), Concat()),
        (before, c3k2(c[256] + c[512], c[512])),  # 19, stride 16
        (before, Conv(c[512], c[512], 3, 2)),
        ((PREVIOUS, 10), Concat()),
        (before, c3k2(c[512] + c[1024], c[1024], c3k=True)),  # 22, stride 32
        ((16, 19, 22), _head(task, nc, (c[256], c[512], c[1024]), keypoints, class_width)),
    ]


def _head(
    task: Task, nc: int, channels: Sequence[int], keypoints: KeypointShape | None, class_width: int | None
) -> Detect:
    if keypoints is not None:
        return Pose(nc, channels, keypoints, class_width)
    return {"detect": Detect, "segment": Segment, "obb": OBB}[task](nc, channels, class_width)


class YOLO11(nn.Module):
    """The network of one task. In training its output is the raw numbers, otherwise the decoded predictions."""

    def __init__(
        self,
        scale: Scale,
        nc: int,
        task: Task = "detect",
        keypoints: KeypointShape | None = None,
        class_width: int | None = None,
    ) -> None:
        """keypoints: of the task pose, which needs them, and of no other. class_width: see `Detect`."""
        super().__init__()
        self.scale = scale
        self.task = task
        self.keypoints = keypoints
        sources, modules = zip(*_layers(SCALES[scale], nc, task, keypoints, class_width), strict=True)
        self.sources: tuple[Sequence[int], ...] = sources  # of each layer's inputs: indices of layers, or PREVIOUS
        self.kept = {index for row in sources for index in row} - {PREVIOUS}
        self.model = nn.ModuleList(modules)

    @property
    def head(self) -> Detect | Classify:
        head = self.model[-1]
        assert isinstance(head, Detect | Classify)
        return head

    @property
    def nc(self) -> int:
        return self.head.nc

    def raw(self, images: Tensor) -> list[Tensor]:
        """images: (b, 3, h, w) RGB in 0..1, h and w multiples of 32. Returns what the head's `forward` says."""
        outputs: dict[int, Tensor] = {PREVIOUS: images}
        for index, (sources, module) in enumerate(zip(self.sources, self.model, strict=True)):
            inputs = [outputs[source] for source in sources]
            output = module(inputs[0] if len(inputs) == 1 else inputs)
            outputs[PREVIOUS] = output
            if index in self.kept:
                outputs[index] = output
        return output

    def forward(self, images: Tensor) -> tuple[Tensor, ...] | list[Tensor]:
        """What `raw` returns in training; otherwise predictions as the head's `decode` says."""
        raw = self.raw(images)
        return raw if self.training else self.head.decode(raw)


def build(
    scale: str,
    nc: int,
    task: Task = "detect",
    keypoints: KeypointShape | None = None,
    class_width: int | None = None,
) -> YOLO11:
    """A YOLO11 with fresh weights. class_width: see `Detect`; a classifier has none. Raises UsageError for a scale that
    there is not, and for a task pose without keypoints or another one with them.
    """
    if scale not in SCALES:
        raise UsageError(f"scale={scale!r}: YOLO11 has the sizes {', '.join(SCALES)}")
    if (task == "pose") != (keypoints is not None):
        raise UsageError(f"keypoints={keypoints}: the task {task} takes {'some' if task == 'pose' else 'none'}")
    return YOLO11(scale, nc, task, keypoints, class_width)
