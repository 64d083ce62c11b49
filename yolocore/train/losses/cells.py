"""Fast reading of a network's maps: all class logits at once, and everything of a few cells.

With targets t, binary cross-entropy of logits x is softplus(x) - x·t, and t is zero but at the few
positive cells. So of all other cells a loss needs one number, the sum of softplus; and the gradient of a
map is the sigmoid of its class logits, with the rows of the positive cells added. Both are written
straight from the map and into its gradient, a few cells at a time: on a CPU, large intermediate tensors
cost several times what the arithmetic does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

from yolocore.train.assign import Grid

BLOCK = 2048  # cells that are worked on at once


def table(level: Tensor) -> Tensor:
    """(b, c, h, w) → (b·h·w, c): a row for each cell, and no copy if the map's memory has channels last."""
    return level.permute(0, 2, 3, 1).flatten(0, 2)


def full(values: Tensor) -> Tensor:
    """The same in float32, unless it is wider already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def blocks(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """The rows in order: on a CPU a few at a time, so that the work stays in its cache; elsewhere all at once."""
    return rows.split(size if rows.device.type == "cpu" else max(len(rows), 1))


def read(maps: Sequence[Tensor], grid: Grid, cells: Tensor, classes: slice) -> tuple[Tensor, Tensor]:
    """What the losses need to know of the maps; differentiable once.

    maps: (b, c, h, w) each. cells: (p,) in the order of the levels, none twice. classes: channels of the
    class logits.
    Returns (nc,) the sum of softplus of each class's logits over all cells, and (p, c) all channels of the
    chosen cells, both in float32 at least.
    """
    background, rows = _Read.apply(classes, grid.split(cells), *maps)
    return background, rows


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, classes: slice, chosen: Sequence[Tensor], *maps: Tensor) -> tuple[Tensor, Tensor]:
        ctx.classes = classes
        ctx.save_for_backward(*maps, *chosen)
        tables = [table(level) for level in maps]
        background = full(tables[0].new_zeros(())).repeat(classes.stop - classes.start)
        for logits in tables:
            for block in blocks(logits[:, classes], BLOCK):
                background -= logsigmoid(-full(block)).sum(0)
        return background, full(torch.cat([rows[cells] for rows, cells in zip(tables, chosen, strict=True)]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, background: Tensor, rows: Tensor) -> tuple[Tensor | None, ...]:
        levels = len(ctx.saved_tensors) // 2
        maps, chosen = ctx.saved_tensors[:levels], ctx.saved_tensors[levels:]
        parts = rows.split([len(cells) for cells in chosen])
        each = zip(maps, chosen, parts, strict=True)
        return None, None, *(_gradient(*level, ctx.classes, background) for level in each)


def _gradient(level: Tensor, cells: Tensor, rows: Tensor, classes: slice, background: Tensor) -> Tensor:
    """Of one map, channels last in memory, given that of the chosen rows and of the sums."""
    logits = table(level)
    gradient = logits.new_empty(logits.shape)
    gradient[:, : classes.start] = 0
    gradient[:, classes.stop :] = 0
    for block, out in zip(blocks(logits[:, classes], BLOCK), blocks(gradient[:, classes], BLOCK), strict=True):
        torch.mul(full(block).sigmoid(), background, out=out)
    # The two parts of a chosen cell's gradient nearly cancel once it is learnt: they are summed in full.
    rows = rows.clone()
    rows[:, classes] += full(logits[cells, classes]).sigmoid() * background
    gradient[cells] = rows.to(gradient.dtype)
    batch, _, height, width = level.shape
    return gradient.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)
