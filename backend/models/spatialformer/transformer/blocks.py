"""The SqueezeFormer block: convolution, then attention; each followed by a gated MLP.

Post-norm, with a learnable scale and bias per channel on every residual branch and DropPath per
sample. Attention is dense with ALiBi, bias_h(i, j) = -m_h |i - j| and m_h = 2^(-8(h+1)/H), and the
scale is head_width^-1/2 (the published dense path divides by the root of the full width, which with
64 heads of 8 makes softmax almost flat; its FlashAttention path uses the head width).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from backend.models.spatialformer.transformer.size import Size

#: Up to this many tokens plain products are faster than the fused attention of torch on a CPU.
SHORT = 160
#: Momentum of the running statistics.
MOMENTUM = 0.05


def alibi_slopes(heads: int) -> Tensor:
    """Return m_h = 2^(-8 (h+1) / H) for h = 0 .. H-1, (H,)."""
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, dtype=torch.float32) / heads)


def alibi(position: Tensor, heads: int) -> Tensor:
    """Return the bias -m_h |i - j| of positions (b, t), (b, H, t, t)."""
    away = (position[:, :, None] - position[:, None, :]).abs().float()
    return -alibi_slopes(heads).to(away.device)[None, :, None, None] * away[:, None]


def swiglu(x: Tensor) -> Tensor:
    """Return the first half of the channels times SiLU of the second."""
    first, second = x.chunk(2, dim=-1)
    return first * functional.silu(second)


def slid(x: Tensor, weight: Tensor) -> Tensor:
    """Return the depthwise convolution of x (b, t, D) along t with kernels (D, K), K odd.

    The same as ``Conv1d`` with groups, as K sums over rows in the cache: without gradients and on a
    CPU six times as fast, as nothing is transposed.
    """
    t, k = x.shape[1], weight.shape[1]
    wide = functional.pad(x, (0, 0, k // 2, k // 2))
    out = torch.zeros_like(x)
    for i, row in enumerate(weight.T.contiguous()):
        out.addcmul_(wide[:, i : i + t], row)
    return out


class MaskedBatchNorm(nn.Module):
    """Batch normalisation of channels whose statistics are over valid tokens only."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Normalise x (b, t, D); valid is (b, t) of 0 and 1."""
        x = x.float()  # sums over thousands of tokens, also where the rest is bfloat16
        mean, variance = self.mean, self.variance
        if self.training:
            seen = valid.unsqueeze(-1).to(x.dtype)
            count = seen.sum().clamp(min=1.0)
            mean = (x * seen).sum((0, 1)) / count
            variance = ((x - mean).square() * seen).sum((0, 1)) / count
            self._remember(mean.detach(), variance.detach(), float(count))
        scaled = (x - mean) * torch.rsqrt(variance + 1e-5)
        return scaled * self.weight + self.bias

    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics; the variance is corrected for the mean taken from it."""
        fair = variance * (count / max(count - 1.0, 1.0))
        self.mean.lerp_(mean, MOMENTUM)
        self.variance.lerp_(fair, MOMENTUM)


class Residual(nn.Module):
    """LayerNorm(x + DropPath(branch) * scale + bias)."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.drop_path = drop_path

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """Add the branch to x; both (b, t, D)."""
        if self.training and self.drop_path:
            keep = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= self.drop_path
            branch = branch * keep / (1.0 - self.drop_path)
        out: Tensor = self.norm(x + branch * self.scale + self.bias)
        return out


class GatedMlp(nn.Module):
    """Linear D to 4D, SwiGLU, dropout, Linear 2D to D; added to its input."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        d = size.width
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(2 * d, d)
        self.dropout = nn.Dropout(size.dropout)
        self.add = Residual(d, size.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum for x (b, t, D)."""
        out: Tensor = self.add(x, self.down(self.dropout(swiglu(self.up(x)))))
        return out


class Convolution(nn.Module):
    """Gated depthwise convolution along the ranks, then the MLP."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        d = size.width
        self.gate, self.out = nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.depth = nn.Conv1d(d, d, size.kernel, padding=size.kernel // 2, groups=d, bias=False)
        self.norm = MaskedBatchNorm(d)
        self.dropout = nn.Dropout(size.dropout)
        self.add = Residual(d, size.drop_path)
        self.mlp = GatedMlp(size)

    def forward(self, x: Tensor, types: Tensor, apart: bool) -> Tensor:
        """Return the sub-block of x (b, t, D); ``apart`` keeps the kernel inside each cell."""
        gated = swiglu(self.gate(x))
        if apart and bool((types == 2).any()) and bool((types == 1).any()):
            y = self._along(gated, types == 1) + self._along(gated, types == 2)
        else:
            y = self._slide(gated, types > 0)
        y = self.norm(y, types > 0)
        y = self.out(self.dropout(functional.silu(y)))
        out: Tensor = self.mlp(self.add(x, y))
        return out

    def _slide(self, x: Tensor, seen: Tensor) -> Tensor:
        kept = x * seen.unsqueeze(-1)
        if not torch.is_grad_enabled():
            return slid(kept, self.depth.weight[:, 0])
        return self.depth(kept.transpose(1, 2)).transpose(1, 2)  # (b, t, D)

    def _along(self, x: Tensor, own: Tensor) -> Tensor:
        return self._slide(x, own) * own.unsqueeze(-1)


class Attention(nn.Module):
    """Multi-head attention with ALiBi over valid tokens, then the MLP."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads, self.width = size.heads, size.head_width
        self.qkv = nn.Linear(size.width, 3 * size.width)
        self.out = nn.Linear(size.width, size.width)
        self.rate = size.dropout
        self.add = Residual(size.width, size.drop_path)
        self.mlp = GatedMlp(size)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of x (b, t, D), each (b, H, t, D / H)."""
        b, t, _ = x.shape
        parts = self.qkv(x).view(b, t, self.heads, 3, self.width).permute(3, 0, 2, 1, 4)
        return parts[0], parts[1], parts[2]

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return the sub-block of x (b, t, D); bias (b, H, t, t) is added to the logits."""
        q, k, v = self.split(x)
        rate = self.rate if self.training else 0.0
        if x.shape[1] > SHORT:
            bias = bias.to(q.dtype)
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=rate)
        else:
            logits = (q @ k.transpose(2, 3)).float() * self.width**-0.5 + bias
            y = functional.dropout(logits.softmax(-1), rate).to(v.dtype) @ v
        return self.finish(x, y.transpose(1, 2).reshape(x.shape))

    def finish(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return what follows the softmax, for mixed values of the shape of x."""
        out: Tensor = self.mlp(self.add(x, self.out(mixed)))
        return out


class Block(nn.Module):
    """One convolution sub-block and one attention sub-block."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.convolution = Convolution(size)
        self.attention = Attention(size)

    def forward(self, x: Tensor, types: Tensor, bias: Tensor, apart: bool) -> Tensor:
        """Return x (b, t, D) after the block; ``apart`` is of the convolution."""
        out: Tensor = self.attention(self.convolution(x, types, apart), bias)
        return out
