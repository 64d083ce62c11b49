"""Batch normalisation and SiLU of a training on CPUs, in as few passes over memory as there can be.

There is next to no arithmetic in them; their time goes into tensors that no cache holds. PyTorch reads or writes six
of those forward and eight backward. Here they are loops that Numba compiles, with three and five: forward, one finds
the moments and another normalises and activates; backward, one sums up and another applies. What the activation has
to know is computed again, which is cheaper than to read it.

They are operators of PyTorch, so that its tools see them. Tensors are (B, C, H, W), dense, channels last, float32 or
bfloat16; what stands for a channel is float32, (C,). Sums are divided into blocks by the shape alone: the same
numbers give the same bits, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import njit, prange, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import overload
from torch import Tensor

_BLOCK = 1 << 14  # numbers that a thread takes at a time: few enough to lie in its cache when they are read again
_ROW = 256  # numbers that an inner loop takes at least, where so many can be had
_DEFINITIONS = torch.library.Library("yolocore", "DEF")
_SETTINGS: Any = numba.config

# OpenMP first: its calls find PyTorch's own threads. Others would wait for a processor until those fall asleep.
_SETTINGS.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]
# LLVM takes vectors of half the width where a processor has 512 bits; these loops are a quarter faster with all of it.
if "+avx512f" in (_features := get_host_cpu_features()):
    _SETTINGS.CPU_FEATURES = f"{_features},-prefer-256-bit"


def _kernel(loops: Callable[..., None]) -> Callable[..., None]:
    """Compile once a machine, or, where no folder for that can be written, once a process."""
    # Multiplications may be joined with additions; nothing that would hide a NaN.
    settings: dict[str, Any] = {"parallel": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        return njit(cache=True, **settings)(loops)
    except RuntimeError:
        return njit(**settings)(loops)


def _wide(number):
    """As float32. An int16 holds the bits of a bfloat16, which are the first ones of a float32."""


@overload(_wide, inline="always")
def _(number):
    if number is types.int16:
        return lambda number: np.int32(np.int32(number) << np.int32(16)).view(np.float32)
    return lambda number: number


def _narrow(number, like):
    """A float32 in the type of `like`: itself, or the bits of the nearest bfloat16, the even one of two."""


@overload(_narrow, inline="always")
def _(number, like):
    if like is not types.int16:
        return lambda number, like: number

    def nearest(number, like):
        bits = np.float32(number).view(np.uint32)
        odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        return np.int16(np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16))

    return nearest


@njit(fastmath={"contract", "arcp", "ninf"})
def _sigmoid(z):
    """1 / (1 + e^-z) of a float32, but for about its last two bits, in operations that a compiler makes vectors of.

    e^-z = 2^n 2^f with |f| <= 1/2: the bits of n become an exponent, and 2^f is a polynomial whose largest relative
    error, 7.5e-8, is the least of its degree.
    """
    z = z if z > np.float32(-87) else np.float32(-87)
    z = z if z < np.float32(87) else np.float32(87)
    # Numbers of this size have no digits behind the point, and n + 127 in their last bits.
    magic = np.float32(1.5 * 2**23 + 127)
    shifted = z * np.float32(-1.4426950408889634) + magic
    f = z * np.float32(-1.4426950408889634) - (shifted - magic)
    power = np.float32(0.001327647129073739)
    power = power * f + np.float32(0.009675541892647743)
    power = power * f + np.float32(0.05550713092088699)
    power = power * f + np.float32(0.24022120237350464)
    power = power * f + np.float32(0.6931469440460205)
    power = power * f + np.float32(1.0000001192092896)
    scale = np.int32(np.float32(shifted).view(np.int32) << np.int32(23)).view(np.float32)
    return np.float32(1) / (np.float32(1) + scale * power)


@njit(inline="always")
def _blocks(rows, width):
    return max(1, rows * width // _BLOCK)


@njit(inline="always")
def _repeated(numbers, width):
    """Those of the channels, as often as a row of `width` has them."""
    row = np.empty(width, np.float32)
    for c in range(width):
        row[c] = numbers[c % len(numbers)]
    return row


@njit(inline="always")
def _affine(norm, width):
    """The scale and the shift that `norm` comes to (see `normalize`), for a row of `width`."""
    mean, inverse, weight, bias = norm
    scale = weight * inverse
    return _repeated(scale, width), _repeated(bias - mean * scale, width)


@_kernel
def _moments(x, mean, variance):
    """Each block's own moments, put together by Chan, Golub & LeVeque, 1979, whose rounding does not suffer from a
    mean far from zero."""
    rows, width = x.shape
    blocks = _blocks(rows, width)
    parts = np.empty((blocks, 2, width), np.float32)
    for block in prange(blocks):
        first, last = block * rows // blocks, (block + 1) * rows // blocks
        means, squares = parts[block, 0], parts[block, 1]
        means[:] = 0
        squares[:] = 0
        for row in range(first, last):
            for c in range(width):
                means[c] += _wide(x[row, c]) - _wide(x[first, c])
        for c in range(width):
            means[c] = means[c] / np.float32(last - first) + _wide(x[first, c])
        for row in range(first, last):
            for c in range(width):
                away = _wide(x[row, c]) - means[c]
                squares[c] += away * away
    channels = len(mean)
    counts = np.empty(blocks)
    for block in range(blocks):
        counts[block] = (block + 1) * rows // blocks - block * rows // blocks
    total = rows * (width // channels)
    for channel in range(channels):
        middle, spread = 0.0, 0.0
        for block in range(blocks):
            for c in range(channel, width, channels):
                middle += parts[block, 0, c] * (counts[block] / total)
        for block in range(blocks):
            for c in range(channel, width, channels):
                spread += parts[block, 1, c] + counts[block] * (parts[block, 0, c] - middle) ** 2
        mean[channel] = middle
        variance[channel] = spread / total


@_kernel
def _apply(x, norm, activate, y):
    rows, width = x.shape
    blocks = _blocks(rows, width)
    scale, shift = _affine(norm, width)
    for block in prange(blocks):
        for row in range(block * rows // blocks, (block + 1) * rows // blocks):
            for c in range(width):
                z = _wide(x[row, c]) * scale[c] + shift[c]
                if activate:
                    z *= _sigmoid(z)
                y[row, c] = _narrow(z, y[row, c])


@njit(inline="always", fastmath={"contract"})
def _through(gradient, z, activate):
    """The gradient of what was activated."""
    if not activate:
        return gradient
    s = _sigmoid(z)
    return gradient * s * (np.float32(1) + z * (np.float32(1) - s))


@_kernel
def _sum_gradients(gradient, x, norm, activate, sums):
    rows, width = x.shape
    blocks = _blocks(rows, width)
    scale, shift = _affine(norm, width)
    mean, inverse = norm[0], norm[1]
    means = _repeated(mean, width)
    parts = np.empty((blocks, 2, width), np.float32)
    for block in prange(blocks):
        plain, weighted = parts[block, 0], parts[block, 1]
        plain[:] = 0
        weighted[:] = 0
        for row in range(block * rows // blocks, (block + 1) * rows // blocks):
            for c in range(width):
                number = _wide(x[row, c])
                along = _through(_wide(gradient[row, c]), number * scale[c] + shift[c], activate)
                plain[c] += along
                weighted[c] += along * (number - means[c])
    channels = len(mean)
    for channel in range(channels):
        by_bias, by_weight = 0.0, 0.0
        for block in range(blocks):
            for c in range(channel, width, channels):
                by_bias += parts[block, 0, c]
                by_weight += parts[block, 1, c]
        sums[0, channel] = by_bias
        sums[1, channel] = by_weight * inverse[channel]


@_kernel
def _apply_gradients(gradient, x, norm, sums, count, activate, by_x):
    rows, width = x.shape
    blocks = _blocks(rows, width)
    scale, shift = _affine(norm, width)
    mean, inverse, weight, _ = norm
    # The mean and the variance depend on x as well (Ioffe & Szegedy, 2015, section 3): a plane for each channel.
    slopes = -weight * inverse * inverse * sums[1] / np.float32(count)
    offsets = -weight * inverse * sums[0] / np.float32(count) - slopes * mean
    slope, offset = _repeated(slopes, width), _repeated(offsets, width)
    for block in prange(blocks):
        for row in range(block * rows // blocks, (block + 1) * rows // blocks):
            for c in range(width):
                number = _wide(x[row, c])
                along = _through(_wide(gradient[row, c]), number * scale[c] + shift[c], activate)
                by_x[row, c] = _narrow(along * scale[c] + number * slope[c] + offset[c], by_x[row, c])


def _operator(schema: str) -> Callable[[Callable[..., Any]], Any]:
    """Make a function an operator of PyTorch, and return that. It runs on as many threads as PyTorch's own."""
    name = schema.partition("(")[0]

    def register(function: Callable[..., Any]) -> Any:
        def run(*arguments: Any) -> Any:
            threads = torch.get_num_threads()
            numba.set_num_threads(min(threads, _SETTINGS.NUMBA_NUM_THREADS))
            if torch.get_num_threads() != threads:  # Numba has just started, and let all of OpenMP use every processor
                torch.set_num_threads(threads)
            return function(*arguments)

        _DEFINITIONS.define(schema)
        _DEFINITIONS.impl(name, run, "CPU")
        return getattr(torch.ops.yolocore, name).default

    return register


@_operator("moments(Tensor x) -> (Tensor, Tensor)")
def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (divided by the count) of each channel."""
    mean, variance = torch.empty(2, x.shape[1]).unbind()
    _moments(*_rows(x), mean.numpy(), variance.numpy())
    return mean, variance


@_operator("normalize(Tensor x, Tensor norm, bool activate) -> Tensor")
def normalize(x: Tensor, norm: Tensor, activate: bool) -> Tensor:
    """(x - mean) * inverse * weight + bias, and SiLU of that if `activate`.

    norm: (4, C), rows mean, inverse (of the standard deviation), weight, bias.
    """
    y = torch.empty_like(x)
    numbers, result = _rows(x, y)
    _apply(numbers, norm.numpy(), activate, result)
    return y


@_operator("sum_gradients(Tensor gradient, Tensor x, Tensor norm, bool activate) -> Tensor")
def sum_gradients(gradient: Tensor, x: Tensor, norm: Tensor, activate: bool) -> Tensor:
    """The gradients of bias and weight, (2, C), from that of what `normalize` returned."""
    sums = torch.empty(2, x.shape[1])
    _sum_gradients(*_rows(gradient, x), norm.numpy(), activate, sums.numpy())
    return sums


@_operator("apply_gradients(Tensor gradient, Tensor x, Tensor norm, Tensor sums, float count, bool activate) -> Tensor")
def apply_gradients(gradient: Tensor, x: Tensor, norm: Tensor, sums: Tensor, count: float, activate: bool) -> Tensor:
    """The gradient of x, with the moments of x taken as the functions of it that they are.

    sums: as `sum_gradients` returns it, over all `count` numbers of a channel that the moments are of.
    """
    by_x = torch.empty_like(x)
    gradients, numbers, result = _rows(gradient, x, by_x)
    _apply_gradients(gradients, numbers, norm.numpy(), sums.numpy(), count, activate, result)
    return by_x


def _rows(*tensors: Tensor) -> list[Any]:
    """(B, C, H, W), dense and channels last, of one shape → the same memory as rows of some multiple of C numbers.

    Long rows, for a loop has to be entered for each of them. NumPy has no bfloat16: that comes as its bits.
    """
    count, width = tensors[0].numel(), tensors[0].shape[1]
    while width < _ROW and count % (2 * width) == 0:
        width *= 2
    numbers = [(each.view(torch.int16) if each.dtype == torch.bfloat16 else each).numpy() for each in tensors]
    return [each.transpose(0, 2, 3, 1).reshape(-1, width) for each in numbers]
