"""From what lies in an image file to what a network is given: range, channels, size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equibench.errors import DataError, UsageError
from equibench.suites.reading.files import choose

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Pixels", "Preparation"]

MODES = ("grey", "rgb", "asis")
LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True)
class Pixels:
    """Images (N, H, W, C) of a case as they lie in a file; see ``Picture``."""

    values: NDArray[Any]
    white: float | None
    alpha: bool


class Preparation:
    """What settings of ``folder`` make of pixels; they are described there.

    Raises:
        UsageError: a setting that cannot be read.
    """

    def __init__(
        self,
        mode: str,
        range: str | None,
        size: int | str | None,
        crop: int | str | None,
        ignore: int | None,
    ) -> None:
        self.mode = choose("folder", "mode", mode, MODES)
        self.bounds, self.chosen_range = _bounds(range or "0..1"), range is not None
        self.size, self.crop = _size("size", size), _size("crop", crop)
        self.ignore = ignore

    def image(self, path: Path, images: Pixels) -> "Tensor":
        """(N, C, H, W) in float32: range, channels, size, crop."""
        import torch

        values = images.values.astype(np.float64)
        if images.white is not None:
            low, high = self.bounds
            values = values / images.white * (high - low) + low
        elif self.chosen_range:
            raise DataError(
                f"{path} has no white, for its type is {images.values.dtype}: leave range out, or "
                "give the model in.range=0..1"
            )
        values = self._channels(path, values, images.alpha)
        tensor = torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))
        return self._cropped(path, self._resized(tensor)).float()

    def classes(self, path: Path, images: Pixels) -> "Tensor":
        """(N, 1, H, W) in whole numbers, −1 where the class is not known."""
        import torch
        from torch.nn.functional import interpolate

        classes = _whole_classes(path, images.values, self.ignore)
        tensor = torch.from_numpy(np.ascontiguousarray(classes.transpose(0, 3, 1, 2)))
        if self.size is not None:
            size = _resized_to(self.size, tensor.shape[-2:])
            tensor = interpolate(tensor.double(), size, mode="nearest-exact").long()
        return self._cropped(path, tensor)

    def _channels(self, path: Path, values: NDArray[Any], alpha: bool) -> NDArray[Any]:
        """Of images (N, H, W, C)."""
        if self.mode == "asis":
            return values
        values = values[..., :-1] if alpha else values
        if values.shape[-1] not in (1, 3):
            raise DataError(
                f"{path} has {values.shape[-1]} channels, which are no colours: mode=asis keeps "
                "them"
            )
        if self.mode == "rgb":
            return np.broadcast_to(values, (*values.shape[:-1], 3))
        return values if values.shape[-1] == 1 else (values @ np.array(LUMA))[..., None]

    def _resized(self, images: "Tensor") -> "Tensor":
        """(N, C, H, W), by bilinear interpolation with antialiasing."""
        from torch.nn.functional import interpolate

        if self.size is None:
            return images
        size = _resized_to(self.size, images.shape[-2:])
        return interpolate(images, size, mode="bilinear", antialias=True)

    def _cropped(self, path: Path, images: "Tensor") -> "Tensor":
        if self.crop is None:
            return images
        (height, width), (h, w) = images.shape[-2:], (self.crop * 2)[:2]
        if h > height or w > width:
            raise DataError(
                f"crop={h}x{w} does not fit into {path}, {height}×{width}: size=… first"
            )
        top, left = (height - h) // 2, (width - w) // 2
        return images[..., top : top + h, left : left + w].contiguous()


def _whole_classes(path: Path, values: NDArray[Any], ignore: int | None) -> NDArray[np.int64]:
    """The classes (N, H, W, 1) in a label map (N, H, W, C), −1 where they are not known.

    Args:
        ignore: what stands there; 255 where it is None.

    Raises:
        DataError: it holds colours, or numbers that are not whole or below zero, or black and white
            alone, where white would be ignored and nobody said so.
    """
    grey = values[..., :1]
    if not (values == grey).all():
        raise DataError(
            f"{path} holds colours, not classes: write the number of each pixel's class"
        )
    classes = grey.astype(np.int64)
    if not (classes == grey).all():
        raise DataError(f"{path} holds numbers that are not whole: write the class of each pixel")
    unknown = 255 if ignore is None else ignore
    if ignore != 255 and classes.max() == 255 and np.isin(classes, (0, 255)).all():
        if ignore is None:
            raise DataError(
                f"{path} holds 0 and 255 alone: ignore=-1 takes them for classes 0 and 1, "
                "ignore=255 leaves the white pixels out"
            )
        classes = classes // 255
    known = classes != unknown
    if (classes[known] < 0).any():
        least = classes[known].min()
        raise DataError(f"{path} holds class {least}: leave it out by ignore={least}")
    return np.where(known, classes, -1)


def _bounds(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(".."))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise UsageError(f"suite 'folder': range={text} is no range: write range=0..1")
    return low, high


def _size(setting: str, value: int | str | None) -> tuple[int, ...] | None:
    """One side, or height and width."""
    if value is None:
        return None
    parts = str(value).lower().split("x")
    if len(parts) > 2 or not all(p.isdecimal() and int(p) for p in parts):
        raise UsageError(f"suite 'folder': {setting}={value} is no size: write 256 or 256x320")
    return tuple(map(int, parts))


def _resized_to(size: Sequence[int], shape: Sequence[int]) -> tuple[int, int]:
    """Height and width; one side alone is that of the shorter one, and the shape is kept."""
    if len(size) == 2:
        return size[0], size[1]
    height, width = (max(1, round(n * size[0] / min(shape))) for n in shape)
    return height, width
