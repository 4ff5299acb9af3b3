"""Every decoder of segmentation-models-pytorch, as registered factories.

Source: https://github.com/qubvel-org/segmentation_models.pytorch. Nothing is downloaded: encoders
start untrained unless ``encoder_weights`` names some.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["DECODERS"]

DECODERS = {
    "unet": ("Unet", "Ronneberger et al., MICCAI 2015"),
    "unetplusplus": ("UnetPlusPlus", "Zhou et al., DLMIA 2018"),
    "manet": ("MAnet", "Fan et al., IEEE Access 2020"),
    "linknet": ("Linknet", "Chaurasia and Culurciello, VCIP 2017"),
    "fpn": ("FPN", "Kirillov et al., CVPR 2019"),
    "pspnet": ("PSPNet", "Zhao et al., CVPR 2017"),
    "pan": ("PAN", "Li et al., BMVC 2018"),
    "deeplabv3": ("DeepLabV3", "Chen et al., 2017"),
    "deeplabv3plus": ("DeepLabV3Plus", "Chen et al., ECCV 2018"),
    "upernet": ("UPerNet", "Xiao et al., ECCV 2018"),
    "segformer": ("Segformer", "Xie et al., NeurIPS 2021"),
    "dpt": ("DPT", "Ranftl et al., ICCV 2021"),
}
"""The library's class and its source, by what follows ``smp-``."""

_ENCODERS = {"dpt": "tu-vit_tiny_patch16_224.augreg_in21k"}
"""Where ``resnet18`` is no encoder for it."""


def _decoder(name: str) -> Callable[..., "nn.Module"]:
    architecture, citation = DECODERS[name]

    @register_model(
        f"smp-{name}",
        summary=f"{architecture} of segmentation-models-pytorch on any of its encoders",
        modules=("segmentation_models_pytorch",),
        extra="smp",
        padding="zeros",
        licence="MIT",
        citation=citation,
        trained=False,
    )
    def build(
        encoder: str = _ENCODERS.get(name, "resnet18"),
        in_channels: int = 1,
        out_channels: int = 1,
        encoder_weights: str | None = None,
        **options: Any,
    ) -> "nn.Module":
        import segmentation_models_pytorch as smp

        network: nn.Module = getattr(smp, architecture)(
            encoder_name=encoder,
            encoder_weights=encoder_weights,
            in_channels=in_channels,
            classes=out_channels,
            **options,
        )
        return network

    return build


unet = _decoder("unet")
unetplusplus = _decoder("unetplusplus")
manet = _decoder("manet")
linknet = _decoder("linknet")
fpn = _decoder("fpn")
pspnet = _decoder("pspnet")
pan = _decoder("pan")
deeplabv3 = _decoder("deeplabv3")
deeplabv3plus = _decoder("deeplabv3plus")
upernet = _decoder("upernet")
segformer = _decoder("segformer")
dpt = _decoder("dpt")
