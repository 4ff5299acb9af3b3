"""Photographs: what Pillow and tifffile open, in the type of the file and the right way up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equibench.cases.python_data import white_of
from equibench.suites.reading.files import pillow

__all__ = ["Picture", "photograph", "tiff", "tiff_shape"]

_ORIENTATION = 0x0112
"""The tag of EXIF and TIFF that says which way is up."""


@dataclass(frozen=True)
class Picture:
    """What an image file holds.

    Args:
        values: an image (H, W, C), or a volume of three axes, of any type.
        white: the value that the type calls white, black being 0; None where the values have units
            of their own.
        kind: type and channels in words, for people.
        alpha: whether the last channel is one.
        axis: of a volume, the one that its slices are usually counted on.
    """

    values: NDArray[Any]
    white: float | None
    kind: str = ""
    alpha: bool = False
    axis: int | None = None

    @property
    def is_volume(self) -> bool:
        return self.axis is not None

    @property
    def size(self) -> tuple[int, ...]:
        """(H, W), or that of the volume, in pixels."""
        shape: tuple[int, ...] = self.values.shape
        return shape if self.is_volume else shape[:2]


def photograph(path: Path, classes: bool = False) -> Picture:
    """What Pillow opens, the right way up."""
    with pillow(path) as image:
        values = _sixteen_bit_colours(path) if image.format == "PNG" else None
        if values is None:
            values = _pixels(image, classes)
        orientation = image.getexif().get(_ORIENTATION, 1)
    return _image(values, orientation)


def _image(values: NDArray[Any], orientation: int = 1) -> Picture:
    """Of the pixels (H, W) or (H, W, C) of a photograph, whose even channel is alpha."""
    values = values[..., None] if values.ndim == 2 else values
    alpha = values.shape[2] in (2, 4)
    return Picture(_upright(values, orientation), white_of(values.dtype), alpha=alpha)


def _pixels(image: Any, classes: bool) -> NDArray[Any]:
    """Pixels of an image that Pillow decodes as they are; a palette and other colours as RGB."""
    if image.mode == "I":  # 16 bits of grey in a PNG, where Pillow is old
        return np.asarray(image).astype(np.uint16)
    if image.mode == "P" and not classes:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    keep = image.mode in ("1", "L", "LA", "RGB", "RGBA", "P") or image.mode.startswith("I;16")
    values: NDArray[Any] = np.asarray(image if keep else image.convert("RGB"))
    return values.astype(values.dtype.newbyteorder("="))


def _sixteen_bit_colours(path: Path) -> NDArray[Any] | None:
    """Of a PNG, which Pillow would cut down to eight bits; None where it has others."""
    with path.open("rb") as file:
        header = file.read(26)
    if header[24:25] != bytes([16]) or header[25:26] == bytes([0]):
        return None
    from imagecodecs import png_decode

    values: NDArray[Any] = png_decode(path.read_bytes())
    return values


def tiff(path: Path, classes: bool = False) -> Picture:
    """In the type that the file names; palettes and colours that are not RGB by Pillow."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page, series = file.pages.first, file.series[0]
        plain = ("MINISBLACK", "MINISWHITE", "RGB", *(["PALETTE"] if classes else []))
        if page.photometric.name not in plain:
            return photograph(path)
        values: NDArray[Any] = series.asarray()
        tag = page.tags.get(_ORIENTATION)
    white = white_of(values.dtype)
    if page.photometric.name == "MINISWHITE" and white is not None:
        values = (white - values).astype(values.dtype)
    if series.axes.startswith("S"):  # one plane for each channel
        values = np.moveaxis(values, 0, -1)
    if values.ndim == 2 or "S" in series.axes:
        return _image(values, 1 if tag is None else int(tag.value))
    return Picture(values, white, axis=0)


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """An image (H, W, C) turned as its tag says (EXIF 2.32, 4.6.4)."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values


def tiff_shape(path: Path) -> tuple[int, ...] | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = len(file.pages)
        return tuple(file.series[0].shape) if pages > 1 else None
