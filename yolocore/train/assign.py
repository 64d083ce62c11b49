"""Task-aligned assignment: which cells of the prediction answer for which object, and how strongly.

A cell is a candidate for an object when its centre lies in the object's box. Few cells are, so the
work is done on a flat list of (object, candidate) pairs whose length is the number of candidates, and
not on the dense objects × cells table: on mosaics of small objects that is about a hundredth of it.

Source: Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from yolocore.train.overlap import turned

if TYPE_CHECKING:
    from yolocore.data.loader import ObjectTable

TOPK = 10
ALPHA = 0.5
BETA = 6.0
# A box narrower than two cells of the finest grid may hold no cell's centre at all. It is taken this
# wide when candidates are looked for, so that every object is learnt.
SMALLEST_SIDE = 16.0

Level = tuple[int, int, int]  # height and width in cells, stride in pixels


@dataclass(frozen=True)
class Targets:
    """The objects of a batch of images, all in one table; those of an image are consecutive rows.

    image: (n,) int64 index of the object's image in the batch.
    classes: (n,) int64.
    boxes: (n, 4) float32, x1 y1 x2 y2 in pixels of the network's input.

    The rest is None where the task has no use for it.
    masks: (b, h/4, w/4) int16, in each pixel 1 + the number of the object among those of its image, or 0.
    keypoints: (n, k, 3) float32, x y in pixels, and 0 for a point that is not labelled, else 1 or 2.
    rotated: (n, 5) float32, centre x y, width, height in pixels, angle in radians.
    """

    image: Tensor
    classes: Tensor
    boxes: Tensor
    masks: Tensor | None = None
    keypoints: Tensor | None = None
    rotated: Tensor | None = None

    @classmethod
    def of(cls, objects: ObjectTable, device: torch.device) -> Targets:
        """Those of the loader, on a device."""

        def moved(name: str) -> Any:
            column = getattr(objects, name)
            return None if column is None else torch.from_numpy(column).to(device)

        return cls(*(moved(field.name) for field in fields(cls)))


@dataclass(frozen=True)
class Grid:
    """The cells of a batch's maps, numbered through: the levels one after the other, in a level image by
    image, in an image row by row. That is the order in which maps with their channels last lie in memory.
    """

    images: int
    levels: tuple[Level, ...]

    @property
    def ends(self) -> list[int]:
        """How many cells there are up to the end of each level."""
        return list(accumulate(self.images * height * width for height, width, _ in self.levels))

    def split(self, cells: Tensor) -> list[Tensor]:
        """Numbers of cells, in the order of the levels → for each level, the numbers within it."""
        ends = self.ends
        upto = torch.stack([(cells < end).sum() for end in ends]).tolist()
        return [cells[first:last] - start for first, last, start in zip([0, *upto], upto, [0, *ends], strict=False)]

    def places(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Centres (2, p) x, y and strides (p,) of cells (p,), in pixels, float32."""
        height, width, stride = torch.tensor(self.levels, device=cells.device).unbind(1)
        ends = torch.tensor(self.ends, device=cells.device)
        level = torch.bucketize(cells, ends, right=True)
        within = cells - (ends - self.images * height * width)[level]
        across = width[level]
        column, row = within % across, within // across % height[level]
        strides = stride[level].float()
        return (torch.stack((column, row)) + 0.5) * strides, strides


@dataclass(frozen=True)
class Pairs:
    """Objects and their candidates, in the order of the levels.

    target: (p,) int64 row of `Targets`. cell: (p,) int64 in `Grid`. slot: (p,) int64, the number of the
    candidate among its object's.
    """

    target: Tensor
    cell: Tensor
    slot: Tensor


@dataclass(frozen=True)
class Assignment:
    """The positive cells in the order of their numbers; no cell occurs twice.

    cell: (p,) int64 in `Grid`. target: (p,) int64 row of `Targets`.
    score: (p,) the class score that the cell should give, in 0..1.
    """

    cell: Tensor
    target: Tensor
    score: Tensor


def candidates(grid: Grid, image: Tensor, boxes: Tensor) -> Pairs:
    """All pairs of an object and a cell of its image whose centre lies in the object's box.

    image: (n,) int64. boxes: (n, 4) x1 y1 x2 y2.
    """
    device, levels = boxes.device, len(grid.levels)
    height, width, stride = torch.tensor(grid.levels, device=device)[:, :, None].unbind(1)  # (levels, 1) each
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=SMALLEST_SIDE / 2)
    # (levels, n, 2): first and last column and row whose centre, (index + 0.5) · stride, is inside.
    first = ((centre - half) / stride[..., None] - 0.5).ceil().long().clamp(min=0)
    last = ((centre + half) / stride[..., None] - 0.5).floor().long()
    last = torch.minimum(last, torch.stack((width, height), 2) - 1)
    columns, rows = (last - first + 1).clamp(min=0).unbind(2)

    start = torch.tensor([0, *grid.ends[:-1]], device=device)[:, None]
    corner = start + (image * height + first[..., 1]) * width + first[..., 0]
    count = columns * rows  # (levels, n)
    group = torch.repeat_interleave(count.flatten())
    within = torch.arange(len(group), device=device) - (torch.cumsum(count.flatten(), 0) - count.flatten())[group]
    across = columns.flatten()[group]
    row = torch.div(within, across, rounding_mode="floor")
    cell = corner.flatten()[group] + row * width.expand_as(count).flatten()[group] + (within - row * across)
    target = torch.arange(len(boxes), device=device).repeat(levels)[group]
    return Pairs(target, cell, within + (torch.cumsum(count, 0) - count).flatten()[group])


def rotated_candidates(grid: Grid, image: Tensor, rotated: Tensor) -> Pairs:
    """All pairs of an object and a cell of its image whose centre lies in the object's rotated box.

    image: (n,) int64. rotated: (n, 5) x y w h angle.
    """
    centre, angle = rotated[:, :2], rotated[:, 4]
    half = (rotated[:, 2:4] / 2).clamp(min=SMALLEST_SIDE / 2)
    cos, sin = angle.cos().abs(), angle.sin().abs()
    reach = torch.stack((half[:, 0] * cos + half[:, 1] * sin, half[:, 0] * sin + half[:, 1] * cos), 1)
    pairs = candidates(grid, image, torch.cat((centre - reach, centre + reach), 1))

    x, y = grid.places(pairs.cell)[0] - centre[pairs.target].T
    along, across = turned(x, y, -angle[pairs.target])
    inside = (along.abs() <= half[pairs.target, 0]) & (across.abs() <= half[pairs.target, 1])
    return Pairs(pairs.target[inside], pairs.cell[inside], pairs.slot[inside])


def choose(pairs: Pairs, score: Tensor, overlap: Tensor) -> Assignment:
    """Choose the positive cells of a batch.

    score: (p,) what the pair's cell gives to the class of the pair's object, in 0..1.
    overlap: (p,) of the box that the cell predicts with the object's, in 0..1.

    The alignment of a candidate is score^ALPHA · overlap^BETA. Each object takes its TOPK best candidates,
    if they are aligned at all; a cell that several objects take goes to the one it overlaps most. A
    positive cell's target score is its alignment, scaled so that the object's best cell gets the object's
    best overlap.
    """
    alignment = score**ALPHA * overlap**BETA
    best = _best_per_object(pairs, alignment)
    # Where two objects overlap a cell equally (twice the same label), the first row of the table wins.
    best = best[overlap[best].argsort(descending=True, stable=True)]
    best = best[pairs.cell[best].argsort(stable=True)]
    cell = pairs.cell[best]
    best = best[torch.cat((cell.new_ones(min(len(cell), 1), dtype=torch.bool), cell[1:] != cell[:-1]))]

    target, alignment, overlap = pairs.target[best], alignment[best], overlap[best]
    zeros = overlap.new_zeros(int(target.max()) + 1 if len(target) else 0)
    most_aligned = zeros.scatter_reduce(0, target, alignment, "amax")[target]
    most_overlap = zeros.scatter_reduce(0, target, overlap, "amax")[target]
    return Assignment(pairs.cell[best], target, alignment / most_aligned * most_overlap)


def _best_per_object(pairs: Pairs, alignment: Tensor) -> Tensor:
    """Indices of the pairs that are among the TOPK best aligned of their object, object by object."""
    if len(alignment) == 0:
        return pairs.target
    objects, widest = int(pairs.target.max()) + 1, int(pairs.slot.max()) + 1
    table = alignment.new_zeros((objects, widest))
    table[pairs.target, pairs.slot] = alignment
    index = pairs.target.new_empty((objects, widest))
    index[pairs.target, pairs.slot] = torch.arange(len(alignment), device=index.device)
    values, slots = table.topk(min(TOPK, widest), dim=1)
    return index.gather(1, slots)[values > 0]
