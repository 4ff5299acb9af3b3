"""Adaptive polyphase sampling (APS) for 1-D, 2-D and 3-D maps.

Source: Chaman and Dokmanić, "Truly shift-equivariant convolutional neural networks with
adaptive polyphase upsampling", Asilomar 2021: APS-D (section 2.2) and APS-U (section 3.2).
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from equibench.foundation.rounding import NEAR_TIE

__all__ = [
    "APSDown",
    "APSUp",
    "Criterion",
    "aps_downsample",
    "aps_upsample",
    "polyphase_component",
    "polyphase_index",
]

Criterion = Literal["l2", "l1", "linf", "l2-min", "l1-min", "linf-min"]
"""Which polyphase component is kept: the one with the largest (or smallest) norm."""

_ROUNDING = 1e-12
"""Relative gap that summation in float64 cannot resolve: a tie."""


def aps_downsample(
    x: Tensor, stride: int | Sequence[int], criterion: Criterion = "l2"
) -> tuple[Tensor, Tensor]:
    """APS-D: keep one polyphase component of every sample.

    Args:
        x: (B, C, *S) with one to three spatial dimensions.
        stride: of every dimension, or one for each; at least 2 in one of them.
        criterion: how the component is chosen.

    Returns:
        The component (B, C, *S/stride) and its index (B,), row-major over the offsets.

    Raises:
        ValueError: a size that the stride does not divide.
    """
    index, _ = polyphase_index(x, stride, criterion)
    return polyphase_component(x, stride, index), index


def polyphase_component(x: Tensor, stride: int | Sequence[int], index: Tensor) -> Tensor:
    """Component ``index`` (B,) of every sample of x (B, C, *S): (B, C, *S/stride).

    Raises:
        ValueError: a size that the stride does not divide.
    """
    strides = _strides(x, stride)
    split = _split(x, strides)
    dims = len(strides)
    order = (0, *(3 + 2 * d for d in range(dims)), 1, *(2 + 2 * d for d in range(dims)))
    offsets, rest = [], index
    for side in reversed(strides):
        offsets.append(rest % side)
        rest = rest // side
    sample = torch.arange(x.shape[0], device=x.device)
    return split.permute(order)[(sample, *reversed(offsets))]


def aps_upsample(x: Tensor, index: Tensor, stride: int | Sequence[int]) -> Tensor:
    """APS-U: put samples back on the grid that APS-D chose, with zeros between them.

    Args:
        x: (B, C, *S).
        index: (B,), as returned by :func:`aps_downsample` with the same stride.
        stride: as for APS-D.

    Returns:
        (B, C, *S·stride).
    """
    strides = _strides(x, stride)
    chosen = torch.arange(_count(strides), device=x.device) == index[:, None]
    mask = chosen.reshape(x.shape[0], 1, *(side for s in strides for side in (1, s)))
    spread = x.reshape(*x.shape[:2], *(n for size in x.shape[2:] for n in (size, 1)))
    out = torch.where(mask, spread, torch.zeros((), dtype=x.dtype, device=x.device))
    return out.reshape(*x.shape[:2], *(n * s for n, s in zip(x.shape[2:], strides, strict=True)))


@torch.no_grad()
def polyphase_index(
    x: Tensor, stride: int | Sequence[int], criterion: Criterion = "l2"
) -> tuple[Tensor, Tensor]:
    """Which polyphase component APS-D keeps, and how clear the choice was.

    Norms are accumulated in float64. Components whose norms rounding cannot tell apart are
    told apart by a cubic correlation of neighbouring magnitudes, which, like the norm, moves
    with the samples. Components that agree in that as well are left to rounding: those of an image
    that a shift maps onto itself, and those that hold the same pattern far from each other.

    Returns:
        Index (B,) in int64, and (B,) in float64 the gap between the two best norms, relative to
        the larger of them: 0 for a tie.

    Raises:
        ValueError: a size that the stride does not divide, or an unknown criterion.
    """
    if criterion not in get_args(Criterion):
        raise ValueError(f"no criterion {criterion!r}; there are {', '.join(get_args(Criterion))}")
    strides = _strides(x, stride)
    norm, smallest = criterion.removesuffix("-min"), criterion.endswith("-min")
    magnitude = _magnitude(x, norm)
    flat = _components(magnitude, strides).flatten(2)
    score = flat.amax(dim=2) if norm == "linf" else flat.sum(dim=2)
    score = score.sqrt() if norm == "l2" else score
    best, other = score.topk(2, dim=1, largest=not smallest).values.unbind(1)
    gap = (best - other).abs()
    scale = torch.maximum(best, other)
    tied = (score - best[:, None]).abs() <= _ROUNDING * scale[:, None]
    rank = _components(_correlation(magnitude), strides).flatten(2).sum(dim=2)
    rank = rank.masked_fill(~tied, -torch.inf)
    return rank.argmax(dim=1), torch.where(scale == 0, gap, gap / scale)


class APSDown(nn.Module):
    """APS-D as a layer: (B, C, *S) to the chosen component (B, C, *S/stride) and its index (B,).

    While ``count_near_ties`` is true, ``near_ties`` holds for every sample of the last forward
    pass whether its choice was a near-tie: (B,), bool. While ``record_choices`` is true,
    ``choices`` holds the indices of that pass and ``gaps`` the relative gaps of the two best
    norms: (B,) each.
    """

    changes_no_output = ("near_ties", "choices", "gaps")
    """Attributes that a measurement need not put back."""

    def __init__(self, stride: int | Sequence[int] = 2, criterion: Criterion = "l2") -> None:
        super().__init__()
        self.stride = stride if isinstance(stride, int) else tuple(stride)
        self.criterion: Criterion = criterion
        self.count_near_ties = False
        self.near_ties: Tensor | None = None
        self.record_choices = False
        self.choices: Tensor | None = None
        self.gaps: Tensor | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        index, gaps = polyphase_index(x, self.stride, self.criterion)
        if self.count_near_ties:
            self.near_ties = gaps <= NEAR_TIE
        if self.record_choices:
            self.choices, self.gaps = index, gaps
        return polyphase_component(x, self.stride, index), index

    def extra_repr(self) -> str:
        return f"stride={self.stride}, criterion={self.criterion!r}"


class APSUp(nn.Module):
    """APS-U as a layer: (B, C, *S) and the index (B,) of APS-D to (B, C, *S·stride)."""

    def __init__(self, stride: int | Sequence[int] = 2) -> None:
        super().__init__()
        self.stride = stride if isinstance(stride, int) else tuple(stride)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return aps_upsample(x, index, self.stride)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


def _strides(x: Tensor, stride: int | Sequence[int]) -> tuple[int, ...]:
    dims = x.ndim - 2
    strides = (stride,) * dims if isinstance(stride, int) else tuple(stride)
    if len(strides) != dims or not 1 <= dims <= 3 or min(strides) < 1 or max(strides) < 2:
        raise ValueError(f"stride {stride} does not fit a map of shape {tuple(x.shape)}")
    return strides


def _count(strides: Sequence[int]) -> int:
    count = 1
    for stride in strides:
        count *= stride
    return count


def _split(x: Tensor, strides: tuple[int, ...]) -> Tensor:
    """View (B, C, *S) as (B, C, S1/s1, s1, S2/s2, s2, …)."""
    sizes = tuple(x.shape[2:])
    for size, stride in zip(sizes, strides, strict=True):
        if size % stride:
            lower, upper = size - size % stride, size + stride - size % stride
            raise ValueError(
                f"APS-D with stride {stride} needs a size that {stride} divides, not {size} of "
                f"{'×'.join(map(str, sizes))}: crop to {lower} or resample to {upper} "
                "(padding an odd map would break equivariance)"
            )
    shape = (n for size, s in zip(sizes, strides, strict=True) for n in (size // s, s))
    return x.reshape(*x.shape[:2], *shape)


def _components(magnitude: Tensor, strides: tuple[int, ...]) -> Tensor:
    """(B, *S) to its components (B, P, *S/s), P the number of offsets, row-major."""
    split = _split(magnitude[:, None], strides)[:, 0]
    dims = len(strides)
    order = (0, *(2 + 2 * d for d in range(dims)), *(1 + 2 * d for d in range(dims)))
    split = split.permute(order)
    return split.reshape(magnitude.shape[0], _count(strides), *split.shape[1 + dims :])


def _magnitude(x: Tensor, norm: str) -> Tensor:
    """What the norm adds up (or maximises), taken over channels: (B, *S), float64."""
    if norm == "linf":
        return x.abs().amax(dim=1).to(torch.float64)
    power = 1 if norm == "l1" else 2
    x = x.abs() if power == 1 else x.to(torch.float64).square()
    return x.sum(dim=1, dtype=torch.float64)


def _correlation(magnitude: Tensor) -> Tensor:
    """m(i)²·m(i + e) added over the neighbours e of every sample: (B, *S).

    Unequal weights tell the axes apart, the square tells an image from its mirror image, and
    neighbours of other components tell components apart that are equal.
    """
    axes = range(1, magnitude.ndim)
    neighbours = sum(axis * torch.roll(magnitude, -1, axis) for axis in axes)
    return magnitude.square() * neighbours
