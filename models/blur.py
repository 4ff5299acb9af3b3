"""Binomial low-pass filters with circular padding, for 1-D, 2-D and 3-D maps."""

from math import comb

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, pad

__all__ = ["Blur", "wrap"]

_CONV = {1: conv1d, 2: conv2d, 3: conv3d}


def wrap(x: Tensor, size: int) -> Tensor:
    """Pad (B, C, *S) circularly, so that a window of ``size`` keeps the shape.

    An even window has its extra pixel behind it.
    """
    before, after = (size - 1) // 2, size // 2
    return pad(x, (before, after) * (x.ndim - 2), mode="circular")


class Blur(nn.Module):
    """A binomial filter of ``size`` taps in every dimension, summing to one.

    Takes (B, C, *S) to the same shape, or to every ``stride``-th sample of it.
    """

    taps: Tensor

    def __init__(self, size: int, dims: int = 2, stride: int = 1) -> None:
        super().__init__()
        if size < 1 or dims not in _CONV:
            raise ValueError(f"no binomial filter of size {size} in {dims} dimensions")
        self.size, self.dims, self.stride = size, dims, stride
        row = torch.tensor([comb(size - 1, i) for i in range(size)], dtype=torch.float64)
        taps = row / row.sum()
        kernel = taps
        for _ in range(dims - 1):
            kernel = kernel[..., None] * taps
        self.register_buffer("taps", kernel.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.taps.expand(channels, 1, *self.taps.shape)
        return _CONV[self.dims](wrap(x, self.size), kernel, stride=self.stride, groups=channels)

    def extra_repr(self) -> str:
        return f"size={self.size}, dims={self.dims}, stride={self.stride}"
