"""The U-Net of the paper, with conventional, low-pass-filtered or adaptive resampling.

Source: Chaman and Dokmanić, Asilomar 2021, section 4; Ronneberger et al., MICCAI 2015.
"""

from functools import reduce
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d, max_pool2d, max_pool3d

from equibench.models.blur import Blur, wrap
from equibench.models.polyphase import APSDown, APSUp, Criterion

__all__ = ["Resampling", "UNet"]

Resampling = Literal["stride", "aps"]

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL = {1: max_pool1d, 2: max_pool2d, 3: max_pool3d}


class UNet(nn.Module):
    """A U-Net whose only possible break of shift equivariance is in its resampling.

    Every convolution is circularly padded. Takes (B, in_channels, *S) to (B, out_channels, *S);
    ``stride ** levels`` must divide every size.

    Args:
        resampling: ``stride`` pools with a stride and upsamples by a transposed convolution;
            ``aps`` keeps a polyphase component and puts it back on its grid (APS-D, APS-U).
        blur: taps of the binomial filter before downsampling and after upsampling; 0 for none.
        width: factor on the channels 64, 128, 256, 512, 1024.
        dims: 1, 2 or 3 spatial dimensions.

    Raises:
        ValueError: a width that is not positive; from ``forward``, a size that the total stride
            does not divide.
    """

    def __init__(
        self,
        resampling: Resampling = "stride",
        blur: int = 0,
        width: float = 1.0,
        in_channels: int = 1,
        out_channels: int = 1,
        levels: int = 4,
        stride: int = 2,
        criterion: Criterion = "l2",
        dims: int = 2,
    ) -> None:
        super().__init__()
        if isinstance(width, bool) or not isinstance(width, int | float) or not width > 0:
            raise ValueError(f"width={width!r} is no positive factor on the number of channels")
        if dims not in _CONV:
            raise ValueError(f"dims={dims!r} is not 1 (signals), 2 (images) or 3 (volumes)")
        if not isinstance(levels, int) or levels < 1:
            raise ValueError(f"levels={levels!r} is no number of levels: take 1 to 4")
        channels = [max(1, round(64 * 2**level * width)) for level in range(levels + 1)]
        self.total_stride = stride**levels
        self.stem = _block(in_channels, channels[0], dims)
        self.down = nn.ModuleList()
        self.encoder = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for shallow, deep in pairwise(channels):
            self.down.append(_Down(resampling, blur, stride, criterion, dims))
            self.encoder.append(_block(shallow, deep, dims))
            self.up.append(_Up(deep, shallow, resampling, blur, stride, dims))
            self.decoder.append(_block(2 * shallow, shallow, dims))
        self.head = _CONV[dims](channels[0], out_channels, 1)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        if any(size % self.total_stride for size in x.shape[2:]):
            sizes = "×".join(map(str, x.shape[2:]))
            fitting = "×".join(str(s - s % self.total_stride) for s in x.shape[2:])
            raise ValueError(
                f"the total stride {self.total_stride} does not divide the size {sizes}: "
                f"crop to {fitting} (padding would break equivariance)"
            )
        features, indices = [self.stem(x)], []
        for down, encoder in zip(self.down, self.encoder, strict=True):
            pooled, index = down(features[-1])
            features.append(encoder(pooled))
            indices.append(index)
        x = features.pop()
        for up, decoder in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = decoder(torch.cat((features.pop(), up(x, indices.pop())), dim=1))
        out: Tensor = self.head(x)
        return out


class _Down(nn.Module):
    """Max pooling and downsampling: to (pooled, index of the polyphase component or None)."""

    def __init__(
        self, resampling: Resampling, blur: int, stride: int, criterion: Criterion, dims: int
    ) -> None:
        super().__init__()
        self.stride, self.dims = stride, dims
        aps = resampling == "aps"
        self.pool_stride = 1 if aps or blur else stride
        self.blur = Blur(blur, dims, 1 if aps else stride) if blur else None
        self.aps = APSDown(stride, criterion) if aps else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.pool_stride == 1:
            x = _sliding_max(x, self.stride)
        else:
            x = _POOL[self.dims](x, self.stride)
        if self.blur is not None:
            x = self.blur(x)
        return (x, None) if self.aps is None else self.aps(x)


class _Up(nn.Module):
    """Upsampling to fewer channels; APS-U onto the grid that the encoder chose."""

    def __init__(
        self, inner: int, outer: int, resampling: Resampling, blur: int, stride: int, dims: int
    ) -> None:
        super().__init__()
        self.blur = Blur(blur, dims) if blur else None
        self.stride = stride
        if resampling == "aps":
            self.aps: APSUp | None = APSUp(stride)
            self.conv = _CONV[dims](inner, outer, stride, padding="same", padding_mode="circular")
        else:
            self.aps = None
            self.conv = _TRANSPOSED[dims](inner, outer, stride, stride=stride)

    def forward(self, x: Tensor, index: Tensor | None) -> Tensor:
        if self.aps is None:
            x = self.conv(x)
            return x if self.blur is None else self.blur(x)
        x = self.aps(x, index)
        if self.blur is not None:
            x = self.blur(x)
        out: Tensor = self.conv(x)
        return out


def _sliding_max(x: Tensor, size: int) -> Tensor:
    """Circular max pooling with stride 1; four times faster on CPUs than PyTorch's own."""
    wrapped = wrap(x, size)
    for dim in range(2, x.ndim):
        windows = (wrapped.narrow(dim, offset, x.shape[dim]) for offset in range(size))
        wrapped = reduce(torch.maximum, windows)
    return wrapped


def _initialise(module: nn.Module) -> None:
    """He et al. 2015: an untrained network passes its signal on instead of a near-constant."""
    if isinstance(module, nn.modules.conv._ConvNd):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _block(inner: int, outer: int, dims: int) -> nn.Sequential:
    """(3×3 convolution, batch norm, ReLU) twice; the norm makes a bias redundant."""
    layers: list[nn.Module] = []
    for channels in (inner, outer):
        layers += [
            _CONV[dims](channels, outer, 3, padding=1, padding_mode="circular", bias=False),
            _NORM[dims](outer),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
