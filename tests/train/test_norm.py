"""Batch normalisation over two processes is that of one process that has the joined batch."""

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
from torch.nn.functional import batch_norm

from yolocore.model.yolo11 import build
from yolocore.train.norm import SharedBatchNorm2d, fresh_norms, synchronize

CHANNELS, EPS, MOMENTUM, STEPS = 5, 1e-3, 0.03, 2


@dataclass(frozen=True)
class Case:
    """shapes: (b, h, w) of each process's share. means: of its numbers; spread: their deviation.
    close: how far from the exact result a number of this type and size may be, relatively and absolutely."""

    shapes: tuple[tuple[int, int, int], tuple[int, int, int]]
    dtype: torch.dtype = torch.float64
    means: tuple[float, float] = (0.3, 0.3)
    spread: float = 1.0
    close: tuple[float, float] = (1e-9, 1e-9)


EVEN = ((4, 6, 5), (4, 6, 5))
CASES = {
    "even shares": Case(EVEN),
    "one picture more": Case(((5, 6, 5), (4, 6, 5))),
    "a single number beside many": Case(((1, 1, 1), (7, 6, 5))),
    "other means": Case(((3, 6, 5), (4, 6, 5)), means=(-2.0, 5.0)),
    "all variance lies between the processes": Case(((2, 3, 3), (5, 3, 3)), means=(1.0, 3.0), spread=0.0),
    "float32": Case(EVEN, torch.float32, close=(1e-5, 1e-5)),
    # Squares of such numbers have no digits left for a variance of 1.
    "float32 far from zero": Case(EVEN, torch.float32, (3000.0, 3001.0), close=(1e-3, 2e-3)),
    "bfloat16, as mixed precision has it": Case(EVEN, torch.bfloat16, close=(2**-7, 2e-3)),
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


def norm_for(dtype: torch.dtype) -> nn.BatchNorm2d:
    """Parameters stay as wide as float32, as mixed precision leaves them."""
    norm = nn.BatchNorm2d(CHANNELS, EPS, MOMENTUM, dtype=torch.promote_types(dtype, torch.float32))
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-0.5, 1.5, CHANNELS))
        norm.bias.copy_(torch.linspace(2, -1, CHANNELS))
    return norm


def run(norm: nn.Module, share: Share) -> dict[str, Tensor]:
    """Forward and backward. The gradients of the parameters add up over steps."""
    x = share.x.clone().requires_grad_()
    y = norm(x)
    y.backward(share.gradient)
    assert x.grad is not None
    return {"output": y.detach(), "gradient": x.grad}


def member(rank: int, folder: Path) -> None:
    """What one process of the group makes of its shares of all cases."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {}
    for name, case in CASES.items():
        norm = norm_for(case.dtype)
        synchronize(norm)
        steps = [run(norm, draw(case, step)[rank]) for step in range(STEPS)]
        found[name] = {"steps": steps, "buffers": dict(norm.named_buffers()), "weight": norm.weight.grad}
        found[name]["bias"] = norm.bias.grad
        if rank == 0:  # who validates is alone, and must not wait for the other
            found[name]["validated"] = norm.eval()(draw(case, 0)[rank].x).detach()
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


def assert_close(got: Tensor, exact: Tensor, case: Case) -> None:
    relative, absolute = case.close
    torch.testing.assert_close(got.double(), exact.double(), rtol=relative, atol=absolute)


@pytest.mark.parametrize("name", CASES)
def test_as_one(name: str, together: list[dict]) -> None:
    case, results = CASES[name], [found[name] for found in together]
    alone = norm_for(torch.float64)
    for step in range(STEPS):
        shares = draw(case, step)
        whole = run(alone, Share(joined([s.x for s in shares]), joined([s.gradient for s in shares])))
        for kind, exact in whole.items():
            parts = [result["steps"][step][kind] for result in results]
            assert [part.dtype for part in parts] == [case.dtype] * 2
            assert [part.shape for part in parts] == [s.x.shape for s in shares]
            assert_close(joined(parts), exact, case)
    for key, exact in alone.named_buffers():
        mine, theirs = (result["buffers"][key] for result in results)
        assert torch.equal(mine, theirs), "the processes' models drift apart"
        assert_close(mine, exact, case)
    # Each keeps its own part of the parameters' gradients: all gradients are added up later.
    for key, parameter in alone.named_parameters():
        parts = [result[key].double() for result in results]
        assert parameter.grad is not None and not torch.equal(*parts)
        scale = max(1.0, parameter.grad.abs().max().item())
        assert_close((parts[0] + parts[1]) / scale, parameter.grad / scale, case)


@pytest.mark.parametrize("name", CASES)
def test_validation_takes_the_running_statistics(name: str, together: list[dict]) -> None:
    case, result = CASES[name], together[0][name]
    x, norm = draw(case, 0)[0].x, norm_for(torch.float64)
    mean, variance = (result["buffers"][key].double() for key in ("running_mean", "running_var"))
    assert_close(result["validated"], batch_norm(x.double(), mean, variance, norm.weight, norm.bias, eps=EPS), case)


def test_the_model_stays_the_same() -> None:
    model = build("n", 2)
    before = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    synchronize(model)
    assert norms and all(type(norm) is SharedBatchNorm2d for norm in norms)
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert list(after) == list(before)
    assert all(after[key] is before[key] for key in before)


def untouched(norm: nn.BatchNorm2d) -> None: ...


def trained(norm: nn.BatchNorm2d) -> None:
    norm.train()(torch.randn(4, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(0)))


def with_a_mean(norm: nn.BatchNorm2d) -> None:
    norm.get_buffer("running_mean")[-1] = 0.1


def with_a_variance(norm: nn.BatchNorm2d) -> None:
    norm.get_buffer("running_var")[-1] = 0.9


@pytest.mark.parametrize(
    ("settings", "history", "momentum"),
    [
        pytest.param({"momentum": 0.03}, untouched, 0.03, id="as made"),
        pytest.param({"momentum": 0.03}, trained, None, id="has seen a batch"),
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
    synchronize(model)
    found = [norm for norm, _ in fresh_norms(model)]
    assert found == [module for module in model.head.modules() if isinstance(module, nn.BatchNorm2d)]
    assert found


if __name__ == "__main__":  # as one of the fixture's two processes
    member(int(sys.argv[1]), Path(sys.argv[2]))
