"""The mask loss on the objects' own pixels, against one made of whole pictures."""

from __future__ import annotations

import pytest
import torch

from yolocore.train.assign import Targets
from yolocore.train.losses import masks
from yolocore.train.losses.masks import mask_loss

from .. import reference


def case(dtype: torch.dtype = torch.float64, size: tuple[int, int] = (12, 20)):
    """Three pictures, the second without objects; objects of all sizes, some with many cells, one with none."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(3, 32, *size, generator=generator, dtype=dtype)
    image = torch.tensor([0, 0, 0, 2, 2, 2])
    boxes = torch.tensor(
        [[0.0, 0, 80, 48], [9, 9, 31, 21], [41, 17, 42, 18], [70, 40, 80, 48], [8, 8, 24, 40], [3, 3, 9, 9]]
    )
    index = torch.randint(4, (3, *size), generator=generator).to(torch.int16)
    target = torch.tensor([0, 1, 0, 2, 3, 4, 4, 0, 4, 5, 1])
    coefficients = torch.randn(len(target), 32, generator=generator, dtype=dtype)
    return coefficients, prototypes, target, Targets(image, torch.zeros(6).long(), boxes, masks=index)


@pytest.mark.parametrize("block", [64, 1 << 17])
def test_equals_the_reference(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "BLOCK", block)
    coefficients, prototypes, target, targets = case()
    assert targets.masks is not None
    first = {0: 0, 2: 3}  # row of each picture's first object
    want = 0.0
    for weights, row in zip(coefficients, target.tolist(), strict=True):
        image = int(targets.image[row])
        mask = targets.masks[image] == row - first[image] + 1
        want += reference.mask_loss(
            weights.numpy(), prototypes[image].numpy(), targets.boxes[row].tolist(), mask.numpy()
        )
    assert float(mask_loss(coefficients, prototypes, target, targets)) == pytest.approx(want)


def test_gradient() -> None:
    coefficients, prototypes, target, targets = case()
    assert torch.autograd.gradcheck(
        lambda c, p: mask_loss(c, p, target, targets),
        (coefficients.requires_grad_(), prototypes.requires_grad_()),
        fast_mode=True,
    )


def test_pixels_outside_the_boxes_teach_nothing() -> None:
    coefficients, prototypes, target, targets = case()
    prototypes.requires_grad_()
    mask_loss(coefficients[4:9], prototypes, target[4:9].clamp(min=3), targets).backward()
    assert prototypes.grad is not None
    touched = prototypes.grad.abs().sum((0, 1)) > 0
    assert not touched[:2].any() and not touched[:, 6:17].any()  # between the boxes of the third picture
    assert prototypes.grad[2].any()


def test_every_pixel_of_an_object_counts_alike_whatever_its_size() -> None:
    """A network that knows nothing pays ln 2 for each cell."""
    coefficients, prototypes, target, targets = case()
    loss = mask_loss(torch.zeros_like(coefficients), prototypes, target, targets)
    assert float(loss) == pytest.approx(len(target) * 0.6931472)
