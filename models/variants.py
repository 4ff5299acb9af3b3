"""The nine U-Net variants of the paper, as registered factories.

There are eight architectures: the ninth, baseline + DA, is the baseline with weights that were
trained on randomly shifted images.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from equibench.registry.registries import register_model

if TYPE_CHECKING:
    from equibench.models.unet import Resampling, UNet

__all__ = ["VARIANTS"]

VARIANTS: dict[str, Callable[..., "UNet"]] = {}
"""Factories by name."""


_WEIGHTS = Path(__file__).parent / "weights"


def _packaged(variant: str) -> Mapping[str, Path]:
    """The weights of a variant that come with the package, by what they were trained on."""
    files = sorted(_WEIGHTS.glob(f"{variant}.*.safetensors"))
    return {file.suffixes[0][1:]: file for file in files}


def _variant(name: str, resampling: "Resampling", blur: int, paper: str) -> Callable[..., "UNet"]:
    kind = "APS-D and APS-U" if resampling == "aps" else "strided pooling"
    filtered = f", binomial {blur}×{blur} blur" if blur else ""

    @register_model(
        name,
        summary=f"the paper's U-Net with {kind}{filtered}",
        padding="circular",
        total_stride=16,
        paper=paper,
        trained=False,
        weights=_packaged(name),
    )
    def build(
        width: float = 1.0,
        in_channels: int = 1,
        out_channels: int = 1,
        levels: int = 4,
        dims: int = 2,
    ) -> "UNet":
        from equibench.models.unet import UNet

        return UNet(resampling, blur, width, in_channels, out_channels, levels=levels, dims=dims)

    VARIANTS[name] = build
    return build


unet_baseline = _variant("unet-baseline", "stride", 0, "Baseline")
unet_lpf_2 = _variant("unet-lpf-2", "stride", 2, "LPF-2")
unet_lpf_3 = _variant("unet-lpf-3", "stride", 3, "LPF-3")
unet_lpf_5 = _variant("unet-lpf-5", "stride", 5, "LPF-5")
unet_aps = _variant("unet-aps", "aps", 0, "APS")
unet_aps_2 = _variant("unet-aps-2", "aps", 2, "APS-2")
unet_aps_3 = _variant("unet-aps-3", "aps", 3, "APS-3")
unet_aps_5 = _variant("unet-aps-5", "aps", 5, "APS-5")
