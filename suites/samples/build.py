"""Builds the sample data sets, in the layouts of the real ones, from what the package ships."""

import importlib.util
import shutil
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equibench.errors import DataError, UsageError
from equibench.foundation.seeds import generator

__all__ = [
    "PHOTOS",
    "build_ct",
    "build_mri",
    "build_photos",
    "packaged",
    "scanned",
    "simulate_kspace",
]

IMAGE = (320, 320)
KSPACE = (640, 368)
NOISE = 0.016
"""Standard deviation of k-space noise (each component) for an image whose maximum is 1."""
FULL_SCALE = 1e-3
"""The maximum of a volume, of the order of fastMRI's."""

PHOTOS = {
    "animals": ("chelsea.png",),
    "medicine": ("ihc.png", "retina.jpg"),
    "people": ("astronaut.png", "camera.png"),
    "space": ("hubble_deep_field.jpg", "moon.png", "rocket.jpg"),
    "textures": ("grass.png", "gravel.png"),
    "things": ("coffee.png", "coins.png"),
}
"""Photographs that lie in the scikit-image wheel, by the folder they go to."""

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <encoding>
    <encodedSpace><matrixSize><x>640</x><y>368</y><z>1</z></matrixSize></encodedSpace>
    <reconSpace><matrixSize><x>320</x><y>320</y><z>1</z></matrixSize></reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1>
        <minimum>0</minimum><maximum>367</maximum><center>184</center>
      </kspace_encoding_step_1>
    </encodingLimits>
  </encoding>
</ismrmrdHeader>
"""


def build_mri(folder: Path) -> None:
    """Write ``singlecoil_train/brain1.h5`` and ``singlecoil_val/brain2.h5``, one volume each."""
    import h5py

    arrays = packaged("mri.npz")
    for split, volume in {"train": "brain1", "val": "brain2"}.items():
        magnitudes = arrays[f"magnitude_{split}"]
        unit = magnitudes / magnitudes.max()
        scans = [scanned(each, f"{volume}/{i:03d}") for i, each in enumerate(unit)]
        kspace, image = (np.stack(each) for each in zip(*scans, strict=True))
        (folder / f"singlecoil_{split}").mkdir()
        with h5py.File(folder / f"singlecoil_{split}" / f"{volume}.h5", "w") as file:
            file["kspace"] = kspace
            file["reconstruction_esc"] = image.astype(np.float32)
            file["ismrmrd_header"] = HEADER
            file.attrs["acquisition"] = "AXT1POST"
            file.attrs["max"] = image.max()
            file.attrs["norm"] = np.linalg.norm(image)
            file.attrs["patient_id"] = f"pyradiomics-{volume}"


def build_ct(folder: Path) -> None:
    """Write ``ground_truth_{train,test}_000.hdf5`` and ``fbp_{train,test}.npy``.

    The observations behind the FBPs are not packaged, so there are no observation files.
    """
    import h5py

    arrays = packaged("ct.npz")
    scale = arrays["scale"]
    for part in ("train", "test"):
        with h5py.File(folder / f"ground_truth_{part}_000.hdf5", "w") as file:
            file["data"] = arrays[f"ground_truth_{part}"] * scale
        np.save(folder / f"fbp_{part}.npy", arrays[f"fbp_{part}"] * scale)


def build_photos(folder: Path) -> None:
    """Copy ``PHOTOS`` from the scikit-image wheel to ``val/FOLDER/NAME``; nothing is fetched.

    Raises:
        UsageError: scikit-image is not installed.
        DataError: it comes without one of the photographs.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise UsageError("suite 'photo-sample' needs skimage; pip install 'equibench[imagenet]'")
    source = Path(spec.origin).parent / "data"
    for group, names in PHOTOS.items():
        target = folder / "val" / group
        target.mkdir(parents=True)
        for name in names:
            if not (source / name).is_file():
                raise DataError(f"no such file: {source / name}; reinstall scikit-image")
            shutil.copyfile(source / name, target / name)


def scanned(
    magnitude: NDArray[Any], name: str
) -> tuple[NDArray[np.complex64], NDArray[np.float64]]:
    """K-space of a magnitude image, and the image (320, 320) that all of it gives."""
    kspace = simulate_kspace(magnitude, name)
    image = np.abs(_fit(_ifft(kspace), IMAGE)) * FULL_SCALE
    return (kspace * FULL_SCALE).astype(np.complex64), image


def simulate_kspace(magnitude: NDArray[Any], name: str) -> NDArray[np.complex128]:
    """Single-coil k-space (640, 368) of a magnitude image (H, W) whose values lie in [0, 1].

    The image is interpolated to 320×320 by zero-filling its spectrum, given a smooth phase,
    placed in a field of view with 2× readout oversampling, and transformed; then noise is
    added. Phase and noise are seeded by ``name``.
    """
    random = generator("mri-sample", name)
    image = np.abs(_ifft(_fit(_fft(magnitude), IMAGE)))
    kspace = _fft(_fit(image * np.exp(1j * _smooth_phase(random)), KSPACE))
    noise = random.standard_normal((2, *KSPACE)) * NOISE
    return np.asarray(kspace + noise[0] + 1j * noise[1])


def _smooth_phase(random: np.random.Generator) -> NDArray[np.float64]:
    """A quadratic polynomial over the image, in radians."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in IMAGE), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
    return np.tensordot(random.uniform(-np.pi / 2, np.pi / 2, len(terms)), terms, axes=1)


def _fft(image: NDArray[Any]) -> NDArray[np.complex128]:
    """The centred orthonormal transform over the last two axes."""
    axes = (-2, -1)
    shifted = np.fft.ifftshift(image, axes=axes)
    return np.fft.fftshift(np.fft.fft2(shifted, norm="ortho"), axes=axes)


def _ifft(kspace: NDArray[Any]) -> NDArray[np.complex128]:
    """The inverse of ``_fft``."""
    axes = (-2, -1)
    shifted = np.fft.ifftshift(kspace, axes=axes)
    return np.fft.fftshift(np.fft.ifft2(shifted, norm="ortho"), axes=axes)


def _fit(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Crop or zero-pad the last two axes to ``shape`` about the centre (index side // 2)."""
    for axis, side in zip((-2, -1), shape, strict=True):
        extra = side // 2 - image.shape[axis] // 2
        if extra < 0:
            image = np.take(image, range(-extra, side - extra), axis=axis)
        else:
            pad = [(0, 0)] * image.ndim
            pad[axis] = (extra, side - image.shape[axis] - extra)
            image = np.pad(image, pad)
    return image


@cache
def packaged(name: str) -> Mapping[str, NDArray[Any]]:
    """The arrays of a file of the package's ``suites/data``; do not change them."""
    packaged = resources.files("equibench.suites") / "data" / name
    with resources.as_file(packaged) as path, np.load(path) as arrays:
        return dict(arrays)
