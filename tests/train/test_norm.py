"""Normalisation in training is PyTorch's own, of one process and of two that share a batch, but for rounding."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import batch_norm, silu

from yolocore.model.blocks import Conv
from yolocore.model.yolo11 import build
from yolocore.train.norm import FusedConv, fresh_norms, fuse_activations, synchronize

CHANNELS, STEPS = 5, 2


@dataclass(frozen=True)
class Case:
    """shapes: (b, h, w) of each process's share. means: of its numbers; spread: their deviation.
    close: how far from the exact result a number of this type and size may be, relatively and absolutely."""

    shapes: tuple[tuple[int, int, int], tuple[int, int, int]]
    dtype: torch.dtype = torch.float32
    means: tuple[float, float] = (0.3, 0.3)
    spread: float = 1.0
    activate: bool = True
    close: tuple[float, float] = (2e-6, 2e-6)


EVEN = ((4, 6, 5), (4, 6, 5))
CASES = {
    "even shares": Case(EVEN),
    "without activation": Case(EVEN, activate=False),
    "one picture more": Case(((5, 6, 5), (4, 6, 5))),
    "a single number beside many": Case(((1, 1, 1), (7, 6, 5))),
    "more than a block": Case(((4, 60, 50), (5, 60, 50)), close=(2e-5, 1e-5)),
    "other means": Case(((3, 6, 5), (4, 6, 5)), means=(-2.0, 5.0)),
    "all variance lies between the processes": Case(((2, 3, 3), (5, 3, 3)), means=(1.0, 3.0), spread=0.0),
    # Squares of such numbers have no digits left for a variance of 1.
    "far from zero": Case(EVEN, means=(3000.0, 3001.0), close=(1e-3, 2e-3)),
    "bfloat16, as mixed precision has it": Case(EVEN, torch.bfloat16, close=(2**-7, 4e-3)),
    "bfloat16 without activation": Case(EVEN, torch.bfloat16, activate=False, close=(2**-7, 4e-3)),
}


@dataclass(frozen=True)
class Share:
    """A process's part of one step: what it normalises, and the gradient that comes back to it."""

    x: Tensor
    gradient: Tensor


def draw(case: Case, step: int) -> list[Share]:
    """The shares of both processes, the same wherever this is called."""
    generator = torch.Generator().manual_seed(step)

    def rand(batch: int, height: int, width: int) -> Tensor:
        numbers = torch.randn(batch, CHANNELS, height, width, generator=generator, dtype=torch.float64)
        return numbers.contiguous(memory_format=torch.channels_last)

    return [
        Share((mean + case.spread * rand(*shape)).to(case.dtype), rand(*shape).to(case.dtype))
        for mean, shape in zip(case.means, case.shapes, strict=True)
    ]


def block_for(case: Case) -> Conv:
    """A block that has nothing to convolve. Parameters are float32, as mixed precision leaves them."""
    block = Conv(CHANNELS, CHANNELS, act=case.activate)
    block.conv = nn.Identity()  # type: ignore[assignment]
    assert block.bn is not None
    with torch.no_grad():
        block.bn.weight.copy_(torch.linspace(-0.5, 1.5, CHANNELS))
        block.bn.bias.copy_(torch.linspace(2, -1, CHANNELS))
    return block


def run(block: nn.Module, share: Share) -> dict[str, Tensor]:
    """Forward and backward. The gradients of the parameters add up over steps."""
    x = share.x.clone().requires_grad_()
    y = block(x)
    y.backward(share.gradient)
    assert x.grad is not None
    return {"output": y.detach(), "gradient": x.grad}


def trained(block: nn.Module, shares: list[Share]) -> dict:
    """What a block makes of a share in each step, and what it has become by then."""
    steps = [run(block, share) for share in shares]
    gradients = {key: parameter.grad for key, parameter in block.named_parameters()}
    return {"steps": steps, "buffers": dict(block.named_buffers()), "gradients": gradients}


def member(rank: int, folder: Path) -> None:
    """What one process of the group makes of its shares of all cases."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {}
    for name, case in CASES.items():
        block = block_for(case)
        fuse_activations(block)
        synchronize(block)
        found[name] = trained(block, [draw(case, step)[rank] for step in range(STEPS)])
        if rank == 0:  # who validates is alone, and must not wait for the other
            found[name]["validated"] = block.eval()(draw(case, 0)[rank].x).detach()
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp("norm")
    members = [subprocess.Popen([sys.executable, __file__, str(rank), str(folder)]) for rank in range(2)]
    assert [process.wait() for process in members] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def joined(tensors: list[Tensor]) -> Tensor:
    """Of any sizes: as one picture of a single row, in double precision."""
    return torch.cat([t.double().transpose(0, 1).flatten(1) for t in tensors], 1)[None, :, None]


def whole(case: Case, step: int) -> Share:
    """The shares of both as one batch."""
    shares = draw(case, step)
    return Share(joined([share.x for share in shares]), joined([share.gradient for share in shares]))


def assert_close(got: Tensor, exact: Tensor, case: Case) -> None:
    relative, absolute = case.close
    torch.testing.assert_close(got.double(), exact.double(), rtol=relative, atol=absolute)


def assert_same(results: list[dict], case: Case) -> None:
    """results: of the processes; they are what PyTorch makes of the joined batch in double precision."""
    exact = trained(block_for(case).double(), [whole(case, step) for step in range(STEPS)])
    for step in range(STEPS):
        for kind in ("output", "gradient"):
            parts = [result["steps"][step][kind] for result in results]
            assert all(part.dtype == case.dtype for part in parts)
            assert_close(joined(parts), exact["steps"][step][kind], case)
    for key, buffer in exact["buffers"].items():
        found = [result["buffers"][key] for result in results]
        assert all(torch.equal(found[0], other) for other in found), "the processes' models drift apart"
        assert_close(found[0], buffer, case)
    # Each keeps its own part of the parameters' gradients: all gradients are added up later.
    for key, gradient in exact["gradients"].items():
        scale = max(1.0, gradient.abs().max().item())
        assert_close(sum(result["gradients"][key].double() for result in results) / scale, gradient / scale, case)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_are_as_one(name: str, together: list[dict]) -> None:
    results = [found[name] for found in together]
    assert_same(results, CASES[name])
    assert not torch.equal(*(result["gradients"]["bn.weight"] for result in results))


@pytest.mark.parametrize("name", CASES)
def test_fused_is_as_pytorch(name: str) -> None:
    case = CASES[name]
    block = block_for(case)
    fuse_activations(block)
    layout = {"dtype": case.dtype, "memory_format": torch.channels_last}
    shares = [whole(case, step) for step in range(STEPS)]
    assert_same([trained(block, [Share(s.x.to(**layout), s.gradient.to(**layout)) for s in shares])], case)


@pytest.mark.parametrize("name", CASES)
def test_validation_takes_the_running_statistics(name: str, together: list[dict]) -> None:
    case, result = CASES[name], together[0][name]
    x, norm = draw(case, 0)[0].x, block_for(case).double().bn
    assert norm is not None
    mean, variance = (result["buffers"][f"bn.running_{key}"].double() for key in ("mean", "var"))
    y = batch_norm(x.double(), mean, variance, norm.weight, norm.bias, eps=norm.eps)
    assert_close(result["validated"], silu(y) if case.activate else y, case)


LAYOUTS: list = [
    pytest.param(lambda t: t.contiguous(), id="channels first"),
    pytest.param(lambda t: torch.cat((t, t), 1)[:, CHANNELS:], id="some channels of a tensor"),
    pytest.param(lambda t: torch.cat((t, t), 0)[::2], id="every other picture"),
    pytest.param(
        lambda t: t.transpose(2, 3).contiguous(memory_format=torch.channels_last).transpose(2, 3), id="turned"
    ),
    pytest.param(lambda t: t[:, :, :1].expand_as(t), id="a row for all"),
]


@pytest.mark.parametrize("arranged", LAYOUTS)
def test_layout_in_memory_makes_no_difference(arranged: Callable[[Tensor], Tensor]) -> None:
    """The gradient of a part of what was concatenated lies between that of the others."""
    share = draw(CASES["even shares"], 0)[0]
    odd = Share(*(arranged(t) for t in (share.x, share.gradient)))
    plain = Share(*(t.contiguous(memory_format=torch.channels_last).clone() for t in (odd.x, odd.gradient)))
    block = block_for(CASES["even shares"])
    fuse_activations(block)
    found, expected = run(block, odd), run(block, plain)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_one_number_a_channel() -> None:
    """An image of 32 pixels, alone: its deepest layer has nothing to compare with, which must not end the training."""
    block = block_for(CASES["even shares"])
    fuse_activations(block)
    block(torch.ones(1, CHANNELS, 1, 1)).sum().backward()
    assert all(buffer.isfinite().all() for buffer in block.buffers())


def test_the_model_stays_the_same() -> None:
    model = build("n", 2)
    before = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    fuse_activations(model)
    synchronize(model)
    blocks = [module for module in model.modules() if isinstance(module, Conv)]
    assert blocks and all(type(block) is FusedConv and block.shared for block in blocks)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == len(blocks), "all are in blocks"
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert list(after) == list(before)
    assert all(after[key] is before[key] for key in before)


def untouched(norm: nn.BatchNorm2d) -> None: ...


def used(norm: nn.BatchNorm2d) -> None:
    norm.train()(torch.randn(4, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(0)))


def with_a_mean(norm: nn.BatchNorm2d) -> None:
    norm.get_buffer("running_mean")[-1] = 0.1


def with_a_variance(norm: nn.BatchNorm2d) -> None:
    norm.get_buffer("running_var")[-1] = 0.9


@pytest.mark.parametrize(
    ("settings", "history", "momentum"),
    [
        pytest.param({"momentum": 0.03}, untouched, 0.03, id="as made"),
        pytest.param({"momentum": 0.03}, used, None, id="has seen a batch"),
        pytest.param({"momentum": 0.03}, with_a_mean, None, id="one mean of a checkpoint"),
        pytest.param({"momentum": 0.03}, with_a_variance, None, id="one variance of a checkpoint"),
        pytest.param({"momentum": None}, untouched, 0.0, id="a plain average over all batches"),
        pytest.param({"track_running_stats": False}, untouched, None, id="keeps no statistics"),
    ],
)
def test_fresh_norms(settings: dict, history: Callable[[nn.BatchNorm2d], None], momentum: float | None) -> None:
    norm = nn.BatchNorm2d(CHANNELS, **settings)
    history(norm)
    model = nn.Sequential(nn.Conv2d(3, CHANNELS, 1), nn.Sequential(norm), nn.ReLU())
    assert fresh_norms(model) == ([] if momentum is None else [(norm, momentum)])


def test_fresh_norms_of_a_network_that_starts_from_a_checkpoint() -> None:
    """A new head's, and not those below, which know their statistics."""
    model = build("n", 2)
    for module in model.model[:-1].modules():
        if isinstance(module, nn.BatchNorm2d):
            with_a_mean(module)
    fuse_activations(model)
    synchronize(model)
    found = [norm for norm, _ in fresh_norms(model)]
    assert found == [module for module in model.head.modules() if isinstance(module, nn.BatchNorm2d)]
    assert found


if __name__ == "__main__":  # as one of the fixture's two processes
    member(int(sys.argv[1]), Path(sys.argv[2]))
