"""Image files of any kind as arrays, with the value that the type of each calls white.

Pillow reads photographs, and what it would cut down to eight bits goes to another library. Nothing
here looks at the values of an image to decide what they mean: their type does, and what has units
of its own (floats, signed numbers, Hounsfield units) keeps them.
"""

import importlib.util
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from equibench.cases.python_data import white_of
from equibench.errors import DataError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.suites.reading.photographs import Picture, photograph, tiff, tiff_shape

__all__ = [
    "SUFFIXES",
    "Picture",
    "missing_readers",
    "read_picture",
    "volume_shape",
]

_CHANNELS = {1, 3, 4}
"""How many an array of three axes has on the axis of its channels."""
_UNKNOWN = -1
"""For the axis of slices where a format does not tell volumes from images."""


def missing_readers(suffixes: Collection[str]) -> dict[str, list[str]]:
    """The modules that reading files with these suffixes needs and that are not installed."""
    missing: dict[str, list[str]] = {}
    for suffix in sorted(suffixes):
        module = _FORMATS[suffix].module if suffix in _FORMATS else ""
        if module and not _installed(module):
            missing.setdefault(module, []).append(suffix)
    return missing


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def read_picture(
    path: Path, *, classes: bool = False, volume: bool = False, signal: bool = False
) -> Picture:
    """Decode an image file to its last pixel.

    Args:
        classes: it is a label map: a palette's numbers are what counts, and not its colours.
        volume: an array of three axes is a volume, also where it could be an image of few channels.
        signal: it is a signal (L,) or (C, L), which is given as an image (C, L, 1).

    Raises:
        DataError: the file is missing, truncated, no image, or of a kind that is not read.
    """
    form = _format(path)
    with _named(path):
        found = form.read(path, classes)
    if signal and found.values.ndim not in (1, 2):
        raise DataError(f"{path} has {found.values.ndim} axes: a signal is (L,) or (C, L)")
    if signal:
        found = replace(found, values=np.atleast_2d(found.values))
    found = _arranged(path, found, volume)
    if not found.values.size:
        raise DataError(f"{path} is empty, {found.values.shape}: take it away")
    if found.values.dtype.kind not in "buif":
        raise DataError(f"{path} holds {found.values.dtype}, not real numbers: write it as float32")
    return found if found.kind else replace(found, kind=_kind(found))


def volume_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of the volume in a file, from its header where there is one; None for an image.

    Raises:
        DataError: the file is missing, truncated or of a kind that is not read.
    """
    shape = _format(path).shape
    if shape is None:
        return None
    with _named(path):
        found = shape(path)
    return found if found is not None and len(found) == 3 else None


def _arranged(path: Path, found: Picture, volume: bool) -> Picture:
    """An image (H, W, C), or a volume, of what a file holds; of an array that its format knows
    nothing of, few on an axis are channels.
    """
    values = found.values
    if values.ndim not in (2, 3):
        raise DataError(
            f"{path} has {values.ndim} axes, {values.shape}: keep images of two or three in a file"
            f"{', or take signals with dims=1' if values.ndim == 1 else ''}"
        )
    if values.ndim == 2:
        return replace(found, values=values[..., None], axis=None)
    if found.axis != _UNKNOWN:
        return found
    if volume or not {values.shape[0], values.shape[2]} & _CHANNELS:
        return replace(found, axis=0)
    if values.shape[2] not in _CHANNELS:
        values = np.moveaxis(values, 0, 2)
    return replace(found, values=values, axis=None)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What a library says of a file it cannot read, with the file's name."""
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    with guarded(
        lambda error: f"truncated or not read: {path} ({kind_and_reason(error)}); write it anew",
        DataError,
    ):
        yield


def _kind(found: Picture) -> str:
    if found.is_volume:
        return f"{found.values.dtype} volume"
    channels = found.values.shape[2]
    names = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}
    known = found.alpha or channels in (1, 3)
    return f"{found.values.dtype} {names[channels] if known else f'{channels} channels'}"


def _numpy(path: Path, classes: bool = False) -> Picture:
    values = np.load(path, allow_pickle=False)
    if not isinstance(values, np.ndarray):
        with values as arrays:
            if len(arrays.files) != 1:
                raise DataError(f"{path} holds {', '.join(arrays.files)}: keep one array in a file")
            values = arrays[arrays.files[0]]
    return Picture(values, white_of(values.dtype), axis=_UNKNOWN)


def _numpy_shape(path: Path) -> tuple[int, ...] | None:
    if path.suffix.lower() == ".npy":
        return tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)
    return tuple(_numpy(path).values.shape)


def _nifti(path: Path, classes: bool = False) -> Picture:
    import nibabel

    image: Any = nibabel.load(path)
    slope, shift = image.header.get_slope_inter()
    scaled = (slope, shift) not in ((None, None), (1.0, 0.0))
    values = np.asarray(image.dataobj)
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    return Picture(values, None if scaled else white_of(values.dtype), axis=2)


def _nifti_shape(path: Path) -> tuple[int, ...] | None:
    import nibabel

    shape = tuple(nibabel.load(path).shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _nrrd(path: Path, classes: bool = False) -> Picture:
    import nrrd

    values, _ = nrrd.read(str(path), index_order="C")
    return Picture(values, white_of(values.dtype), axis=0)


def _nrrd_shape(path: Path) -> tuple[int, ...] | None:
    import nrrd

    return tuple(int(n) for n in nrrd.read_header(str(path))["sizes"][::-1])


def _dicom(path: Path, classes: bool = False) -> Picture:
    """Values in the units of the modality where it names some; MONOCHROME1 has 0 for white."""
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_rescale, pixel_array

    data = pydicom.dcmread(path)
    values = pixel_array(data)
    axis = 0 if int(data.get("NumberOfFrames", 1)) > 1 else None
    colours = str(data.PhotometricInterpretation)
    if colours == "PALETTE COLOR":
        values = apply_color_lut(values, data)
        return Picture(values, white_of(values.dtype), axis=axis)
    slope = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
    if slope != (1.0, 0.0) or "ModalityLUTSequence" in data:
        return Picture(np.asarray(apply_rescale(values, data)), None, axis=axis)
    if values.dtype.kind != "u":
        return Picture(values, None, axis=axis)
    white = float(2 ** int(data.BitsStored) - 1)
    return Picture(white - values if colours == "MONOCHROME1" else values, white, axis=axis)


def _dicom_shape(path: Path) -> tuple[int, ...] | None:
    import pydicom

    data = pydicom.dcmread(path, stop_before_pixels=True)
    frames = int(data.get("NumberOfFrames", 1))
    return (frames, int(data.Rows), int(data.Columns)) if frames > 1 else None


@dataclass(frozen=True)
class _Format:
    """How files of a kind are read.

    Args:
        module: what must be installed.
        shape: of the array in a file, quickly; None where no file of the kind is a volume.
    """

    module: str
    read: Callable[[Path, bool], Picture]
    shape: Callable[[Path], tuple[int, ...] | None] | None = None


_PHOTOGRAPH = _Format("PIL", photograph)
_TIFF = _Format("tifffile", tiff, tiff_shape)
_NUMPY = _Format("", _numpy, _numpy_shape)
_NIFTI = _Format("nibabel", _nifti, _nifti_shape)
_NRRD = _Format("nrrd", _nrrd, _nrrd_shape)
_DICOM = _Format("pydicom", _dicom, _dicom_shape)
_FORMATS = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".bmp"), _PHOTOGRAPH),
    **dict.fromkeys((".tif", ".tiff"), _TIFF),
    **dict.fromkeys((".npy", ".npz"), _NUMPY),
    **dict.fromkeys((".nii", ".nii.gz"), _NIFTI),
    **dict.fromkeys((".nrrd", ".nhdr"), _NRRD),
    **dict.fromkeys((".dcm", ".dicom"), _DICOM),
}

SUFFIXES = tuple(_FORMATS)
"""Of the files that are images, in small letters."""


def _format(path: Path) -> _Format:
    """By a file's suffix; one without a known suffix may be DICOM, or what Pillow knows."""
    name = path.name.lower()
    for suffix, form in _FORMATS.items():
        if name.endswith(suffix):
            return form
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    with path.open("rb") as file:
        file.seek(128)
        return _DICOM if file.read(4) == b"DICM" else _PHOTOGRAPH
