"""What stands between a suite's images and a network that wants, or gives, something else.

``in.…`` keys of a model change what the network is given, ``out.…`` keys what is taken of its
output; a dot cannot stand in the name of an argument, so that they never collide with those of a
factory.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import Tensor

from equibench.errors import UsageError, reason
from equibench.foundation.file_names import as_path
from equibench.foundation.validation import checked
from equibench.registry.specs import Scalar

__all__ = ["AdapterKeys"]

_IMAGENET = {"in.mean": "0.485/0.456/0.406", "in.std": "0.229/0.224/0.225"}

PadMode = Literal["circular", "reflect", "replicate", "constant"]


def _whole_factor(scale: float) -> float:
    """A factor by which the output is larger or smaller, whole either way."""
    whole = round(scale) if scale >= 1 else 1 / round(1 / scale)
    if abs(whole - scale) > 1e-3:
        raise ValueError("write a whole number, or 0.5, 0.25 … for a smaller output")
    return whole


class AdapterKeys(BaseModel):
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
        in_NAME: further inputs under their names, one number for each image (B,), whole or not,
            or a NumPy file: an array (H, W) as a mask, others as they are.
        in_pad: height and width are padded to a multiple of this, below and to the right, and
            the output is cropped back. Padding changes equivariance: results are marked.
        in_pad_mode: what is padded with (``constant`` is zero).
        in_volume: the image becomes a volume (B, C, D, H, W): D copies of it, of whose output
            the middle slice is taken; with ``channels`` its channels are the slices.
        out_select: the member of a tuple or the key of a dict, nested ones as ``0/image``.
        out_scale: the output is larger than the input by this factor (super-resolution), or smaller
            (0.5, 0.25): it is then compared on its own grid, at shifts that this divides.
        out_channel: the one channel that counts, from 0.
        out_channels: as ``in_channels``.
        out_resize: ``bilinear`` or ``nearest``, an output of another size is brought to the grid of
            the input, before labels are made of it. Results are marked.
        out_labels: the output becomes class maps (B, K, H, W), 1 where a pixel is of a class:
            ``argmax`` gives a pixel the class whose channel is largest, of several the first;
            ``threshold:0.5`` of one channel gives class 1 above it, and class 0 otherwise.
        out_restore: undo ``in_range``, ``in_mean`` and ``in_std`` on the output; by default where
            the output is an image of the input's kind: with as many channels, and similar to what
            the network is given (see ``Adapted``).
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
    in_NAME: Mapping[str, Scalar] = Field(default_factory=dict)
    out_select: int | str | None = None
    out_scale: Annotated[int | float, Field(gt=0), AfterValidator(_whole_factor)] = 1
    out_channel: Annotated[int, Field(ge=0)] | None = None
    out_channels: PositiveInt | None = None
    out_resize: Literal["bilinear", "nearest"] | None = None
    out_labels: str | None = None
    out_restore: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "AdapterKeys":
        if self.in_noise is not None and self.in_mask is not None:
            raise ValueError("in.noise and in.mask are both a second input: take one")
        if self.out_resize is not None and self.out_scale != 1:
            raise ValueError("out.resize and out.scale are two grids to compare on: take one")
        if self.out_labels is not None and self.out_restore:
            raise ValueError("out.labels are no image: leave out.restore out")
        # each refuses what it cannot read
        _ = self.bounds, self.mean, self.std, self.mask, self.named, self.threshold
        return self

    @classmethod
    def of(
        cls, values: Mapping[str, Any], label: str, inputs: Collection[str] | None = None
    ) -> "AdapterKeys":
        """From the ``in.…`` and ``out.…`` keys of a model.

        Args:
            inputs: the names of the network's inputs, where they are known.

        Raises:
            UsageError: there is no such key or input (with the closest), or a value does not fit.
        """
        known = {field.alias or name for name, field in cls.model_fields.items()}
        keys = {key.removeprefix("in."): key for key in values if key not in known}
        named = {
            name: values[key]
            for name, key in keys.items()
            if key.startswith("in.") and (inputs is None or name in inputs)
        }
        if inputs is None:  # what looks like a key is one that was mistyped
            named = {name: v for name, v in named.items() if not _mistyped(f"in.{name}", known)}
        fields = {key: v for key, v in values.items() if key.removeprefix("in.") not in named}
        if named:
            fields["in.NAME"] = named
        try:
            return checked(cls, fields, f"model {label!r}")
        except UsageError as error:
            takes = "" if not inputs else f"; its further inputs are {', '.join(inputs)}"
            raise UsageError(f"{error}{takes}") from None

    @property
    def keys(self) -> dict[str, Any]:
        """The keys that make it."""
        given = self.model_dump(by_alias=True, exclude_defaults=True)
        named = given.pop("in.NAME", {})
        return given | {f"in.{name}": value for name, value in named.items()}

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
        array = _array("in.mask", self.in_mask)
        if array.ndim != 2:
            raise ValueError(f"in.mask={self.in_mask} has shape {array.shape}, not (H, W)")
        return torch.from_numpy(array.astype(np.float32))[None, None]

    @property
    def threshold(self) -> float | None:
        """Above which one channel is of class 1; None where ``out.labels`` is not by that."""
        if self.out_labels in (None, "argmax"):
            return None
        kind, _, value = str(self.out_labels).partition(":")
        with suppress(ValueError):
            if kind == "threshold":
                return float(value)
        raise ValueError(
            f"out.labels={self.out_labels}: write argmax, or threshold:0.5 (of logits threshold:0)"
        )

    @property
    def named(self) -> dict[str, Tensor]:
        """Further inputs by name: (1,), or (1, …) from a file."""
        found = {}
        for name, value in self.in_NAME.items():
            if not isinstance(value, str):
                found[name] = torch.tensor([value])
                continue
            array = _array(f"in.{name}", value)
            kind = np.float32 if array.dtype.kind in "fb" else array.dtype
            tensor = torch.from_numpy(array.astype(kind))[None]
            found[name] = tensor[None] if array.ndim == 2 else tensor
        return found


def _mistyped(key: str, known: Collection[str]) -> bool:
    return bool(get_close_matches(key, known, n=1, cutoff=0.8))


def _array(key: str, path: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] | NpzFile = np.load(as_path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{key}={path} is neither a number nor a NumPy file: {reason(error)}"
        ) from None
    if isinstance(array, NpzFile):
        array.close()
        raise ValueError(f"{key}={path} is an archive: give one array, as numpy.save writes it")
    return array


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
