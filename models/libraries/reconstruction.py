"""The U-Nets of fastMRI and dival, as registered factories."""

import warnings
from typing import TYPE_CHECKING

from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["dival_unet", "fastmri_unet"]


@register_model(
    "fastmri-unet",
    summary="fastMRI's own U-Net",
    modules=("fastmri",),
    extra="fastmri",
    padding="zeros",
    licence="MIT",
    citation="Zbontar et al., fastMRI, 2018",
    trained=False,
)
def fastmri_unet(
    chans: int = 32, num_pool_layers: int = 4, in_channels: int = 1, out_channels: int = 1
) -> "nn.Module":
    from fastmri.models import Unet

    network: nn.Module = Unet(in_channels, out_channels, chans, num_pool_layers)
    return network


@register_model(
    "dival-unet",
    summary="dival's U-Net for CT",
    modules=("dival",),
    extra="dival",
    padding="replicate and zeros",
    licence="MIT",
    citation="Leuschner et al., Scientific Data 2021",
    trained=False,
)
def dival_unet(
    scales: int = 5, skip: int = 4, in_channels: int = 1, out_channels: int = 1
) -> "nn.Module":
    with warnings.catch_warnings():  # odl 0.8 still asks for numpy.core
        warnings.simplefilter("ignore")
        from dival.reconstructors.networks.unet import get_unet_model

    network: nn.Module = get_unet_model(
        in_ch=in_channels, out_ch=out_channels, scales=scales, skip=skip, use_sigmoid=False
    )
    return network
