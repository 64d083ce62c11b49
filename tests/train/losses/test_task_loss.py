"""The losses against their slow reference, their gradients, and batches at the edge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from yolocore.config import TrainConfig
from yolocore.meta import Task
from yolocore.train.assign import Targets
from yolocore.train.losses import PARTS, task_loss

from .. import reference

STRIDES = (8, 16, 32)
CONFIG = TrainConfig()
KEYPOINTS = (4, 3)
EXTRA: dict[Task, int] = {"detect": 0, "segment": 32, "pose": 12, "obb": 1}
DENSE = tuple(EXTRA)


def batch(
    task: Task, objects: int, seed: int = 0, images: int = 2, classes: int = 3, size: tuple[int, int] = (64, 64)
) -> tuple[list[torch.Tensor], Targets]:
    """Random numbers of a network, and random objects."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    height, width = size
    channels = 64 + classes + EXTRA[task]
    raw = [torch.randn(images, channels, height // s, width // s, generator=generator) * 1.5 for s in STRIDES]
    if task == "segment":
        raw.append(torch.randn(images, 32, height // 4, width // 4, generator=generator) * 0.5)
    whole = torch.tensor([width, height])
    corner = rand(objects, 2) * whole * 0.7
    boxes = torch.cat((corner, (corner + 2 + rand(objects, 2) * whole * 0.6).minimum(whole)), 1)
    image = torch.randint(images, (objects,), generator=generator).sort().values
    targets = Targets(image, torch.randint(classes, (objects,), generator=generator), boxes)
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    if task == "segment":
        number = torch.randint(1 + objects, (images, height // 4, width // 4), generator=generator)
        targets = replace(targets, masks=number.to(torch.int16))
    if task == "pose":
        seen = torch.randint(3, (objects, KEYPOINTS[0], 1), generator=generator)
        targets = replace(targets, keypoints=torch.cat((rand(objects, KEYPOINTS[0], 2) * whole, seen), 2))
    if task == "obb":
        targets = replace(targets, rotated=torch.cat((middle, sides, rand(objects, 1) * 3.2), 1))
    return raw, targets


def loss_of(task: Task, raw: list[torch.Tensor], targets: Targets, **more) -> tuple[torch.Tensor, torch.Tensor]:
    return task_loss(task, raw, targets, CONFIG, keypoints=KEYPOINTS if task == "pose" else None, **more)


@pytest.mark.parametrize("objects", [0, 1, 24])
@pytest.mark.parametrize("task", DENSE)
def test_equals_the_reference(task: Task, objects: int) -> None:
    raw, targets = batch(task, objects, seed=objects, size=(64, 96))
    total, parts = loss_of(task, raw, targets)
    want = reference.loss(task, raw, STRIDES, targets, CONFIG, sigmas=(1 / 4,) * 4, dims=3)
    assert dict(zip(PARTS[task], parts.tolist(), strict=True)) == pytest.approx(
        {name: want[name] for name in PARTS[task]}, rel=5e-4
    )
    assert float(total) == pytest.approx(2 * sum(want[name] for name in PARTS[task]), rel=5e-4)


def test_class_weights_weigh_the_class_term_alone() -> None:
    raw, targets = batch("detect", 12)
    weights = torch.tensor([0.2, 1.0, 1.8])
    _, parts = loss_of("detect", raw, targets, class_weights=weights)
    want = reference.loss("detect", raw, STRIDES, targets, CONFIG, weights=weights)
    assert parts.tolist() == pytest.approx([want[name] for name in PARTS["detect"]], rel=5e-4)


@pytest.mark.parametrize("task", DENSE)
def test_memory_format_changes_nothing(task: Task) -> None:
    raw, targets = batch(task, 12)
    last = [m.to(memory_format=torch.channels_last).requires_grad_() for m in raw]
    plain = [m.requires_grad_() for m in raw]
    of_plain, of_last = loss_of(task, plain, targets)[0], loss_of(task, last, targets)[0]
    assert torch.allclose(of_plain, of_last)
    for a, b in zip(torch.autograd.grad(of_plain, plain), torch.autograd.grad(of_last, last), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        assert b.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("task", DENSE)
def test_half_precision_is_computed_in_full(task: Task) -> None:
    """The loss of bfloat16 maps is that of the same numbers in float32, and their gradient is in bfloat16."""
    raw, targets = batch(task, 12)
    half = [m.bfloat16().requires_grad_() for m in raw]
    total, parts = loss_of(task, half, targets)
    assert total.dtype == parts.dtype == torch.float32
    total.backward()
    wide = [m.detach().float().requires_grad_() for m in half]
    want, want_parts = loss_of(task, wide, targets)
    want.backward()
    assert torch.equal(parts, want_parts)
    for a, b in zip(half, wide, strict=True):
        assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad.bfloat16())


@pytest.mark.parametrize("task", ["detect", "segment", "pose"])
def test_gradient_points_where_the_loss_falls(task: Task) -> None:
    """The analytic slope along its own direction is the measured one, as far as the target scores, which are
    constants to the gradient, do not move. (Those of rotated boxes do.)
    """
    raw, targets = batch(task, 10, seed=3)
    raw = [m.double().requires_grad_() for m in raw]
    gradients = torch.autograd.grad(loss_of(task, raw, targets)[0], raw)
    norm = float(torch.sqrt(sum((g**2).sum() for g in gradients)))
    step = 1e-4 / norm
    with torch.no_grad():
        ahead, behind = (
            loss_of(task, [m + sign * step * g for m, g in zip(raw, gradients, strict=True)], targets)[0]
            for sign in (1, -1)
        )
    assert float(ahead - behind) / (2 * step) == pytest.approx(norm**2, rel=0.05)


@pytest.mark.parametrize("task", DENSE)
def test_a_batch_without_objects_teaches_the_background_only(task: Task) -> None:
    raw, none = batch(task, 0)
    raw = [m.requires_grad_() for m in raw]
    total, parts = loss_of(task, raw, none)
    total.backward()
    assert [name for name, part in zip(PARTS[task], parts.tolist(), strict=True) if part] == ["cls_loss"]
    for m in raw[:3]:
        assert m.grad is not None
        assert torch.count_nonzero(m.grad[:, :64]) == torch.count_nonzero(m.grad[:, 67:]) == 0
        assert (m.grad[:, 64:67] > 0).all()
    if task == "segment":
        assert raw[3].grad is not None and torch.count_nonzero(raw[3].grad) == 0


@pytest.mark.parametrize("task", DENSE)
def test_two_processes_return_the_shares_of_one(task: Task) -> None:
    raw, targets = batch(task, 14)
    whole = [m.clone().requires_grad_() for m in raw]
    total, parts = loss_of(task, whole, targets)
    gradients = torch.autograd.grad(total, whole)

    counts: list[torch.Tensor] = []
    halves = []
    for image in (0, 1):
        mine = targets.image == image
        columns = {name: value[mine] for name in ("classes", "boxes", "keypoints", "rotated")
                   if (value := getattr(targets, name)) is not None}  # fmt: skip
        masks = None if targets.masks is None else targets.masks[image : image + 1]
        share = Targets(targets.image[mine] * 0, **columns, masks=masks)
        halves.append(([m[image : image + 1].clone().requires_grad_() for m in raw], share))
        loss_of(task, *halves[-1], total=lambda count: counts.append(count) or count)
    shares = [loss_of(task, *half, total=lambda _: counts[0] + counts[1]) for half in halves]
    assert sum(share[0].item() for share in shares) == pytest.approx(total.item(), rel=1e-5)
    assert torch.allclose(shares[0][1] + shares[1][1], parts, rtol=1e-5)
    for image, ((maps, _), share) in enumerate(zip(halves, shares, strict=True)):
        for want, got in zip(gradients, torch.autograd.grad(share[0], maps), strict=True):
            assert torch.allclose(want[image : image + 1], got, atol=1e-5)


def perfect(task: Task) -> tuple[list[torch.Tensor], Targets]:
    """Numbers that say exactly where the one object is, and nothing elsewhere: 32 × 32 pixels of a 64 × 64 image.

    The four cells of stride 16 in the middle lie half a stride from whole strides to its sides. There, the best
    distribution has two equal halves, whose entropy ln 2 is the least that the dfl loss can be.
    """
    raw = [torch.zeros(1, 64 + 1 + EXTRA[task], 64 // s, 64 // s) for s in STRIDES]
    for m in raw:
        m[:, 0:64:16] = 40  # boxes without extent, which overlap nothing
        m[:, 64] = -30
    middle = raw[1]
    middle[:, :64, 1:3, 1:3] = 0
    truth = torch.zeros(1, KEYPOINTS[0], 3)
    truth[0, :3] = torch.tensor([[20.0, 20, 2], [40, 30, 1], [33, 47, 2]])
    for row in (1, 2):
        for column in (1, 2):
            middle[0, 64, row, column] = 30
            for side, whole in enumerate((column - 1, row - 1, 2 - column, 2 - row)):
                middle[0, 16 * side + whole : 16 * side + whole + 2, row, column] = 40
            if task == "pose":
                cell = torch.tensor([column, row])
                numbers = torch.cat(((truth[0, :, :2] / 16 - cell) / 2, torch.where(truth[0, :, 2:] > 0, 30, -30)), 1)
                middle[0, 65:, row, column] = numbers.flatten()
            if task == "segment":
                middle[0, 65, row, column] = 30
            if task == "obb":
                middle[0, 65, row, column] = -torch.tensor(0.25).logit().neg()  # no angle
    targets = Targets(torch.tensor([0]), torch.tensor([0]), torch.tensor([[16.0, 16, 48, 48]]))
    if task == "segment":
        disc = (torch.cartesian_prod(torch.arange(16), torch.arange(16)) - 7.5).square().sum(1).view(16, 16) < 14
        prototypes = torch.zeros(1, 32, 16, 16)
        prototypes[0, 0] = disc * 2.0 - 1
        return [*raw, prototypes], replace(targets, masks=disc[None].to(torch.int16))
    if task == "pose":
        targets = replace(targets, keypoints=truth)
    if task == "obb":
        targets = replace(targets, rotated=torch.tensor([[32.0, 32, 32, 32, 0]]))
    return raw, targets


@pytest.mark.parametrize("task", DENSE)
def test_a_perfect_prediction_costs_nothing(task: Task) -> None:
    raw, targets = perfect(task)
    _, parts = loss_of(task, raw, targets)
    costs = dict(zip(PARTS[task], parts.tolist(), strict=True))
    assert costs.pop("dfl_loss") == pytest.approx(CONFIG.dfl * 0.693147, rel=1e-3)
    assert costs == pytest.approx(dict.fromkeys(costs, 0.0), abs=5e-3)


@pytest.mark.parametrize("task", DENSE)
def test_nothing_divides_by_the_size_of_an_object(task: Task) -> None:
    raw, targets = perfect(task)
    point = torch.tensor([[24.0, 24, 24, 24]])
    targets = replace(targets, boxes=point)
    if targets.rotated is not None:
        targets = replace(targets, rotated=torch.tensor([[24.0, 24, 0, 0, 1]]))
    raw = [m.requires_grad_() for m in raw]
    total, parts = loss_of(task, raw, targets)
    total.backward()
    assert parts.isfinite().all()
    assert all(m.grad is not None and m.grad.isfinite().all() for m in raw)


def test_classification_is_cross_entropy() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    targets = Targets(torch.arange(5), torch.tensor([0, 2, 1, 1, 0]), torch.zeros(5, 4))
    for weights in (None, torch.tensor([0.5, 1.0, 1.5])):
        total, parts = task_loss("classify", [logits.bfloat16()], targets, CONFIG, class_weights=weights)
        want = cross_entropy(logits.bfloat16().float(), targets.classes, weights)
        assert parts.tolist() == pytest.approx([float(want)])
        assert float(total) == pytest.approx(5 * float(want))


def test_classification_is_shared_among_processes() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    targets = Targets(torch.arange(5), torch.tensor([0, 2, 1, 1, 0]), torch.zeros(5, 4))
    whole, _ = task_loss("classify", [logits], targets, CONFIG)
    shares = [
        task_loss(
            "classify",
            [logits[rows]],
            replace(targets, classes=targets.classes[rows]),
            CONFIG,
            total=lambda _: torch.tensor([5.0, 5.0]),
        )[0]
        for rows in (slice(2), slice(2, 5))
    ]
    assert float(sum(shares)) == pytest.approx(float(whole))
