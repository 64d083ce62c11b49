"""Assignment against a one-at-a-time reference, and the cases that a fast form gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from yolocore.data.loader import ObjectTable
from yolocore.train.assign import Assignment, Grid, Targets, candidates, choose, rotated_candidates
from yolocore.train.overlap import complete_iou

from . import reference

STRIDES = (8, 16, 32)


def test_targets_of_a_batch_are_its_columns() -> None:
    image, classes, boxes = np.array([0, 1]), np.array([2, 0]), np.ones((2, 4), np.float32)
    objects = ObjectTable(image, classes, boxes, rotated=np.full((2, 5), 3, np.float32))
    targets = Targets.of(objects, torch.device("cpu"))
    assert targets.masks is None and targets.keypoints is None and targets.rotated is not None
    for name in ("image", "classes", "boxes", "rotated"):
        assert np.array_equal(getattr(targets, name).numpy(), getattr(objects, name))


def grid_of(size: int, images: int = 1, width: int | None = None) -> Grid:
    return Grid(images, tuple((size // s, (width or size) // s, s) for s in STRIDES))


def centres_of(grid: Grid) -> torch.Tensor:
    """(a, 2) of one image's cells, level by level."""
    return torch.tensor([cell[:2] for cell in reference.cells([level[:2] for level in grid.levels], STRIDES)])


def numbers_of(grid: Grid) -> torch.Tensor:
    """(b, a) the number in the grid of each cell of each image."""
    starts = [0, *grid.ends]
    return torch.cat(
        [
            start + torch.arange(grid.images * height * width).view(grid.images, height * width)
            for start, (height, width, _) in zip(starts, grid.levels, strict=False)
        ],
        1,
    )


def random_case(seed: int, size: int, objects: int, images: int = 3, classes: int = 4):
    """Predictions that overlap the objects as a half-trained network's do."""
    rng = np.random.default_rng(seed)
    grid = grid_of(size, images)
    centres = centres_of(grid).numpy()
    half = rng.uniform(4, size / 3, (images, len(centres), 2))
    boxes = np.concatenate((centres - half, centres + half * rng.uniform(0.5, 1.5, half.shape)), 2)
    corner = rng.uniform(0, size * 0.8, (objects, 2))
    truth = np.concatenate((corner, np.minimum(corner + rng.uniform(3, size / 2, (objects, 2)), size)), 1)
    targets = Targets(
        torch.from_numpy(np.sort(rng.integers(0, images, objects))),
        torch.from_numpy(rng.integers(0, classes, objects)),
        torch.from_numpy(truth.astype(np.float32)),
    )
    scores = torch.from_numpy(rng.uniform(0, 1, (images, len(centres), classes)).astype(np.float32))
    return scores, torch.from_numpy(boxes.astype(np.float32)), grid, targets


def run(scores: torch.Tensor, boxes: torch.Tensor, grid: Grid, targets: Targets) -> Assignment:
    """Assign predictions that have a row for each cell of each image."""
    numbers = numbers_of(grid).flatten()
    place = numbers.argsort()
    pairs = candidates(grid, targets.image, targets.boxes)
    row = place[pairs.cell]
    score = scores.flatten(0, 1)[row, targets.classes[pairs.target]]
    overlap = complete_iou(boxes.flatten(0, 1)[row], targets.boxes[pairs.target]).clamp(min=0)
    return choose(pairs, score, overlap)


def expected(scores, boxes, grid, targets) -> dict[int, tuple[int, float]]:
    found = {}
    cells = reference.cells([level[:2] for level in grid.levels], STRIDES)
    numbers = numbers_of(grid)
    for image in range(len(scores)):
        mine = (targets.image == image).nonzero()[:, 0].tolist()
        positive = reference.assign_image(
            scores[image].double().numpy(),
            boxes[image].tolist(),
            cells,
            targets.boxes[mine].tolist(),
            targets.classes[mine].tolist(),
        )
        found.update({int(numbers[image, cell]): (mine[g], score) for cell, (g, score) in positive.items()})
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
    found, want = run(*case), expected(*case)
    assert torch.equal(found.cell, found.cell.unique())
    rows = zip(found.cell.tolist(), found.target.tolist(), found.score.tolist(), strict=True)
    got = {cell: (target, score) for cell, target, score in rows}
    assert {k: v[0] for k, v in got.items()} == {k: v[0] for k, v in want.items()}
    assert [got[k][1] for k in want] == pytest.approx([v[1] for v in want.values()], rel=1e-3, abs=1e-6)


def one_image(boxes: list[list[float]], classes: list[int] | None = None, size: int = 64):
    """A network that predicts a 12-pixel box around each cell, whatever it sees."""
    grid = grid_of(size)
    centres = centres_of(grid)
    targets = Targets(
        torch.zeros(len(boxes), dtype=torch.long),
        torch.tensor(classes or [0] * len(boxes)),
        torch.tensor(boxes, dtype=torch.float32),
    )
    return torch.full((1, len(centres), 2), 0.5), torch.cat((centres - 6, centres + 6), 1)[None], grid, targets


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
    scores, _, grid, targets = one_image([box])
    centres = centres_of(grid)
    x1, y1, x2, y2 = targets.boxes[0]
    size = (targets.boxes[0, 2:] - targets.boxes[0, :2]) / 2
    predicted = torch.cat((centres - size, centres + size), 1)[None]
    middle = torch.stack(((x1 + x2) / 2, (y1 + y2) / 2))
    predicted = predicted + 0.9 * (middle - centres).repeat(1, 2)  # nearly where it belongs
    assert float(run(scores, predicted, grid, targets).score.max()) > 0


def test_an_object_labelled_twice_claims_each_cell_once() -> None:
    box = [16.0, 16.0, 40.0, 40.0]
    found = run(*one_image([box, box], classes=[0, 1]))
    assert found.cell.unique().numel() == found.cell.numel()
    assert set(found.target.tolist()) == {0}


def test_at_most_ten_cells_an_object() -> None:
    found = run(*one_image([[0.0, 0.0, 64.0, 64.0]]))
    assert found.cell.numel() == 10


def test_a_cell_whose_box_does_not_overlap_the_object_is_not_positive() -> None:
    scores, boxes, grid, targets = one_image([[8.0, 8.0, 24.0, 24.0]])
    assert run(scores, boxes + 1000, grid, targets).cell.tolist() == []


def test_places_and_split_know_where_a_cell_is() -> None:
    grid = grid_of(64, images=3, width=96)
    numbers = numbers_of(grid)
    want = reference.cells([level[:2] for level in grid.levels], STRIDES)
    for image in range(3):
        centres, strides = grid.places(numbers[image])
        got = [(x, y, stride) for (x, y), stride in zip(centres.T.tolist(), strides.tolist(), strict=True)]
        assert got == want
    levels = grid.split(torch.arange(grid.ends[-1]))
    assert [cells.tolist() for cells in levels] == [list(range(3 * h * w)) for h, w, _ in grid.levels]


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([30.0, 30, 40, 20, 0.0], id="upright"),
        pytest.param([33.0, 35, 50, 6, 0.7], id="thin: taken wider"),
        pytest.param([20.0, 40, 3, 4, 2.0], id="smaller than a cell"),
        pytest.param([50.0, 10, 60, 30, 2.9], id="over the border"),
        pytest.param([200.0, 200, 60, 30, 1], id="outside the picture"),
    ],
)
def test_rotated_candidates_are_the_cells_inside(box: list[float]) -> None:
    grid = grid_of(64, images=2)
    boxes = torch.tensor([box, [31.0, 33, 30, 24, -0.4]])
    image = torch.tensor([0, 1])
    pairs = rotated_candidates(grid, image, boxes)
    cells, numbers = reference.cells([level[:2] for level in grid.levels], STRIDES), numbers_of(grid)
    want = {
        (target, int(numbers[int(image[target]), i]))
        for target, truth in enumerate(boxes.tolist())
        for i, (x, y, _) in enumerate(cells)
        if reference.in_rotated_box(truth, x, y)
    }
    got = list(zip(pairs.target.tolist(), pairs.cell.tolist(), strict=True))
    assert len(got) == len(set(got)) and set(got) == want
    slots = list(zip(pairs.target.tolist(), pairs.slot.tolist(), strict=True))
    assert len(slots) == len(set(slots))
