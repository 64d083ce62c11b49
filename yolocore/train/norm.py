"""Batch normalisation: over the whole batch where several processes hold a share of it each.

PyTorch's own `SyncBatchNorm` does that on GPUs only.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


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
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            self.get_buffer("num_batches_tracked").add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return output


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with the processes' common mean and variance.

    Their statistics are put together by the parallel form of the variance (Chan, Golub & LeVeque, 1979), whose
    rounding does not suffer from a mean far from zero. The gradient: Ioffe & Szegedy, 2015, section 3.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # PyTorch's own pass over the batch is several times as fast as var_mean is over channels that lie last.
        # It answers in the precision of the running statistics that it is given.
        mean, variance = torch.batch_norm_update_stats(x, torch.zeros_like(weight), torch.zeros_like(weight), 0.0)
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
        output = torch.addcmul((bias - mean * weight * scale)[:, None, None], x, (weight * scale)[:, None, None])
        ctx.mark_non_differentiable(mean, variance, total)
        return output.to(x.dtype), mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale, total = ctx.saved_tensors
        _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, scale, True, 0.0, [False, True, True]
        )
        sums = torch.stack((by_bias, by_weight))
        dist.all_reduce(sums)
        # Those two stay this process's own: all gradients are added up later.
        along_bias, along_weight = sums / total
        slope = -weight * scale**2 * along_weight
        offset = -weight * scale * along_bias - slope * mean
        by_x = torch.addcmul(offset[:, None, None], gradient, (weight * scale)[:, None, None])
        by_x.addcmul_(x, slope[:, None, None])
        return by_x.to(x.dtype), by_weight, by_bias, None
