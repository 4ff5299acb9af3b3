"""Convolution, pooling, padding and interpolation on maps that wrap around.

All of them take maps (B, C, *S). A sliding window of extent k and stride s has n/s samples of a
map of n, or its output is no map that a shift of s moves by one: then there is nothing to wrap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

__all__ = ["Window", "each", "enlarged", "resized", "wrapped"]

Sizes = tuple[int, ...]

_MARGIN = 3
"""Samples on either side that an interpolation looks at (bicubic: two)."""


@dataclass(frozen=True)
class Window:
    """A window that slides over a map, and what is made of what it sees.

    Args:
        extent: in samples along every axis, dilation included.
        stride: along every axis.
        before, after: samples of padding.
        ceil: whether the output is rounded up, as pooling with ``ceil_mode`` does.
        apply: from a map and a stride to the output, without padding.
    """

    extent: Sizes
    stride: Sizes
    before: Sizes
    after: Sizes
    ceil: bool
    apply: Callable[[Tensor, Sizes], Tensor]

    def output(self, sizes: Sequence[int]) -> Sizes:
        """The size of the output for a map of these sizes."""
        axes = zip(sizes, self.extent, self.stride, self.before, self.after, strict=True)
        return tuple(self._output(*axis) for axis in axes)

    def _output(self, n: int, k: int, s: int, before: int, after: int) -> int:
        room = n + before + after - k
        if not self.ceil:
            return room // s + 1
        count = ceil(room / s) + 1
        # the last window begins in the map or in the padding before it
        return count - 1 if (count - 1) * s >= n + before else count

    @property
    def padded(self) -> bool:
        return any((*self.before, *self.after))

    def circular(self, x: Tensor) -> Tensor | None:
        """The output on a map that wraps around; None where its size is not n/s."""
        sizes = tuple(x.shape[2:])
        if tuple(n * s for n, s in zip(self.output(sizes), self.stride, strict=True)) != sizes:
            return None
        pads = [
            (before, max(0, k - s - before))
            for k, s, before in zip(self.extent, self.stride, self.before, strict=True)
        ]
        return self.apply(wrapped(x, pads, sizes), self.stride)

    def period(self, x: Tensor) -> Sizes | None:
        """The sizes of the map that is sampled: smaller than x where x is that map padded.

        None where a strided window samples no whole map.
        """
        period = tuple(n * s for n, s in zip(self.output(x.shape[2:]), self.stride, strict=True))
        axes = zip(x.shape[2:], period, self.extent, self.before, strict=True)
        if all(0 <= n - p < k and not (n > p and before) for n, p, k, before in axes):
            return period
        return None

    def dense(self, x: Tensor, period: Sizes) -> Tensor:
        """The output at every sample of the map of size ``period``, which wraps around."""
        axes = zip(x.shape[2:], period, self.extent, self.before, strict=True)
        pads = [(before, p + k - 1 - before - n) for n, p, k, before in axes]
        return self.apply(wrapped(x, pads, period), (1,) * len(period))


def each(value: int | Sequence[int], dims: int) -> Sizes:
    """A number for every axis."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dims if len(values) == 1 else values


def wrapped(x: Tensor, pads: Sequence[tuple[int, int]], period: Sequence[int]) -> Tensor:
    """Continue a map periodically by (before, after) samples along every axis.

    Args:
        period: of the map; smaller than the map where that is padded already.
    """
    if not any(side for axis in pads for side in axis):
        return x
    sizes = tuple(x.shape[2:])
    within = all(0 <= side <= n for axis, n in zip(pads, sizes, strict=True) for side in axis)
    if within and tuple(period) == sizes and len(sizes) <= 3:
        return pad(x, [side for axis in reversed(pads) for side in axis], mode="circular")
    for dim, ((before, after), n, p) in enumerate(zip(pads, sizes, period, strict=True), 2):
        if before or after:
            places = [_within(i, n, p) for i in range(-before, n + after)]
            x = x.index_select(dim, torch.tensor(places, device=x.device))
    return x


def _within(place: int, n: int, period: int) -> int:
    """Where a sample stands that lies outside of a map."""
    if place < 0:
        return place % period
    return place if place < n else place - period * ((place - n) // period + 1)


def enlarged(
    x: Tensor, weight: Tensor, options: dict[str, Any], transposed: Callable[..., Tensor]
) -> Tensor | None:
    """A transposed convolution on a map that wraps around; None where it is not n·s samples.

    Args:
        options: bias, stride, padding, output_padding, groups and dilation.
        transposed: PyTorch's, for as many axes.
    """
    dims = x.ndim - 2
    names = ("stride", "padding", "output_padding", "dilation")
    stride, padding, extra, dilation = (each(options[name], dims) for name in names)
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
    axes = zip(extent, stride, padding, extra, strict=True)
    if any(k - 2 * p + e != s for k, s, p, e in axes):
        return None
    # as many samples more on either side as reach into the map
    more = [ceil(k / s) for k, s in zip(extent, stride, strict=True)]
    sizes = tuple(x.shape[2:])
    out = transposed(
        wrapped(x, [(m, m) for m in more], sizes),
        weight, options["bias"], stride, 0, 0, options["groups"], dilation,
    )  # fmt: skip
    for dim, (n, s, p, m) in enumerate(zip(sizes, stride, padding, more, strict=True), 2):
        out = out.narrow(dim, m * s + p, n * s)
    return out


def resized(x: Tensor, size: Sequence[int], mode: str, **options: Any) -> Tensor:
    """Interpolation to ``size`` on a map that wraps around, with ``align_corners=False``.

    Sizes have to divide each other: the grids of samples then keep their places under shifts.
    """
    if tuple(size) == tuple(x.shape[2:]) or mode.startswith("nearest") or mode == "area":
        return interpolate(x, tuple(size), mode=mode, **options)
    sizes = tuple(x.shape[2:])
    steps = [max(1, n // m) for n, m in zip(sizes, size, strict=True)]  # 1 where it grows
    margins = [_MARGIN * step for step in steps]
    whole = [n + 2 * m for n, m in zip(sizes, margins, strict=True)]
    target = [w * m // n for w, m, n in zip(whole, size, sizes, strict=True)]
    x = wrapped(x, [(m, m) for m in margins], sizes)
    out = interpolate(x, target, mode=mode, align_corners=False, **options)
    for dim, (m, n, wanted) in enumerate(zip(margins, sizes, size, strict=True), 2):
        out = out.narrow(dim, m * wanted // n, wanted)
    return out
