"""Filtered back projections of LoDoPaB observations, computed once and kept as one ``.npy``."""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from equibench.errors import DataError, UsageError
from equibench.foundation.platform_folders import cache_folder
from equibench.suites.reading.files import dataset, hdf5, temporary

__all__ = [
    "HALF_SIDE",
    "PER_FILE",
    "compute_fbp",
    "detector",
    "find_fbp",
    "reconstructor",
    "writable_fbp",
]

PER_FILE = 128
"""Images in every LoDoPaB file but the last of a part."""
HALF_SIDE = 0.13
"""Of LoDoPaB's images, in metres; the detector spans their diagonal."""
CUTOFF = 0.641
"""Of the Hann window, as a share of the detector's highest frequency."""

Image = NDArray[np.float32]
Reconstruct = Callable[[Image], Image]

logger = logging.getLogger(__name__)


def find_fbp(root: Path, part: str) -> Path | None:
    """The cached FBPs of a part: beside the data, else in the cache folder, else None."""
    return next((path for path in _places(root, part) if path.is_file()), None)


def writable_fbp(root: Path, part: str) -> Path:
    """Where the FBPs of a part go: beside the data, or in the cache folder if that is read-only."""
    beside, cached = _places(root, part)
    return beside if os.access(root, os.W_OK) else cached


def compute_fbp(root: Path, part: str, count: int, size: int) -> Path:
    """Reconstruct ``observation_{part}_*.hdf5`` into an array (count, size, size), float32.

    Images whose observation cannot be read become NaN and are logged, so that one broken file
    does not stop the others. The array is renamed into place when it is complete.

    Raises:
        UsageError: ASTRA is not installed, or there are no observations.
        DataError: the array cannot be written.
    """
    if next(root.glob(f"observation_{part}_*.hdf5"), None) is None:
        raise UsageError(
            f"suite 'lodopab' has neither fbp_{part}.npy nor observation_{part}_*.hdf5 in {root}; "
            f"unpack observation_{part}.zip there"
        )
    path = writable_fbp(root, part)
    partial = temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, size, size)}
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
            images = _reconstructions(root, part, count, size)
            for image in tqdm(images, f"FBP {part}", total=count, unit="image", disable=None):
                file.write(image.astype("<f4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path} ({error}); free some space and run again") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def reconstructor(angles: int, bins: int, size: int) -> Reconstruct:
    """FBP with a Hann filter at frequency scaling 0.641, in LoDoPaB's parallel-beam geometry.

    Gives what ``FBPReconstructor`` of dival gives on ODL's ASTRA backends, up to rounding, and
    needs ASTRA only, which runs on a GPU if there is one. (ODL's scikit-image backend
    interpolates otherwise: NMSE 4e-3 between the two.)

    Args:
        angles: rows of an observation, 1000 in LoDoPaB.
        bins: columns of an observation, 513 in LoDoPaB.
        size: the side of the square image, 362 in LoDoPaB.

    Raises:
        UsageError: ASTRA is not installed.
    """
    try:
        import astra
    except ImportError as error:
        raise UsageError(
            f"computing FBPs needs astra ({error}); pip install 'equibench[ct]'"
        ) from error
    rays = detector(angles, bins)
    width = rays["DetectorWidth"]
    volume = astra.create_vol_geom(size, size, -HALF_SIDE, HALF_SIDE, -HALF_SIDE, HALF_SIDE)
    projector, algorithm = ("cuda", "BP_CUDA") if astra.use_cuda() else ("linear", "BP")
    # of the adjoint: an integral over angles and detector, in units of pixels
    scale = np.pi / angles * width / (2 * HALF_SIDE / size) ** 2

    def reconstruct(observation: Image) -> Image:
        filtered = _filtered(observation, width)
        handles = [
            astra.create_projector(projector, rays, volume),
            astra.data2d.create("-sino", rays, filtered),
            astra.data2d.create("-vol", volume),
        ]
        names = ("ProjectorId", "ProjectionDataId", "ReconstructionDataId")
        job = astra.algorithm.create(
            astra.astra_dict(algorithm) | dict(zip(names, handles, strict=True))
        )
        try:
            astra.algorithm.run(job)
            return np.asarray(astra.data2d.get(handles[2]) * scale, dtype=np.float32)
        finally:
            astra.algorithm.delete(job)
            astra.projector.delete(handles[0])
            astra.data2d.delete(handles[1:])

    return reconstruct


def detector(angles: int, bins: int) -> dict[str, Any]:
    """LoDoPaB's parallel beams, as ASTRA describes them; lengths in metres."""
    import astra

    width = 2 * np.sqrt(2) * HALF_SIDE / bins
    turned = (np.arange(angles) + 0.5) * np.pi / angles - np.pi / 2
    rays: dict[str, Any] = astra.create_proj_geom("parallel", width, bins, turned)
    return rays


def _filtered(observation: Image, width: float) -> Image:
    """An observation (angles, bins) after the ramp filter with a Hann window.

    As ODL has it, the frequencies lie between the usual ones, so that there is no zero among
    them: the transform is that of the signal with alternating signs.

    Args:
        width: of a bin, in metres.
    """
    angles, bins = observation.shape
    count = 2 * bins - 1
    alternating = (-1.0) ** np.arange(count)
    frequency = 1 - 2 * np.arange(count // 2 + 1) / count  # in units of the highest, π / width
    hann = np.cos(frequency * np.pi / 2 / CUTOFF) ** 2 * (frequency <= CUTOFF)
    ramp = frequency * hann / (2 * width)
    padded = np.zeros((angles, count))
    start = (count - bins) // 2
    padded[:, start : start + bins] = observation
    spectrum = np.fft.rfft(padded * alternating) * ramp
    filtered = np.fft.irfft(spectrum, count) * alternating
    return np.ascontiguousarray(filtered[:, start : start + bins], dtype=np.float32)


def _places(root: Path, part: str) -> tuple[Path, Path]:
    place = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    name = f"fbp_{part}.npy"
    return root / name, cache_folder() / f"lodopab-{place}" / name


def _reconstructions(root: Path, part: str, count: int, size: int) -> Iterator[Image]:
    """``count`` images in order, NaN where the observation is missing."""
    reconstruct: Reconstruct | None = None
    for first in range(0, count, PER_FILE):
        path = root / f"observation_{part}_{first // PER_FILE:03d}.hdf5"
        done, wanted = 0, min(PER_FILE, count - first)
        reason = f"{path} holds too few"
        try:
            with hdf5(path) as file:
                data = dataset(file, "data")
                for i in range(min(wanted, len(data))):
                    observation = data[i]
                    angles, bins = observation.shape
                    reconstruct = reconstruct or reconstructor(angles, bins, size)
                    yield reconstruct(observation)
                    done += 1
        except DataError as error:
            reason = str(error)
        if done < wanted:
            logger.warning("no FBP for %d images: %s", wanted - done, reason)
        for _ in range(done, wanted):
            yield np.full((size, size), np.nan, np.float32)
