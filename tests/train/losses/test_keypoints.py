"""The keypoint losses at single cells."""

from __future__ import annotations

import math

import pytest
import torch

from yolocore.evaluate.similarity import keypoint_sigmas
from yolocore.train.losses.keypoints import keypoint_losses

from .. import reference


def case(count: int, dims: int, cells: int = 6):
    generator = torch.Generator().manual_seed(count)
    raw = torch.randn(cells, count * dims, generator=generator, dtype=torch.float64)
    strides = torch.tensor([8.0, 16, 32]).repeat(cells // 3).double()
    centres = (torch.randint(5, (2, cells), generator=generator) + 0.5) * strides
    seen = torch.randint(3, (cells, count, 1), generator=generator)
    seen[0] = 0  # an object none of whose points is labelled
    truth = torch.cat((torch.rand(cells, count, 2, generator=generator) * 100, seen), 2).double()
    corner = torch.rand(cells, 2, generator=generator).double() * 20
    return raw, centres, strides, truth, torch.cat((corner, corner + 60), 1)


@pytest.mark.parametrize(
    ("count", "dims", "sigmas"),
    [
        pytest.param(17, 3, keypoint_sigmas(17), id="bodies: as COCO measures them"),
        pytest.param(17, 2, keypoint_sigmas(17), id="bodies without visibility"),
        pytest.param(4, 3, (1 / 4,) * 4, id="other points, all alike"),
        pytest.param(1, 2, (1.0,), id="one point"),
    ],
)
def test_equals_the_reference(count: int, dims: int, sigmas: tuple[float, ...]) -> None:
    raw, centres, strides, truth, boxes = case(count, dims)
    location, visibility = keypoint_losses(raw, centres, strides, truth, boxes, (count, dims))
    each = [
        reference.keypoint_loss(
            numbers.reshape(count, dims).tolist(),
            points.tolist(),
            (*centre.tolist(), stride.item()),
            box.tolist(),
            sigmas,
        )
        for numbers, points, centre, stride, box in zip(raw, truth, centres.T, strides, boxes, strict=True)
    ]
    assert float(location) == pytest.approx(sum(one for one, _ in each), rel=1e-6)
    assert float(visibility) == pytest.approx(sum(two for _, two in each), rel=1e-6)


def test_gradient() -> None:
    raw, centres, strides, truth, boxes = case(4, 3)
    assert torch.autograd.gradcheck(
        lambda r: keypoint_losses(r, centres, strides, truth, boxes, (4, 3)), raw.requires_grad_(), fast_mode=True
    )


def test_a_point_as_far_off_as_people_differ_costs_what_coco_says() -> None:
    """One sigma of the COCO formula, which is twice the tabled one, times the square root of the area."""
    box = torch.tensor([[0.0, 0, 40, 90]])
    off = 2 * (1 / 3) * math.sqrt(40 * 90)
    truth = torch.tensor([[[20 + off, 20.0, 2], [0, 0, 0], [0, 0, 0]]])
    centre, stride = torch.tensor([[20.0], [20.0]]), torch.tensor([8.0])
    location, _ = keypoint_losses(torch.full((1, 6), 0.25), centre, stride, truth, box, (3, 2))
    assert float(location) == pytest.approx(1 - math.exp(-0.5), rel=1e-5)
