"""Networks of MONAI, as registered factories; ``dims=3`` for volumes, ``dims=1`` for signals.

Source: Cardoso et al., MONAI, 2022; https://github.com/Project-MONAI/MONAI.
"""

from typing import TYPE_CHECKING, Any

from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["attention_unet", "basic_unet", "swin_unetr", "unet"]

_ALL: dict[str, Any] = {
    "modules": ("monai",),
    "extra": "monai",
    "padding": "zeros",
    "licence": "Apache-2.0",
    "trained": False,
}


@register_model(
    "monai-unet",
    summary="MONAI's UNet with residual units",
    citation="Kerfoot et al., STACOM 2018",
    total_stride=16,
    **_ALL,
)
def unet(
    width: int = 16,
    in_channels: int = 1,
    out_channels: int = 1,
    num_res_units: int = 2,
    dims: int = 2,
) -> "nn.Module":
    from monai.networks.nets.unet import UNet

    channels = tuple(width * 2**level for level in range(5))
    network: nn.Module = UNet(
        dims, in_channels, out_channels, channels, (2, 2, 2, 2), num_res_units=num_res_units
    )
    return network


@register_model(
    "monai-basic-unet",
    summary="MONAI's BasicUNet",
    citation="Falk et al., Nature Methods 2019",
    total_stride=16,
    **_ALL,
)
def basic_unet(
    width: int = 32,
    in_channels: int = 1,
    out_channels: int = 1,
    upsample: str = "deconv",
    dims: int = 2,
) -> "nn.Module":
    from monai.networks.nets.basic_unet import BasicUNet

    features = (width, width, 2 * width, 4 * width, 8 * width, width)
    network: nn.Module = BasicUNet(dims, in_channels, out_channels, features, upsample=upsample)
    return network


@register_model(
    "monai-attention-unet",
    summary="MONAI's AttentionUnet",
    citation="Oktay et al., MIDL 2018",
    total_stride=16,
    **_ALL,
)
def attention_unet(
    width: int = 16, in_channels: int = 1, out_channels: int = 1, dims: int = 2
) -> "nn.Module":
    from monai.networks.nets.attentionunet import AttentionUnet

    channels = tuple(width * 2**level for level in range(5))
    network: nn.Module = AttentionUnet(dims, in_channels, out_channels, channels, (2, 2, 2, 2))
    return network


@register_model(
    "monai-swin-unetr",
    summary="MONAI's SwinUNETR",
    citation="Hatamizadeh et al., BrainLes 2021",
    total_stride=32,
    **_ALL,
)
def swin_unetr(
    width: int = 24, in_channels: int = 1, out_channels: int = 1, dims: int = 2
) -> "nn.Module":
    from monai.networks.nets.swin_unetr import SwinUNETR

    network: nn.Module = SwinUNETR(in_channels, out_channels, feature_size=width, spatial_dims=dims)
    return network
