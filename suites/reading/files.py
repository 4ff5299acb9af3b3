"""What all suites over files share: finding a folder, reading HDF5, building a folder once."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from equibench.errors import DataError, UnavailableError, UsageError
from equibench.foundation.platform_folders import data_folder

__all__ = [
    "build_once",
    "choose",
    "dataset",
    "find_folder",
    "hdf5",
    "hdf5_attribute",
    "no_data",
    "pillow",
    "read_image",
    "temporary",
    "visible",
    "volume",
    "volume_slice",
]


def choose(suite: str, argument: str, value: str, choices: Sequence[str]) -> str:
    """``value``, if it is one of ``choices``.

    Raises:
        UsageError: it is not; the closest choice comes first.
    """
    if value in choices:
        return value
    close = get_close_matches(value, choices, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise UsageError(
        f"suite {suite!r} has no {argument} {value!r}.{hint} There are: {', '.join(choices)}"
    )


def no_data(suite: str, example: str, root: str | None = None) -> str | None:
    """Why a suite has no data folder, with the remedy; None where it has one.

    Args:
        suite: its name.
        example: what should lie in the folder.
        root: the folder; else the suite's folder in ``EQUIBENCH_DATA``.
    """
    folder = data_folder(suite, root)
    if folder is not None and folder.is_dir():
        return None
    place = "no data" if folder is None else f"no data in {folder}"
    wanted = Path("DIR", suite, example)
    return f"{place}: set EQUIBENCH_DATA=DIR (with {wanted}) or pass --data {suite}=DIR"


def find_folder(suite: str, example: str, root: str | None) -> Path:
    """The data folder of a suite.

    Raises:
        UnavailableError: no folder is named, or it does not exist.
    """
    reason = no_data(suite, example, root)
    folder = data_folder(suite, root)
    if reason or folder is None:
        raise UnavailableError(f"suite {suite!r} has {reason}", topic="no-data")
    return folder


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file to read; what goes wrong while it is open is an error of that file.

    Raises:
        DataError: the file is missing, truncated or not HDF5.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except OSError as error:
        raise DataError(f"truncated or not HDF5: {path} ({error}); fetch the file again") from error


def dataset(file: Any, name: str) -> Any:
    """A dataset of an open HDF5 file.

    Raises:
        DataError: the file has none of that name; the message lists what it has.
    """
    if name not in file:
        has = ", ".join(file) or "nothing"
        raise DataError(f"no dataset {name!r} in {file.filename}; it holds {has}")
    return file[name]


def hdf5_attribute(file: Any, name: str) -> Any:
    """An attribute of an open HDF5 file.

    Raises:
        DataError: the file has none of that name; the message lists what it has.
    """
    if name not in file.attrs:
        has = ", ".join(file.attrs) or "none"
        raise DataError(f"no attribute {name!r} in {file.filename}; it has {has}")
    value = file.attrs[name]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def visible(paths: Iterable[Path]) -> Iterator[Path]:
    """Files that are not hidden; other systems leave ``._name`` beside what they copy."""
    return (path for path in paths if not path.name.startswith("."))


def volume(file: Any) -> tuple[Any, Any]:
    """The single-coil k-space (slices, rows, columns) of an open fastMRI file, and its target.

    Raises:
        DataError: one is missing, or has another shape or type; the message names the file.
    """
    kspace, truth = dataset(file, "kspace"), dataset(file, "reconstruction_esc")
    if kspace.ndim != 3 or truth.ndim != 3 or len(kspace) != len(truth) or not len(kspace):
        raise DataError(
            f"kspace {kspace.shape} and reconstruction_esc {truth.shape} in {file.filename} "
            "should be (slices, rows, columns) each, of one coil"
        )
    if kspace.dtype.kind != "c":
        raise DataError(
            f"kspace in {file.filename} is {kspace.dtype}: write it as complex64, as h5py does"
        )
    return kspace, truth


def volume_slice(file: Any, index: int) -> tuple[Any, Any]:
    """One slice (rows, columns) of the k-space of an open fastMRI file, and of its target.

    Raises:
        DataError: as ``volume``, or a number is not finite.
    """
    found = tuple(part[index] for part in volume(file))
    for name, part in zip(("kspace", "reconstruction_esc"), found, strict=True):
        if not np.isfinite(part).all():
            raise DataError(
                f"slice {index} of {name} in {file.filename} is not finite; fetch the file again"
            )
    return found[0], found[1]


def temporary(path: Path) -> Path:
    """A name beside ``path`` that nobody else writes to, with the same suffix."""
    return path.with_name(f".{path.stem}-{uuid.uuid4().hex[:12]}{path.suffix}")


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``build`` unless it exists.

    It is built under a temporary name and renamed, so that an interrupted build leaves nothing
    that looks finished; of several that build it at once the first wins.

    Raises:
        DataError: it cannot be written.
    """
    if folder.is_dir():
        return folder
    building = temporary(folder)
    try:
        building.mkdir(parents=True)
        build(building)
        building.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise DataError(
                f"cannot write {folder} ({reason}); set EQUIBENCH_CACHE to a folder with space"
            ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


@contextmanager
def pillow(path: Path) -> Iterator[Any]:
    """Open an image with Pillow; what goes wrong while it is open is an error of that file.

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise DataError(f"no such file: {path}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"too large an image: {path} ({error}); make it smaller") from error
    except (OSError, SyntaxError, ValueError) as error:  # PIL reports a broken PNG by SyntaxError
        reason = "unknown format" if type(error).__name__ == "UnidentifiedImageError" else error
        raise DataError(
            f"truncated or no image: {path} ({reason}); fetch the file again"
        ) from error


def read_image(path: Path) -> Any:
    """A PIL image in RGB, decoded to its last row.

    Raises:
        DataError: the file is missing, truncated or no image.
    """
    from PIL import Image

    with pillow(path) as image:
        if image.mode.startswith("I"):  # grey in 16 bits, which Pillow would cut off at 255
            grey = np.asarray(image, dtype=np.float64) * (255 / 65535)
            return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
        return image.convert("RGB")
