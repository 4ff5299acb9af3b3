"""Reconstruction and denoising networks of deepinv, as registered factories.

Source: Tachella et al., DeepInverse, 2023; https://github.com/deepinv/deepinv. Nothing is
downloaded: networks start untrained unless ``pretrained=download``.
"""

from typing import TYPE_CHECKING, Any

from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["dncnn", "drunet", "unet"]

_ALL: dict[str, Any] = {
    "modules": ("deepinv",),
    "extra": "deepinv",
    "licence": "BSD-3-Clause",
    "trained": False,
}


@register_model(
    "deepinv-unet",
    summary="deepinv's U-Net; circular_padding=true pads its convolutions circularly",
    padding="zeros, or circular",
    citation="Ronneberger et al., MICCAI 2015",
    **_ALL,
)
def unet(
    scales: int = 4,
    in_channels: int = 1,
    out_channels: int = 1,
    circular_padding: bool = False,
    batch_norm: bool = True,
) -> "nn.Module":
    from deepinv.models import UNet

    network: nn.Module = UNet(
        in_channels,
        out_channels,
        residual=in_channels == out_channels,
        circular_padding=circular_padding,
        batch_norm=batch_norm,
        scales=scales,
    )
    return network


@register_model(
    "deepinv-dncnn",
    summary="DnCNN of deepinv: convolutions alone, no resampling",
    padding="zeros",
    total_stride=1,
    citation="Zhang et al., IEEE Trans. Image Processing 2017",
    **_ALL,
)
def dncnn(
    depth: int = 20,
    width: int = 64,
    in_channels: int = 1,
    out_channels: int = 1,
    pretrained: str | None = None,
) -> "nn.Module":
    from deepinv.models import DnCNN

    network: nn.Module = DnCNN(in_channels, out_channels, depth, nf=width, pretrained=pretrained)
    return network


@register_model(
    "deepinv-drunet",
    summary="DRUNet of deepinv, which is told the noise level: noise=0.05",
    padding="zeros",
    total_stride=8,
    citation="Zhang et al., IEEE Trans. PAMI 2021",
    **_ALL,
)
def drunet(
    noise: float = 0.05,
    width: int = 64,
    in_channels: int = 1,
    out_channels: int = 1,
    pretrained: str | None = None,
) -> "nn.Module":
    from deepinv.models import DRUNet

    from equibench.inference.adapter_keys import AdapterKeys
    from equibench.inference.adapters import Adapted

    channels = tuple(width * 2**level for level in range(4))
    network = DRUNet(in_channels, out_channels, nc=channels, pretrained=pretrained, device="cpu")
    return Adapted(network, AdapterKeys(in_noise=noise), "deepinv-drunet")
