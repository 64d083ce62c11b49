"""The building blocks of YOLO11. Attribute names are those of the public checkpoints' state-dict keys.

Shapes in comments are (batch, channels, height, width); every block keeps height and width unless it
has a stride. Nothing here depends on a memory layout, so all of it runs in channels_last.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Conv(nn.Module):
    """Convolution, batch normalisation, SiLU. `bn` is None once it has been folded into `conv`."""

    # One for all, for it has no state. Not in place: autograd would copy the input that it needs.
    silu = nn.SiLU()

    def __init__(self, c1: int, c2: int, k: int = 1, s: int = 1, groups: int = 1, act: bool = True) -> None:
        """c1, c2: channels in and out; k: kernel side (odd); s: stride."""
        super().__init__()
        self.conv = nn.Conv2d(c1, c2, k, s, k // 2, groups=groups, bias=False)
        self.bn: nn.BatchNorm2d | None = nn.BatchNorm2d(c2, eps=1e-3, momentum=0.03)
        self.act = self.silu if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return self.act(x)


def depthwise(c: int, act: bool = True) -> Conv:
    """A 3x3 convolution of each channel by itself."""
    return Conv(c, c, 3, groups=c, act=act)


class Bottleneck(nn.Module):
    """Two 3x3 convolutions around a residual connection."""

    def __init__(self, c: int, hidden: int) -> None:
        super().__init__()
        self.cv1 = Conv(c, hidden, 3)
        self.cv2 = Conv(hidden, c, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cv2(self.cv1(x))


class C3k(nn.Module):
    """Cross-stage partial block: half of the channels pass two bottlenecks, the other half none."""

    def __init__(self, c: int) -> None:
        super().__init__()
        hidden = c // 2
        self.cv1 = Conv(c, hidden)
        self.cv2 = Conv(c, hidden)
        self.cv3 = Conv(2 * hidden, c)
        self.m = nn.Sequential(Bottleneck(hidden, hidden), Bottleneck(hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class C3k2(nn.Module):
    """Cross-stage partial block that keeps the output of each of its n inner blocks."""

    def __init__(self, c1: int, c2: int, n: int, c3k: bool, expansion: float) -> None:
        """expansion: share of c2 that the inner blocks work on; c3k: they are C3k, else bottlenecks."""
        super().__init__()
        hidden = int(c2 * expansion)
        self.halves = (hidden, hidden)
        self.cv1 = Conv(c1, 2 * hidden)
        self.cv2 = Conv((2 + n) * hidden, c2)
        self.m = nn.ModuleList(C3k(hidden) if c3k else Bottleneck(hidden, hidden // 2) for _ in range(n))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).split(self.halves, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling: three 5x5 poolings in a row see what 5x5, 9x9 and 13x13 would."""

    def __init__(self, c: int) -> None:
        super().__init__()
        hidden = c // 2
        self.cv1 = Conv(c, hidden)
        self.cv2 = Conv(4 * hidden, c)
        self.m = nn.MaxPool2d(5, stride=1, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.m(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Attention(nn.Module):
    """Multi-head self-attention over positions; a depthwise convolution of the values encodes position.

    Source: Wang et al., "YOLOv10", 2024 (arXiv:2405.14458), section 3.3: keys half as wide as values.
    """

    def __init__(self, c: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.value_dim = c // heads
        self.key_dim = self.value_dim // 2
        self.qkv = Conv(c, c + 2 * heads * self.key_dim, act=False)
        self.proj = Conv(c, c, act=False)
        self.pe = depthwise(c, act=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.qkv(x).reshape(b, self.heads, 2 * self.key_dim + self.value_dim, h * w)
        q, k, v = qkv.split((self.key_dim, self.key_dim, self.value_dim), 2)
        weights = (q.transpose(2, 3) @ k * self.key_dim**-0.5).softmax(3)  # (b, heads, to, from)
        mixed = (v @ weights.transpose(2, 3)).reshape(b, c, h, w)
        return self.proj(mixed + self.pe(v.reshape(b, c, h, w)))


class PSABlock(nn.Module):
    """Attention, then a feed-forward network, each around a residual connection."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.attn = Attention(c, heads=c // 64)
        self.ffn = nn.Sequential(Conv(c, 2 * c), Conv(2 * c, c, act=False))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.ffn(x)


class C2PSA(nn.Module):
    """Partial self-attention: half of the channels pass n attention blocks, the other half none."""

    def __init__(self, c: int, n: int) -> None:
        super().__init__()
        hidden = c // 2
        self.halves = (hidden, hidden)
        self.cv1 = Conv(c, 2 * hidden)
        self.cv2 = Conv(2 * hidden, c)
        self.m = nn.Sequential(*(PSABlock(hidden) for _ in range(n)))

    def forward(self, x: Tensor) -> Tensor:
        straight, attended = self.cv1(x).split(self.halves, 1)
        return self.cv2(torch.cat((straight, self.m(attended)), 1))


class Concat(nn.Module):
    """Maps of several layers, side by side in the channels."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        return torch.cat(maps, 1)


class Proto(nn.Module):
    """Prototypes of masks, at twice the resolution of the input."""

    def __init__(self, c: int, prototypes: int) -> None:
        super().__init__()
        self.cv1 = Conv(c, c, 3)
        self.upsample = nn.ConvTranspose2d(c, c, 2, 2)
        self.cv2 = Conv(c, c, 3)
        self.cv3 = Conv(c, prototypes)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(self.cv2(self.upsample(self.cv1(x))))
