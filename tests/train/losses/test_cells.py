"""Reading maps by hand-written gradients, against reading them by PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import softplus

from yolocore.train.assign import Grid
from yolocore.train.losses import cells
from yolocore.train.losses.cells import read

STRIDES = (8, 16, 32)
CLASSES = slice(2, 5)  # of 7 channels


def maps_and_grid(images: int = 2, dtype: torch.dtype = torch.float64) -> tuple[list[torch.Tensor], Grid]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 6), (4, 3), (2, 1)]
    maps = [torch.randn(images, 7, *shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]
    return maps, Grid(images, tuple((*shape, stride) for shape, stride in zip(shapes, STRIDES, strict=True)))


def plainly(maps: list[torch.Tensor], chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.cat([m.permute(0, 2, 3, 1).reshape(-1, m.shape[1]) for m in maps])
    return softplus(rows[:, CLASSES], threshold=100).sum(0), rows[chosen]


CHOICES = [
    pytest.param([], id="no cell"),
    pytest.param([0, 5, 95, 96, 119, 120, 123], id="the first and last of levels"),
    pytest.param([3, 4], id="of one level"),
]


@pytest.mark.parametrize("block", [5, 2048])
@pytest.mark.parametrize("chosen", CHOICES)
def test_equals_plain_reading(chosen: list[int], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "BLOCK", block)
    maps, grid = maps_and_grid()
    index = torch.tensor(chosen, dtype=torch.long)
    got, want = read(maps, grid, index, CLASSES), plainly(maps, index)
    assert all(torch.allclose(a, b) for a, b in zip(got, want, strict=True))
    weight = torch.tensor([1.0, -2, 3], dtype=torch.float64)
    gradients = [torch.autograd.grad((b @ weight) + (rows**3).sum(), maps) for b, rows in (got, want)]
    assert all(torch.allclose(a, b) for a, b in zip(*gradients, strict=True))


def test_gradient() -> None:
    maps, grid = maps_and_grid(images=1)
    index = torch.tensor([1, 47, 50, 61])
    assert torch.autograd.gradcheck(lambda *m: read(m, grid, index, CLASSES), maps)


def test_numbers_as_large_as_they_get_stay_finite() -> None:
    maps, grid = maps_and_grid(dtype=torch.float32)
    maps = [(m.detach() * 1e30).requires_grad_() for m in maps]
    background, _ = read(maps, grid, torch.tensor([0]), CLASSES)
    assert background.isfinite().all() and (background >= 0).all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(background.sum(), maps))
