"""Slices of the MNI152 template, an average brain, to train sample networks on.

The package nilearn ships the volumes (T1, and the shares of grey and white matter, 1 mm apart),
and calls their licence unknown: they are read from the installed package and go no further.

Source: Fonov et al., NeuroImage 54(1), 2011; the symmetric nonlinear template of 2009.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equibench.errors import DataError, UnavailableError

__all__ = ["SIDE", "template_slices"]

SIDE = 256
"""Of the squares that slices are padded to, in pixels: the whole head fits with a margin."""

Kind = Literal["t1", "gm", "wm"]

_STEPS = {2: 1, 1: 2, 0: 2}
"""The axes that slices are perpendicular to, and how far these are apart, in mm."""
_LEAST = 0.02
"""The least share of a square that is brain: smaller slices show its edge alone."""


@cache
def template_slices(kind: Kind = "t1") -> NDArray[np.float32]:
    """Axial, coronal and sagittal slices (N, 256, 256) in [0, 1], up is up; do not change them.

    Args:
        kind: ``t1`` for the intensity, ``gm`` and ``wm`` for the share of grey and white matter.

    Raises:
        UnavailableError: nilearn or nibabel is not installed.
        DataError: nilearn comes without the volume.
    """
    volume, brain = _volume(kind), _volume("t1") > 0
    slices = []
    for axis, step in _STEPS.items():
        area = brain.sum(axis=tuple({0, 1, 2} - {axis}))
        shown = np.flatnonzero(area >= _LEAST * SIDE**2)[::step]
        slices += [_centred(np.rot90(np.moveaxis(volume, axis, 0)[at])) for at in shown]
    return np.stack(slices)


def _volume(kind: Kind) -> NDArray[np.float32]:
    found = {name: importlib.util.find_spec(name) for name in ("nilearn", "nibabel")}
    missing = [name for name, spec in found.items() if spec is None]
    package = found["nilearn"]
    if missing or package is None or package.origin is None:
        raise UnavailableError(
            f"the MNI152 template is read from {' and '.join(missing)}, which is not installed; "
            "pip install 'equibench[train]'"
        )
    import nibabel

    folder = Path(package.origin).parent / "datasets" / "data"
    file = folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"
    if not file.is_file():
        raise DataError(f"no such file: {file}; install another release of nilearn")
    image: Any = nibabel.load(file)
    values: NDArray[np.float32] = np.asarray(image.dataobj, dtype=np.float32)
    values /= values.max()
    return values


def _centred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """An image (H, W) in the middle of a black square."""
    corner = [(SIDE - side) // 2 for side in image.shape]
    square = np.zeros((SIDE, SIDE), np.float32)
    square[tuple(slice(c, c + side) for c, side in zip(corner, image.shape, strict=True))] = image
    return square
