"""Batch normalisation: over the whole batch where several processes hold a share of it each.

PyTorch's own `SyncBatchNorm` does that on GPUs only.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_OVER = (0, 2, 3)  # axes that a channel's statistics are taken over


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


def synchronize(model: nn.Module) -> None:
    """Have every normalisation take its statistics over all processes. The model's tensors stay the same."""
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # changes what is below the model
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d  # adds nothing but another way forward


class SharedBatchNorm2d(nn.BatchNorm2d):
    """In training, normalises by the statistics of all processes' batches together."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        output, mean, variance, count = _Normalize.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert (
                self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            )
            self.num_batches_tracked.add_(1)
            momentum = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return output


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the processes' common mean and variance.

    Their statistics are put together by the parallel form of the variance (Chan, Golub & LeVeque, 1979), whose
    rounding does not suffer from a mean far from zero. The gradient: Ioffe & Szegedy, 2015, section 3.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = x.float()
        variance, mean = torch.var_mean(wide, _OVER, correction=0)
        count = mean.new_tensor([x.numel() / x.shape[1]])
        mine = torch.cat((mean, variance, count))
        theirs = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(theirs, mine)
        channels = len(mean)
        means, variances, counts = torch.stack(theirs).split((channels, channels, 1), 1)
        total = counts.sum()
        share = counts / total
        mean = (means * share).sum(0)
        variance = ((variances + (means - mean) ** 2) * share).sum(0)

        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, scale, total)
        output = torch.addcmul((bias - mean * weight * scale)[:, None, None], wide, (weight * scale)[:, None, None])
        ctx.mark_non_differentiable(mean, variance, total)
        return output.to(x.dtype), mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale, total = ctx.saved_tensors
        gradient = gradient.float()
        normal = (x.float() - mean[:, None, None]) * scale[:, None, None]
        by_bias, by_weight = gradient.sum(_OVER), (gradient * normal).sum(_OVER)
        sums = torch.stack((by_bias, by_weight))
        dist.all_reduce(sums)
        # These two stay this process's own: all gradients are added up later.
        along_bias, along_weight = (sums / total)[:, :, None, None]
        by_x = (gradient - along_bias - normal * along_weight) * (weight * scale)[:, None, None]
        return by_x.to(x.dtype), by_weight, by_bias, None
