"""A U-Net decoder for backbones that give a list of feature maps, as timm's do."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from equibench.errors import UsageError

__all__ = ["TimmUNet"]

_SIZES: tuple[Mapping[str, Any], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)
"""What lets transformers take images of another size than they were made for, if anything does."""


class TimmUNet(nn.Module):
    """(B, in_channels, H, W) to (B, out_channels, H, W), through the feature maps of a backbone.

    Coarser maps are enlarged to the size of the next finer one (nearest neighbour) and joined
    with it, so that any ladder of sizes will do, odd ones among them.

    Args:
        encoder: the name of a timm model.
        width: channels of the finest level; they double from level to level.
        pretrained: download timm's weights.
        options: further arguments of ``timm.create_model``.

    Raises:
        UsageError: timm has no such model, or it gives no feature maps.
    """

    def __init__(
        self,
        encoder: str,
        in_channels: int,
        out_channels: int,
        width: int,
        pretrained: bool,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__()
        given = {"in_chans": in_channels, "pretrained": pretrained, **options}
        self.encoder = _backbone(encoder, given)
        self.channels = list(self.encoder.feature_info.channels())
        self.blocks = nn.ModuleList()
        deeper = self.channels[-1]
        for level in reversed(range(len(self.channels) - 1)):
            own = width * 2**level
            self.blocks.append(_block(deeper + self.channels[level], own))
            deeper = own
        self.last = _block(deeper, width)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        pairs = zip(self.encoder(images), self.channels, strict=True)
        *finer, x = [_channels_first(feature, channels) for feature, channels in pairs]
        for block, skip in zip(self.blocks, reversed(finer), strict=True):
            x = block(torch.cat((interpolate(x, skip.shape[-2:]), skip), dim=1))
        output: Tensor = self.head(self.last(interpolate(x, images.shape[-2:])))
        return output


def _backbone(name: str, options: Mapping[str, Any]) -> Any:
    import timm
    from timm.layers.blur_pool import BlurPool2d

    blurs = {"blur": BlurPool2d, "avg": nn.AvgPool2d}
    if "aa_layer" in options:  # some of timm's models want the class, not its name
        options = {**options, "aa_layer": blurs.get(options["aa_layer"], options["aa_layer"])}
    if not timm.is_model(name):
        from difflib import get_close_matches

        architecture = name.partition(".")[0]
        close = get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UsageError(f"timm has no model {name!r}{hint}")
    refused: Exception | None = None
    for sizes in _SIZES:
        try:
            return timm.create_model(name, features_only=True, **{**sizes, **options})
        except TypeError as error:  # it does not take that argument
            refused = error
        # what architectures raise that cannot give features: each has its own
        except (AttributeError, RuntimeError, AssertionError, NotImplementedError) as error:
            raise _no_features(name, error) from error
    raise _no_features(name, refused) from refused


def _no_features(name: str, error: Exception | None) -> UsageError:
    reason = str(error).splitlines()[0] if error and str(error) else type(error).__name__
    return UsageError(f"timm's {name} gives no feature maps with these arguments: {reason}")


def _channels_first(feature: Tensor, channels: int) -> Tensor:
    """Transformers of timm keep channels last."""
    if feature.shape[1] != channels and feature.shape[-1] == channels:
        return feature.permute(0, 3, 1, 2)
    return feature


def _block(inner: int, outer: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inner, outer):
        layers += [
            nn.Conv2d(channels, outer, 3, padding=1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
