"""Which images come when: the batches of an epoch and the shapes of their pictures, as pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yolocore.config.tree import TrainConfig
from yolocore.letterbox import rect_shape

STRIDE = 32  # sides of training pictures are multiples of it

Index = npt.NDArray[np.int64]


def batch_count(images: int, config: TrainConfig) -> int:
    """Batches in an epoch."""
    return math.ceil(images / config.batch)


def largest_side(config: TrainConfig) -> int:
    """Of all pictures that may come, in pixels."""
    return _sides(config)[1] * STRIDE


@dataclass(frozen=True, eq=False)
class Run:
    """A batch to be made: which images, where they stand in the epoch's order, and its pictures' (height, width)."""

    images: Index
    first: int
    shape: tuple[int, int]


def plan_epoch(sizes: npt.NDArray[np.integer], config: TrainConfig, epoch: int) -> list[Run]:
    """The batches of an epoch, as a function of (seed, epoch) and the images' sizes (n, 2) height, width.

    The images are divided evenly, so that no step rests on the statistics of a few left over. With `rect`, images
    of like aspect share a batch, whose shape is the least that holds them. Its batches come in random order, and
    where aspects are equal it is random which images share one.
    """
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(sizes))
    count = batch_count(len(sizes), config)
    if config.rect:
        order = order[np.argsort(sizes[order, 0] / sizes[order, 1], kind="stable")]
    batches = np.array_split(order, count)
    if config.rect:
        batches = [batches[number] for number in rng.permutation(count)]
    # Drawn by number, and not on the way, so that sides do not depend on the batches before.
    sides = [_side(config, epoch, number) for number in range(count)]
    first = np.cumsum([0, *map(len, batches)]).tolist()
    return [
        Run(images, start, _rectangle(sizes[images], side) if config.rect else (side, side))
        for images, start, side in zip(batches, first[:-1], sides, strict=True)
    ]


def _sides(config: TrainConfig) -> tuple[int, int]:
    """The least and the largest side, in strides."""
    change = config.multi_scale
    # Half a millionth of a stride, against shares like 0.1 that binary numbers miss.
    low = math.ceil(config.imgsz * (1 - change) / STRIDE - 5e-7)
    return max(low, 1), math.floor(config.imgsz * (1 + change) / STRIDE + 5e-7)


def _side(config: TrainConfig, epoch: int, batch: int) -> int:
    low, high = _sides(config)
    if low == high:
        return high * STRIDE
    # + 1, because numpy's seeds (a, b) and (a, b, 0) are the same.
    return int(np.random.default_rng((config.seed, epoch, batch + 1, 1)).integers(low, high + 1)) * STRIDE


def _rectangle(sizes: npt.NDArray[np.integer], side: int) -> tuple[int, int]:
    """The least shape that holds images whose longer side becomes `side`."""
    shapes = np.array([rect_shape((int(height), int(width)), side, STRIDE) for height, width in sizes])
    height, width = shapes.max(0).tolist()
    return height, width
