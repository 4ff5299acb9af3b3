"""Filtered back projections of LoDoPaB observations, computed once and kept as one ``.npy``."""

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from equibench.errors import DataError, UsageError
from equibench.foundation.platform_folders import cache_folder
from equibench.suites.files import dataset, hdf5, temporary

__all__ = ["PER_FILE", "compute_fbp", "find_fbp", "reconstructor", "writable_fbp"]

PER_FILE = 128
"""Images in every LoDoPaB file but the last of a part."""

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
        UsageError: dival is not installed, or there are no observations.
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

    Runs on ASTRA, on a GPU if there is one. ODL's scikit-image backend interpolates otherwise
    (NMSE 4e-3 between the two) and would make other data.

    Args:
        angles: rows of an observation, 1000 in LoDoPaB.
        bins: columns of an observation, 513 in LoDoPaB.
        size: the side of the square image, 362 in LoDoPaB.

    Raises:
        UsageError: dival is not installed or no backend works.
    """
    reasons = []
    for backend in _backends():
        try:
            reconstruct = _dival_fbp(backend, angles, bins, size)
            reconstruct(np.zeros((angles, bins), np.float32))
        except UsageError:
            raise
        except Exception as error:  # ODL and ASTRA fail in many ways, some only when they run
            reasons.append(f"{backend}: {error}")
            continue
        if reasons:
            logger.warning("FBP runs on %s (%s)", backend, "; ".join(reasons))
        return reconstruct
    raise UsageError(
        f"no FBP backend works here ({'; '.join(reasons)}); pip install 'equibench[ct]'"
    )


def _places(root: Path, part: str) -> tuple[Path, Path]:
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
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


def _backends() -> list[str]:
    _import_dival()
    from odl.tomo.backends import ASTRA_CUDA_AVAILABLE

    return ["astra_cuda", "astra_cpu"] if ASTRA_CUDA_AVAILABLE else ["astra_cpu"]


def _import_dival() -> None:
    """Import dival, which reads ``~/.dival/config.json`` and makes old NumPy names warn.

    Raises:
        UsageError: it, or what it needs, cannot be imported.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import dival.datasets.lodopab_dataset
            import dival.reconstructors.odl_reconstructors  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"computing FBPs needs dival ({error}); pip install 'equibench[ct]'"
        ) from error
    except Exception as error:
        raise UsageError(
            f"dival cannot be imported ({error}); if ~/.dival/config.json is at fault, delete it"
        ) from error


def _dival_fbp(backend: str, angles: int, bins: int, size: int) -> Reconstruct:
    import odl
    from dival.datasets.lodopab_dataset import MAX_PT, MIN_PT
    from dival.reconstructors.odl_reconstructors import FBPReconstructor

    space = odl.uniform_discr(MIN_PT, MAX_PT, (size, size), dtype=np.float32)
    geometry = odl.tomo.parallel_beam_geometry(space, num_angles=angles, det_shape=(bins,))
    fbp = FBPReconstructor(
        odl.tomo.RayTransform(space, geometry, impl=backend),
        hyper_params={"filter_type": "Hann", "frequency_scaling": 0.641},
        recompute_fbp_op=False,
    )

    def reconstruct(observation: Image) -> Image:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(fbp.reconstruct(observation), dtype=np.float32)

    return reconstruct
