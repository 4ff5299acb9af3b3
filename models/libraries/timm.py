"""A U-Net decoder on any timm backbone that gives feature maps.

Source: https://github.com/huggingface/pytorch-image-models. Nothing is downloaded: backbones start
untrained unless ``pretrained=true``.
"""

from typing import TYPE_CHECKING, Any

from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["timm_unet"]


@register_model(
    "timm-unet",
    summary="a U-Net decoder on any timm backbone: encoder=convnext_atto",
    modules=("timm",),
    extra="timm",
    padding="zeros",
    licence="Apache-2.0 (timm; weights have licences of their own)",
    citation="Wightman, PyTorch Image Models, 2019; Ronneberger et al., MICCAI 2015",
    trained=False,
)
def timm_unet(
    encoder: str = "resnet18",
    in_channels: int = 1,
    out_channels: int = 1,
    width: int = 16,
    pretrained: bool = False,
    **options: Any,
) -> "nn.Module":
    """A U-Net decoder on a timm backbone.

    Args:
        encoder: any of timm's models that has feature maps; its anti-aliased ones are among them
            (``resnetblur18``), or made by an option (``encoder=resnet18,aa_layer=blur``).
        width: channels of the finest decoder level; they double from level to level.
        options: further arguments of ``timm.create_model``.

    Raises:
        UsageError: timm has no such model, or it has no feature maps.
    """
    from equibench.models.libraries.timm_decoder import TimmUNet

    return TimmUNet(encoder, in_channels, out_channels, width, pretrained, options)
