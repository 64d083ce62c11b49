"""The loss against its slow reference, its gradients, and batches at the edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from yolocore.config import TrainConfig
from yolocore.train.assign import Targets
from yolocore.train.loss import detection_loss, distribution_focal_loss

from . import reference

STRIDES = (8, 16, 32)
CONFIG = TrainConfig()


def batch(
    seed: int, objects: int, images: int = 2, classes: int = 3, size: int = 64
) -> tuple[list[torch.Tensor], Targets]:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(images, 64 + classes, size // s, size // s, generator=generator) * 1.5 for s in STRIDES]
    corner = torch.rand(objects, 2, generator=generator) * size * 0.7
    extent = 2 + torch.rand(objects, 2, generator=generator) * size * 0.6
    boxes = torch.cat((corner, (corner + extent).clamp(max=size)), 1)
    image = torch.randint(images, (objects,), generator=generator)
    return maps, Targets(image, torch.randint(classes, (objects,), generator=generator), boxes)


@pytest.mark.parametrize("objects", [0, 1, 8, 40])
@pytest.mark.parametrize("seed", range(2))
def test_equals_the_reference(seed: int, objects: int) -> None:
    maps, targets = batch(seed, objects)
    total, parts = detection_loss(maps, targets, CONFIG)
    want = reference.loss(
        maps, STRIDES, targets.image.tolist(), targets.classes.tolist(), targets.boxes.double(), CONFIG
    )
    assert parts.numpy() == pytest.approx(want, rel=2e-4)
    assert float(total) == pytest.approx(want.sum() * len(maps[0]), rel=2e-4)


def test_memory_format_changes_nothing() -> None:
    maps, targets = batch(0, 12)
    _, plain = detection_loss(maps, targets, CONFIG)
    _, last = detection_loss([m.to(memory_format=torch.channels_last) for m in maps], targets, CONFIG)
    assert torch.allclose(plain, last)


def test_gradient_points_where_the_loss_falls() -> None:
    """The analytic slope along its own direction is the measured one."""
    maps, targets = batch(3, 10)
    maps = [m.requires_grad_() for m in maps]
    total, _ = detection_loss(maps, targets, CONFIG)
    gradients = torch.autograd.grad(total, maps)
    norm = torch.sqrt(sum((g.double() ** 2).sum() for g in gradients))
    step = 0.01 / float(norm)
    with torch.no_grad():
        ahead, _ = detection_loss([m - step * g for m, g in zip(maps, gradients, strict=True)], targets, CONFIG)
        behind, _ = detection_loss([m + step * g for m, g in zip(maps, gradients, strict=True)], targets, CONFIG)
    assert float(behind - ahead) / (2 * step) == pytest.approx(float(norm) ** 2, rel=0.05)


def test_a_batch_without_objects_teaches_the_background_only() -> None:
    maps, _ = batch(1, 0)
    maps = [m.requires_grad_() for m in maps]
    none = Targets(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4))
    total, parts = detection_loss(maps, none, CONFIG)
    total.backward()
    assert parts[0] == 0 and parts[2] == 0 and parts[1] > 0
    for m in maps:
        assert m.grad is not None
        assert torch.count_nonzero(m.grad[:, :64]) == 0
        assert (m.grad[:, 64:] > 0).all()


def test_a_perfect_prediction_costs_next_to_nothing() -> None:
    """Logits that say exactly where the one object is, and nothing elsewhere."""
    maps = [torch.full((1, 64 + 1, 64 // s, 64 // s), 0.0) for s in STRIDES]
    for m in maps:
        m[:, 64:] = -12
    targets = Targets(torch.tensor([0]), torch.tensor([0]), torch.tensor([[16.0, 16, 48, 48]]))
    # The four cells of stride 16 inside the box; sides are whole strides from the box's edges by ½.
    m = maps[1]
    for row in (1, 2):
        for column in (1, 2):
            m[0, 64, row, column] = 12
            near = {0: column - 1, 1: row - 1, 2: 2 - column, 3: 2 - row}
            for side, whole in near.items():
                m[0, 16 * side + whole, row, column] = 20
                m[0, 16 * side + whole + 1, row, column] = 20
    _, parts = detection_loss(maps, targets, TrainConfig(box=1, cls=1, dfl=1))
    assert float(parts[0]) < 1e-3
    assert float(parts[1]) < 0.2
    assert float(parts[2]) == pytest.approx(np.log(2), abs=0.01)


def test_distribution_focal_loss_is_least_at_the_target() -> None:
    target = torch.tensor([0.0, 3.25, 14.99])
    logits = torch.zeros(3, 16, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.5)
    for _ in range(120):
        optimizer.zero_grad()
        distribution_focal_loss(logits, target).sum().backward()
        optimizer.step()
    mean = logits.detach().softmax(-1) @ torch.arange(16.0)
    assert mean.numpy() == pytest.approx(target.numpy(), abs=0.05)
