"""Assignment against a one-at-a-time reference, and the cases that a fast form gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from yolocore.model.decode import anchor_points
from yolocore.train.assign import Assignment, Targets, assign, complete_iou

from . import reference

STRIDES = (8, 16, 32)


def grid_of(size: int) -> tuple[torch.Tensor, list[tuple[int, int, int]]]:
    """Centres of all cells, and the levels that they are in."""
    levels = [(size // s, size // s, s) for s in STRIDES]
    return anchor_points([level[:2] for level in levels], STRIDES, torch.device("cpu"))[0].T, levels


def random_case(seed: int, size: int, objects: int, images: int = 3, classes: int = 4):
    """Predictions that overlap the objects as a half-trained network's do.

    Cells of score 0 weigh nothing in the loss; which of them are chosen is nobody's business.
    """
    rng = np.random.default_rng(seed)
    cells, levels = grid_of(size)
    centres = cells.numpy()
    half = rng.uniform(4, size / 3, (images, len(centres), 2))
    boxes = np.concatenate((centres - half, centres + half * rng.uniform(0.5, 1.5, half.shape)), 2)
    corner = rng.uniform(0, size * 0.8, (objects, 2))
    truth = np.concatenate((corner, np.minimum(corner + rng.uniform(3, size / 2, (objects, 2)), size)), 1)
    targets = Targets(
        torch.from_numpy(np.sort(rng.integers(0, images, objects))),
        torch.from_numpy(rng.integers(0, classes, objects)),
        torch.from_numpy(truth.astype(np.float32)),
    )
    logits = torch.from_numpy(rng.normal(0, 2, (images, len(centres), classes)).astype(np.float32))
    return logits, torch.from_numpy(boxes.astype(np.float32)), levels, targets


def run(logits: torch.Tensor, boxes: torch.Tensor, levels: list, targets: Targets) -> Assignment:
    """Assign predictions that have a row for each cell."""
    return assign(logits.transpose(1, 2), boxes.transpose(1, 2), levels, targets)


def as_mapping(assignment) -> dict[tuple[int, int], tuple[int, float]]:
    rows = zip(*(getattr(assignment, name).tolist() for name in ("image", "cell", "target", "score")), strict=True)
    return {(image, cell): (target, score) for image, cell, target, score in rows if score > 0}


def expected(logits, boxes, levels, targets) -> dict[tuple[int, int], tuple[int, float]]:
    found = {}
    cells = reference.cells([level[:2] for level in levels], STRIDES)
    for image in range(len(logits)):
        mine = (targets.image == image).nonzero()[:, 0].tolist()
        positive = reference.assign_image(
            logits[image].double().sigmoid().numpy(),
            boxes[image].tolist(),
            cells,
            targets.boxes[mine].tolist(),
            targets.classes[mine].tolist(),
        )
        found.update({(image, cell): (mine[g], score) for cell, (g, score) in positive.items() if score > 0})
    return found


@pytest.mark.parametrize(
    ("size", "objects"),
    [
        pytest.param(64, 0, id="no object in the whole batch"),
        pytest.param(64, 1, id="images without objects"),
        pytest.param(64, 12, id="some per image"),
        pytest.param(64, 60, id="crowded: cells claimed by many objects"),
        pytest.param(96, 9, id="another size"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_reference(seed: int, size: int, objects: int) -> None:
    case = random_case(seed, size, objects)
    got, want = as_mapping(run(*case)), expected(*case)
    assert {k: v[0] for k, v in got.items()} == {k: v[0] for k, v in want.items()}
    assert [got[k][1] for k in want] == pytest.approx([v[1] for v in want.values()], rel=1e-3, abs=1e-6)


def one_image(boxes: list[list[float]], classes: list[int] | None = None, size: int = 64):
    """A network that predicts a 12-pixel box around each cell, whatever it sees."""
    centres, levels = grid_of(size)
    predicted = torch.cat((centres - 6, centres + 6), 1)[None]
    targets = Targets(
        torch.zeros(len(boxes), dtype=torch.long),
        torch.tensor(classes or [0] * len(boxes)),
        torch.tensor(boxes, dtype=torch.float32),
    )
    return torch.zeros(1, len(centres), 2), predicted, levels, targets


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([17.0, 17.0, 19.0, 19.0], id="between the centres of the finest grid"),
        pytest.param([0.0, 0.0, 2.0, 2.0], id="in the corner"),
        pytest.param([62.0, 30.0, 64.0, 34.0], id="at the right edge"),
        pytest.param([0.0, 30.0, 64.0, 31.0], id="a thin line"),
    ],
)
def test_an_object_smaller_than_a_stride_is_learnt(box: list[float]) -> None:
    logits, _, levels, targets = one_image([box])
    centres, _ = grid_of(64)
    x1, y1, x2, y2 = targets.boxes[0]
    size = (targets.boxes[0, 2:] - targets.boxes[0, :2]) / 2
    predicted = torch.cat((centres - size, centres + size), 1)[None]
    middle = torch.stack(((x1 + x2) / 2, (y1 + y2) / 2))
    predicted = predicted + 0.9 * (middle - centres).repeat(1, 2)  # nearly where it belongs
    assert float(run(logits, predicted, levels, targets).score.max()) > 0


def test_an_object_labelled_twice_claims_each_cell_once() -> None:
    box = [16.0, 16.0, 40.0, 40.0]
    found = run(*one_image([box, box], classes=[0, 1]))
    assert found.cell.unique().numel() == found.cell.numel()
    assert set(found.target.tolist()) == {0}


def test_at_most_ten_cells_an_object() -> None:
    found = run(*one_image([[0.0, 0.0, 64.0, 64.0]]))
    assert found.cell.numel() == 10


def test_objects_without_overlapping_prediction_give_no_score_and_no_nan() -> None:
    logits, boxes, levels, targets = one_image([[8.0, 8.0, 24.0, 24.0]])
    found = run(logits, boxes + 1000, levels, targets)
    assert torch.equal(found.score, torch.zeros_like(found.score))


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
