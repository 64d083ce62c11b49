"""The box losses at single cells: what they are least at, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.train.losses.boxes import distribution_focal_loss, rotated_losses


def logits_of(distances: torch.Tensor) -> torch.Tensor:
    """(p, 4) distances in strides → (p, 64) logits of the distributions that the focal loss asks for."""
    below = distances.floor().long()
    share = (distances - below).clamp(1e-6, 1 - 1e-6)
    logits = torch.full((*distances.shape, 16), -60.0, dtype=distances.dtype)
    logits.scatter_(2, below[..., None], (1 - share).log()[..., None])
    logits.scatter_(2, below[..., None] + 1, share.log()[..., None])
    return logits.flatten(1)


@settings(deadline=None, max_examples=50)
@given(
    width=st.floats(4, 100),
    height=st.floats(4, 100),
    angle=st.floats(-math.pi / 4, 3 * math.pi / 4),
    along=st.floats(-0.45, 0.45),
    across=st.floats(-0.45, 0.45),
    quarters=st.integers(-2, 2),
)
def test_a_perfect_rotated_box_costs_nothing(width, height, angle, along, across, quarters) -> None:
    """Whichever form the truth is written in: the network's own, or that turned by any number of quarters."""
    stride = 8.0
    x, y = along * width, across * height  # of the cell, from the box's centre along its axes
    cell = torch.tensor(
        [
            [50 + x * math.cos(angle) - y * math.sin(angle)],
            [60 + x * math.sin(angle) + y * math.cos(angle)],
        ],
        dtype=torch.float64,
    )
    sides = torch.tensor([[width / 2 + x, height / 2 + y, width / 2 - x, height / 2 - y]], dtype=torch.float64) / stride
    found = logits_of(sides)
    form = (height, width) if quarters % 2 else (width, height)
    truth = torch.tensor([[50, 60, *form, angle + quarters * math.pi / 2]], dtype=torch.float64)
    ones = torch.ones(1, dtype=torch.float64)
    angles = torch.tensor([angle], dtype=torch.float64)
    box, dfl = rotated_losses(found, angles, cell, stride * ones, truth, ones)
    share = (sides - sides.floor()).clamp(1e-12, 1 - 1e-12)
    entropy = -(share * share.log() + (1 - share) * (1 - share).log()).mean()
    assert float(box) == pytest.approx(0, abs=1e-3)
    assert float(dfl) == pytest.approx(float(entropy), abs=1e-4)


def test_gradient_of_rotated_losses() -> None:
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    truth = torch.cat((40 + 20 * rand(5, 2), 20 + 40 * rand(5, 2), rand(5, 1)), 1)
    centres, strides, score = 40 + 20 * rand(2, 5), torch.full((5,), 8.0).double(), rand(5)
    distances, angles = rand(5, 64).requires_grad_(), (truth[:, 4] + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda d, a: rotated_losses(d, a, centres, strides, truth, score), (distances, angles), fast_mode=True
    )


def test_distribution_focal_loss_is_least_at_the_target() -> None:
    target = torch.tensor([0.0, 3.25, 14.99])
    logits = logits_of(target[:, None].expand(3, 4)).view(3, 4, 16)[:, 0].requires_grad_()
    distribution_focal_loss(logits, target).sum().backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-4
    worse = distribution_focal_loss(logits_of((target - 0.2).abs()[:, None].expand(3, 4)).view(3, 4, 16)[:, 0], target)
    assert (worse > distribution_focal_loss(logits, target)).all()
