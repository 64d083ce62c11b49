"""Batch normalisation in training: over the batch of all processes that share it, and on CPUs in one with what
follows it, in kernels of our own (kernels.py)."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from yolocore.model.blocks import Conv


def fresh_norms(model: nn.Module) -> list[tuple[_BatchNorm, float]]:
    """The normalisations that have seen no images yet, with their momentum; those of a checkpoint know theirs."""
    found = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [
        (norm, float(norm.momentum or 0))
        for norm in found
        if norm.running_mean is not None
        and norm.running_var is not None
        and not norm.running_mean.any()
        and bool((norm.running_var == 1).all())
    ]


def fuse_activations(model: nn.Module) -> None:
    """On a CPU, have every block normalise and activate in one. The model's tensors stay the same."""
    if next(model.parameters()).device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, Conv):
            module.__class__ = FusedConv  # adds nothing but another way forward


def synchronize(model: nn.Module) -> None:
    """Have every normalisation take its statistics over all processes: on GPUs PyTorch's own, which has none for
    CPUs; there the blocks have to be fused. The model's tensors stay the same."""
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # changes what is below the model
        return
    for module in model.modules():
        if isinstance(module, FusedConv):
            module.shared = True


class FusedConv(Conv):
    """In training, normalises and activates what its convolution made without a pass for each step of that.

    shared: by the statistics of all processes' batches together.
    """

    shared = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.bn is None:
            return super().forward(x)
        norm = self.bn
        activate = isinstance(self.act, nn.SiLU)
        output, mean, variance, count = _Normalize.apply(
            self.conv(x), norm.weight, norm.bias, norm.eps, activate, self.shared
        )
        with torch.no_grad():
            assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
            norm.get_buffer("num_batches_tracked").add_(1)
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * (count / max(count - 1, 1)), norm.momentum)
        return output


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, and SiLU of that if `activate`.

    Of several processes' statistics, the common ones are put together by the parallel form of the variance (Chan,
    Golub & LeVeque, 1979), whose rounding does not suffer from a mean far from zero.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, activate: bool, shared: bool
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        from yolocore.train import kernels  # not where a GPU trains

        x = x.contiguous(memory_format=torch.channels_last)
        mean, variance = kernels.moments(x)
        count = x.numel() / x.shape[1]
        if shared:
            mean, variance, count = _joined(mean, variance, count)
        norm = torch.stack((mean, (variance + eps).rsqrt_(), weight, bias))
        ctx.save_for_backward(x, norm)
        ctx.count, ctx.activate, ctx.shared = count, activate, shared
        ctx.mark_non_differentiable(mean, variance)
        return kernels.normalize(x, norm, activate), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        from yolocore.train import kernels

        x, norm = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        sums = kernels.sum_gradients(gradient, x, norm, ctx.activate)
        by_bias, by_weight = sums.unbind()
        if ctx.shared:  # those two stay this process's own: all gradients are added up later
            sums = sums.clone()
            dist.all_reduce(sums)
        by_x = kernels.apply_gradients(gradient, x, norm, sums, ctx.count, ctx.activate)
        return by_x, by_weight, by_bias, None, None, None


def _joined(mean: Tensor, variance: Tensor, count: float) -> tuple[Tensor, Tensor, float]:
    """The moments of all processes' numbers together, and how many each channel has."""
    mine = torch.cat((mean, variance, mean.new_tensor([count])))
    theirs = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(theirs, mine)
    means, variances, counts = torch.stack(theirs).split((len(mean), len(mean), 1), 1)
    total = counts.sum()
    share = counts / total
    mean = (means * share).sum(0)
    return mean, ((variances + (means - mean) ** 2) * share).sum(0), float(total)
