"""Normalisation and SiLU in training: the kernels against double precision, to the last bits that float32 has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from ctypes.util import find_library

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from yolocore.train import kernels

Shape = tuple[int, int, int, int]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def drawn(shape: Shape, mean: float = 0.0, spread: float = 1.0, dtype: torch.dtype = torch.float32, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(shape, generator=generator, dtype=torch.float64) * spread + mean
    return numbers.to(dtype).contiguous(memory_format=torch.channels_last)


def affine(scale: Tensor, shift: Tensor) -> Tensor:
    """Of numbers that are as normal as they will be."""
    return torch.stack((torch.zeros_like(scale), torch.ones_like(scale), scale, shift))


def one_channel(numbers: Tensor) -> Tensor:
    return numbers.reshape(1, 1, 1, -1).contiguous(memory_format=torch.channels_last)


def activated(numbers: Tensor) -> Tensor:
    return kernels.normalize(one_channel(numbers), affine(torch.ones(1), torch.zeros(1)), True).flatten()


def test_silu_everywhere() -> None:
    small = torch.logspace(-30, 1.9, 10_000)
    z = torch.cat((torch.linspace(-86, 86, 1_000_001), small, -small))
    exact = silu(z.double())
    # The exponent's own rounding grows with it.
    assert ((activated(z) - exact).abs() / exact.abs()).max() < 5e-6
    close = z.abs() < 4
    assert ((activated(z) - exact).abs() / exact.abs())[close].max() < 5e-7


FAR = [
    pytest.param(0.0, 0.0, id="zero"),
    pytest.param(-100.0, 0.0, id="what float32 has no smaller number for"),
    pytest.param(100.0, 100.0, id="itself"),
    pytest.param(3e38, 3e38, id="the largest"),
    pytest.param(-1e30, 0.0, id="very negative"),
    pytest.param(float("inf"), float("inf"), id="infinity"),
    pytest.param(float("nan"), float("nan"), id="not a number"),
]


@pytest.mark.parametrize(("z", "expected"), FAR)
def test_silu_at_the_ends(z: float, expected: float) -> None:
    found = activated(torch.full((40,), z))
    torch.testing.assert_close(found, torch.full((40,), expected), rtol=1e-6, atol=1e-7, equal_nan=True)


def test_every_bfloat16_comes_back_as_it_was() -> None:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    numbers = bits.view(torch.bfloat16)
    numbers = numbers[~numbers.isnan()]
    kept = kernels.normalize(one_channel(numbers), affine(torch.ones(1), torch.full((1,), -0.0)), False).flatten()
    assert torch.equal(kept.view(torch.int16), numbers.view(torch.int16))
    broken = kernels.normalize(
        one_channel(torch.full((40,), torch.nan).bfloat16()), affine(torch.ones(1), torch.ones(1)), False
    )
    assert broken.isnan().all()


@pytest.mark.parametrize("shift", [2.0**-9, 1.0, 255.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, -0.3])
def test_bfloat16_rounds_as_pytorch_does(shift: float) -> None:
    x = drawn((2, 7, 33, 5), dtype=torch.bfloat16)
    found = kernels.normalize(x, affine(torch.ones(7), torch.full((7,), shift)), False)
    assert torch.equal(found, (x.float() + shift).bfloat16())


MOMENTS = [
    pytest.param((4, 16, 12, 10), 0.3, 1.0, 1e-6, id="rows are joined"),
    pytest.param((3, 5, 7, 9), 0.3, 1.0, 1e-6, id="channels that no row can be made longer with"),
    pytest.param((2, 300, 5, 5), -2.0, 3.0, 1e-6, id="more channels than a row needs"),
    pytest.param((8, 16, 80, 80), 0.0, 1.0, 1e-6, id="many blocks"),
    pytest.param((2, 1, 40, 40), 1.0, 1.0, 1e-6, id="one channel"),
    pytest.param((1, 8, 1, 1), 1.0, 1.0, 1e-6, id="one number a channel"),
    pytest.param((4, 16, 80, 80), 3000.0, 1.0, 1e-5, id="far from zero: squares have no digits left for the variance"),
    pytest.param((4, 16, 80, 80), 3000.0, 0.0, 1e-6, id="all alike"),
]


@pytest.mark.parametrize(("shape", "mean", "spread", "close"), MOMENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_moments(shape: Shape, mean: float, spread: float, close: float, dtype: torch.dtype) -> None:
    x = drawn(shape, mean, spread, dtype)
    found, variance = kernels.moments(x)
    exact = x.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(found.double(), exact.mean(1), rtol=close, atol=1e-7)
    torch.testing.assert_close(variance.double(), exact.var(1, correction=0), rtol=close, atol=1e-7)


def everything(x: Tensor, gradient: Tensor) -> list[Tensor]:
    norm = torch.linspace(-1, 1, 4 * x.shape[1]).reshape(4, -1)
    sums = kernels.sum_gradients(gradient, x, norm, True)
    count = x.numel() / x.shape[1]
    return [
        *kernels.moments(x),
        kernels.normalize(x, norm, True),
        sums,
        kernels.apply_gradients(gradient, x, norm, sums, count, True),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_threads_change_no_bit(dtype: torch.dtype) -> None:
    x, gradient = drawn((3, 24, 40, 41), dtype=dtype), drawn((3, 24, 40, 41), dtype=dtype, seed=1)
    found = []
    for count in (1, 2, 64):  # more than there are
        torch.set_num_threads(count)
        found.append(everything(x, gradient))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], others, strict=True))


NORM = torch.ones(4, 8)
BREAKS: list[Callable[[Tensor, Tensor], list[Tensor]]] = [
    lambda x, g: list(kernels.moments(x)),
    lambda x, g: [kernels.normalize(x, NORM, True)],
    lambda x, g: [kernels.sum_gradients(x, g, NORM, True)],
    lambda x, g: [kernels.sum_gradients(g, x, NORM, True)],
    lambda x, g: [kernels.apply_gradients(x, g, NORM, NORM[:2], 10.0, True)],
]


@pytest.mark.parametrize("kernel", BREAKS, ids=["moments", "normalize", "gradient", "input", "applied"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_broken_number_is_not_lost(kernel: Callable[[Tensor, Tensor], list[Tensor]], dtype: torch.dtype) -> None:
    """A loss that diverges has to be seen."""
    x, other = drawn((2, 8, 9, 9), dtype=dtype), drawn((2, 8, 9, 9), dtype=dtype, seed=1)
    x[1, 3, 4, 4] = torch.nan
    for result in kernel(x, other):
        channels = result.isnan()
        assert channels.any() and channels[(1, 3, 4, 4) if result.dim() == 4 else (..., 3)].all()


ON_WHICH_THREADS = """
import os, numba, torch
from yolocore.train import kernels

def ticks(thread):
    after_the_name = open(f"/proc/self/task/{thread}/stat").read().rpartition(")")[2]
    return sum(map(int, after_the_name.split()[11:13]))

def used():
    return {thread: ticks(thread) for thread in os.listdir("/proc/self/task")}

def busy(work):
    before = used()
    for _ in range(300):
        work()
    after = used()
    return {each for each in after if after[each] - before.get(each, 0) > 5}

torch.set_num_threads(2)
x = torch.zeros(16, 64, 40, 40).contiguous(memory_format=torch.channels_last)
kernels.moments(x)
print(numba.threading_layer(), len(busy(x.exp)), busy(x.exp) == busy(lambda: kernels.moments(x)))
"""


@pytest.mark.skipif(find_library("gomp") is None or os.cpu_count() == 1, reason="needs libgomp and two processors")
def test_they_run_on_pytorchs_own_threads() -> None:
    """Others would wait for a processor until PyTorch's fall asleep."""
    run = subprocess.run([sys.executable, "-c", ON_WHICH_THREADS], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["omp", "2", "True"]


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two processors")
def test_the_number_of_threads_stays_what_was_asked_for() -> None:
    """Several processes that share a machine have been given their parts of it."""
    script = """
import torch
from yolocore.train import kernels
for _ in range(2):
    kernels.moments(torch.zeros(2, 8, 4, 4).contiguous(memory_format=torch.channels_last))
    print(torch.get_num_threads())
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == ["1", "1"]


def test_machine_code_that_cannot_be_kept_is_made_anew() -> None:
    """Where neither the package's folder nor the user's can be written, as in a container with a read-only root."""
    script = f"""
import importlib.util, sys, torch
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
spec = importlib.util.spec_from_file_location("alone", {kernels.__file__!r})
found = importlib.util.module_from_spec(spec)
spec.loader.exec_module(found)
print(found.moments(torch.ones(1, 8, 4, 4).contiguous(memory_format=torch.channels_last))[0].sum().item())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.stdout.strip(), run.returncode) == ("8.0", 0), run.stderr
