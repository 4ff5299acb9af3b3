"""Where in an image a sampling grid begins, by a rule that moves with it; and moving images."""

from math import ceil, log2

import torch
from torch import Tensor

__all__ = ["Pair", "moved", "position", "traced"]

_BITS = 40
"""Of the fixed-point numbers that energies are added up in."""

_FACTORS = (-7046029254386353131, -4417276706812531889, 1609587929392839161, 2870177450012600261)
"""Odd 64-bit numbers that mix bits well: those of xxHash."""

Pair = tuple[int, int]


@torch.no_grad()
def position(images: Tensor, stride: Pair) -> Tensor:
    """The pixel (B, 2) of every image that a sampling grid is to begin with.

    It stands in the polyphase component with the largest energy, and has the largest energy of
    that. It moves with the image: that of ``roll(image, k)`` is k further. To that end nothing here
    depends on the order of a summation: energies are added up as integers. Where two are equal, a
    hash decides that every pixel has of all others as they stand around it; where that is equal as
    well, a shift takes the image to itself, and either will do.

    Args:
        images: (B, C, H, W); the stride divides H and W.
    """
    values = images.to(torch.float64)
    largest = values.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    # the sum of all squares must not reach 2^63
    bits = min(_BITS, 62 - ceil(log2(max(2, values[0].numel()))))
    shares = (values / largest).nan_to_num(0.0)
    energies = (shares.square() * 2.0**bits).round().to(torch.int64).sum(dim=1)
    if not traced():
        component, alone = _largest(_components(energies, stride))
        pixel, single = _largest(_among(energies, stride, component))
        if alone and single:
            return _pair(pixel, images.shape[-1])
    hashes = _hashes((shares * 2.0**_BITS).round().to(torch.int64))
    component, _ = _largest(_components(energies, stride), _components(hashes, stride))
    among = _among(energies, stride, component)
    pixel, _ = _largest(among, _among(hashes, stride, component))
    return _pair(pixel, images.shape[-1])


def _largest(values: Tensor, ranks: Tensor | None = None) -> tuple[Tensor, bool]:
    """Where the largest of (B, n) stand, by rank where several do; and whether none does so."""
    first = values == values.amax(dim=1, keepdim=True)
    if ranks is None:
        return values.argmax(dim=1), bool((first.sum(dim=1) == 1).all())
    return torch.where(first, ranks, torch.iinfo(torch.int64).min).argmax(dim=1), True


def _components(values: Tensor, stride: Pair) -> Tensor:
    """Sums of (B, H, W) over the samples of every component: (B, Sy·Sx), row-major."""
    batch, (height, width), (sy, sx) = values.shape[0], values.shape[1:], stride
    split = values.reshape(batch, height // sy, sy, width // sx, sx)
    return split.sum(dim=(1, 3)).reshape(batch, sy * sx)


def _among(values: Tensor, stride: Pair, component: Tensor) -> Tensor:
    """(B, H·W): values (B, H, W) of one component (B,), and less than any elsewhere."""
    rows, columns = (torch.arange(n, device=values.device) for n in values.shape[1:])
    each = (rows % stride[0])[:, None] * stride[1] + columns % stride[1]
    least = torch.iinfo(torch.int64).min
    return torch.where(each == component[:, None, None], values, least).flatten(1)


def _pair(index: Tensor, width: int) -> Tensor:
    return torch.stack((index // width, index % width), dim=1)


def _hashes(values: Tensor) -> Tensor:
    """A hash of the whole image (B, C, H, W) as it is seen from every pixel: (B, H, W)."""
    here, right, below, channel = _FACTORS
    numbers = torch.arange(1, values.shape[1] + 1, device=values.device)[:, None, None]
    hashes = _mixed(values * here + numbers * channel).sum(dim=1)
    for step in range(ceil(log2(max(2, *values.shape[-2:])))):
        # a window of 2^step by 2^step pixels becomes one of twice the side
        across = hashes * here + hashes.roll(-(2**step), 2) * right
        across = _mixed(across)
        hashes = _mixed(across * here + across.roll(-(2**step), 1) * below)
    return hashes


def _mixed(values: Tensor) -> Tensor:
    values = (values ^ (values >> 32)) * _FACTORS[1]
    return values ^ (values >> 29)


def moved(maps: Tensor, shifts: Tensor) -> Tensor:
    """Roll every map of (B, C, H, W) by its own (dy, dx) of shifts (B, 2), also where it is traced.

    A trace must not remember by how much one image was rolled.
    """
    height, width = maps.shape[-2:]
    if maps.device.type == "cpu" and not traced():
        pairs = zip(maps, shifts.tolist(), strict=True)
        rolled = [one.roll(shift, (-2, -1)) for one, shift in pairs]
        return rolled[0][None] if len(rolled) == 1 else torch.stack(rolled)
    rows = (torch.arange(height, device=maps.device) - shifts[:, :1]) % height
    columns = (torch.arange(width, device=maps.device) - shifts[:, 1:]) % width
    index = (rows[:, :, None] * width + columns[:, None, :]).reshape(maps.shape[0], 1, -1)
    flat = maps.reshape(maps.shape[0], maps.shape[1], -1)
    return flat.gather(2, index.expand(-1, maps.shape[1], -1)).reshape(maps.shape)


def traced() -> bool:
    """Whether operators are being written down, for a file or a proof."""
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    return torch.compiler.is_compiling() or get_proxy_mode() is not None
