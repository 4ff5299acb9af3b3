"""What stands between a suite's images and a network that wants, or gives, something else.

``in.…`` keys of a model change what the network is given, ``out.…`` keys what is taken of its
output; a dot cannot stand in the name of an argument, so that they never collide with those of a
factory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from equibench.foundation.validation import checked
from equibench.registry.specs import Scalar

__all__ = ["Adaptation"]

_IMAGENET = {"in.mean": "0.485/0.456/0.406", "in.std": "0.229/0.224/0.225"}

PadMode = Literal["circular", "reflect", "replicate", "constant"]


class Adaptation(BaseModel):
    """What a network is given and what is taken of its output; the fields are ``in.…`` and
    ``out.…`` keys of a model, with a dot for the first underscore.

    Args:
        in_channels: grey is repeated, colour (RGB) becomes grey.
        in_range: ``0..255``; the minimum and maximum of each image are brought there.
        in_mean, in_std: normalisation after that; one number, one for each channel
            (``0.5/0.4/0.4``) or ``imagenet``.
        in_noise: a noise level as second input, (B,).
        in_mask: a mask as second input, (B, 1, H, W): one value everywhere, or a NumPy file
            (H, W) that stays in place when images are shifted, as a sampling mask does.
        in_second: how the second input is passed: as an ``argument``, as a ``channel`` of the
            image, or as the keyword argument that is named.
        in_pad: height and width are padded to a multiple of this, below and to the right, and
            the output is cropped back. Padding changes equivariance: results are marked.
        in_pad_mode: what is padded with (``constant`` is zero).
        in_volume: the image becomes a volume (B, C, D, H, W): D copies of it, of whose output
            the middle slice is taken; with ``channels`` its channels are the slices.
        out_select: the member of a tuple or the key of a dict, nested ones as ``0/image``.
        out_scale: the output is larger than the input by this factor (super-resolution).
        out_channel: the one channel that counts, from 0.
        out_channels: as ``in_channels``.
        out_restore: undo ``in_range``, ``in_mean`` and ``in_std`` on the output.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", ".", 1),
        validate_by_name=True,
    )

    in_channels: PositiveInt | None = None
    in_range: str | int | float | None = None
    in_mean: str | float | None = None
    in_std: str | float | None = None
    in_noise: float | None = None
    in_mask: float | str | None = None
    in_second: str = "argument"
    in_pad: PositiveInt | None = None
    in_pad_mode: PadMode = "circular"
    in_volume: PositiveInt | Literal["channels"] | None = None
    out_select: int | str | None = None
    out_scale: PositiveInt = 1
    out_channel: Annotated[int, Field(ge=0)] | None = None
    out_channels: PositiveInt | None = None
    out_restore: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> "Adaptation":
        if self.in_noise is not None and self.in_mask is not None:
            raise ValueError("in.noise and in.mask are both a second input: take one")
        _ = self.bounds, self.mean, self.std, self.mask  # each refuses what it cannot read
        return self

    @classmethod
    def of(cls, values: Mapping[str, Scalar], label: str) -> "Adaptation":
        """From the ``in.…`` and ``out.…`` keys of a model.

        Raises:
            UsageError: there is no such key (with the closest), or a value does not fit.
        """
        return checked(cls, values, f"model {label!r}")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lower and upper end of ``in.range``."""
        if self.in_range is None:
            return None
        try:
            low, high = map(float, str(self.in_range).split(".."))
        except ValueError:
            low = high = 0.0
        if not low < high:
            raise ValueError(f"in.range={self.in_range} is no range: write in.range=0..1")
        return low, high

    @property
    def mean(self) -> Tensor | None:
        """(1, C, 1, 1), C is 1 for one number."""
        return _numbers("in.mean", self.in_mean)

    @property
    def std(self) -> Tensor | None:
        """(1, C, 1, 1), C is 1 for one number."""
        values = _numbers("in.std", self.in_std)
        if values is not None and not (values > 0).all():
            raise ValueError(f"in.std={self.in_std} is not positive")
        return values

    @property
    def mask(self) -> Tensor | None:
        """(1, 1, H, W), or (1, 1, 1, 1) for one value."""
        if self.in_mask is None:
            return None
        if isinstance(self.in_mask, float):
            return torch.full((1, 1, 1, 1), self.in_mask)
        try:
            array = np.load(Path(self.in_mask).expanduser(), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ValueError(f"in.mask={self.in_mask} is no NumPy array: {error}") from None
        if array.ndim != 2:
            raise ValueError(f"in.mask={self.in_mask} has shape {array.shape}, not (H, W)")
        return torch.from_numpy(array.astype(np.float32))[None, None]


def _numbers(key: str, given: str | float | None) -> Tensor | None:
    """(1, C, 1, 1) from a number, several between slashes, or a name."""
    if given is None:
        return None
    text = _IMAGENET[key] if given == "imagenet" else str(given)
    try:
        values = [float(part) for part in text.split("/")]
    except ValueError:
        raise ValueError(f"{key}={given}: write a number, 0.5/0.4/0.4 or imagenet") from None
    return torch.tensor(values)[None, :, None, None]
