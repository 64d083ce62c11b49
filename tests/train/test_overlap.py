"""Overlaps against their papers in plain numbers, and the gradients that training follows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore import rotated
from yolocore.train.overlap import complete_iou, prob_iou

from . import reference

boxes_strategy = st.tuples(*[st.floats(0, 200)] * 2, *[st.floats(0.5, 200)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(deadline=None, max_examples=60)
@given(boxes_strategy, boxes_strategy)
def test_complete_iou_equals_the_paper(a, b) -> None:
    got = complete_iou(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert float(got) == pytest.approx(reference.ciou(a, b), abs=1e-5)
    assert float(got) <= 1 + 1e-9


def test_gradient_of_complete_iou() -> None:
    """Equal aspect ratios, where the aspect term's weight, constant to the gradient, is zero to first order."""
    truth = torch.tensor([[10.0, 12, 50, 40], [0, 0, 30, 30]], dtype=torch.float64)
    boxes = (truth * 1.1 + 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda b: complete_iou(b, truth), boxes, atol=1e-5)


def random_rotated(count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    columns = (*rng.uniform(0, 100, (2, count)), *np.exp(rng.uniform(-1, 5, (2, count))), rng.uniform(-4, 4, count))
    return torch.from_numpy(np.stack(columns, 1))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_prob_iou_equals_the_one_that_measures(dtype: torch.dtype, tolerance: float) -> None:
    a, b = random_rotated(500, 0), random_rotated(500, 1)
    want = rotated.prob_iou(a.numpy(), b.numpy())
    assert prob_iou(a.to(dtype), b.to(dtype)).numpy() == pytest.approx(want, abs=tolerance)
    assert prob_iou(b.to(dtype), a.to(dtype)).numpy() == pytest.approx(want, abs=tolerance)


def test_prob_iou_does_not_tell_forms_of_a_rectangle_apart() -> None:
    a, b = random_rotated(100, 2), random_rotated(100, 3)
    quarter = torch.stack((b[:, 0], b[:, 1], b[:, 3], b[:, 2], b[:, 4] + math.pi / 2), 1)
    assert torch.allclose(prob_iou(a, b), prob_iou(a, quarter), atol=1e-9)


def test_gradient_of_prob_iou() -> None:
    a = random_rotated(12, 4)
    b = (a + torch.randn(a.shape, generator=torch.Generator().manual_seed(0)).double() * 0.2).requires_grad_()
    assert torch.autograd.gradcheck(prob_iou, (a.requires_grad_(), b), atol=1e-4)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([50.0, 50, 40, 20, 0.3], id="ordinary"),
        pytest.param([50.0, 50, 30, 30, 0.8], id="a square, whose angle means nothing"),
        pytest.param([5000.0, 5000, 900, 0.5, 1.2], id="a long hair far out"),
        pytest.param([5.0, 5, 0, 0, 0], id="nothing"),
        pytest.param([0.0, 0, 0.001, 4000, 3], id="the thinnest line"),
    ],
)
def test_prob_iou_of_the_same_box_is_one_and_its_gradient_finite(box: list[float]) -> None:
    truth = torch.tensor([box])
    found = truth.clone().requires_grad_()
    overlap = prob_iou(found, truth)
    overlap.sum().backward()
    assert overlap.item() == pytest.approx(1, abs=1e-3)
    assert found.grad is not None and found.grad.isfinite().all()


def test_gradient_of_prob_iou_stays_finite_far_apart() -> None:
    found = torch.tensor([[0.0, 0, 1, 1, 0], [0, 0, 0, 0, 1]], requires_grad=True)
    overlap = prob_iou(found, torch.tensor([[4000.0, 4000, 2, 1, 1], [1, 1, 5000, 0, 0]]))
    overlap.sum().backward()
    assert (overlap.detach() < 1e-3).all() and found.grad is not None and found.grad.isfinite().all()
