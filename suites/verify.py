"""Is a data set complete and readable? Counts per part, and every broken file with its reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from equibench.errors import DataError
from equibench.suites.reading.files import (
    dataset,
    hdf5,
    hdf5_attribute,
    read_image,
    visible,
    volume,
    volume_slice,
)

__all__ = [
    "Broken",
    "Held",
    "Part",
    "VerifyReport",
    "verify_fastmri",
    "verify_folder",
    "verify_images",
    "verify_lodopab",
]


@dataclass(frozen=True)
class Part:
    """How much of one part of a data set is there and readable."""

    name: str
    unit: str
    files: int
    found: int
    expected: int
    expected_files: int | None = None

    @property
    def complete(self) -> bool:
        return self.found == self.expected and self.expected_files in (None, self.files)

    def __str__(self) -> str:
        files = f"{self.files} files" if self.files != 1 else "1 file"
        if self.expected_files is not None:
            files += f" of {self.expected_files}"
        state = "complete" if self.complete else "absent" if not self.files else "incomplete"
        return f"{self.name}: {self.found} of {self.expected} {self.unit} in {files}, {state}"


@dataclass(frozen=True)
class Broken:
    """A file that cannot be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return self.reason if str(self.path) in self.reason else f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class VerifyReport:
    """What ``equibench data verify`` found below ``root``."""

    root: Path
    parts: tuple[Part, ...]
    broken: tuple[Broken, ...]

    @property
    def ok(self) -> bool:
        """Nothing is broken, and every part of which there is anything is complete."""
        present = [part for part in self.parts if part.files]
        return bool(present) and not self.broken and all(part.complete for part in present)

    def __str__(self) -> str:
        broken = [f"broken: {file}" for file in self.broken]
        return "\n".join([str(self.root), *map(str, self.parts), *broken])


@dataclass(frozen=True)
class Held:
    """What a file of anyone's holds.

    Args:
        kind: type and channels, in words.
        size: in pixels.
        low, high: the least and the largest value, as they lie in the file.
    """

    kind: str
    size: tuple[int, ...]
    low: float
    high: float


def verify_fastmri(
    root: Path,
    expected: Mapping[str, int],
    volumes: Mapping[str, int],
    load: Callable[[Any], object] = volume,
) -> VerifyReport:
    """Check ``root/singlecoil_SPLIT/*.h5`` against the slices and volumes of each split.

    Args:
        load: what a run makes of the first slice of an open file; raises DataError.
    """
    files = {
        f"singlecoil_{split}": sorted(visible((root / f"singlecoil_{split}").glob("*.h5")))
        for split in expected
    }
    counts = {f"singlecoil_{split}": n for split, n in expected.items()}
    numbers = {f"singlecoil_{split}": n for split, n in volumes.items()}
    return _report(root, "slices", files, counts, partial(count_volume, load=load), numbers)


def verify_lodopab(root: Path, expected: Mapping[str, int]) -> VerifyReport:
    """Check ``root/PART_NNN.hdf5`` against the images expected of each part.

    Args:
        root: the folder that holds the files.
        expected: images by part, a part being ``ground_truth_test``, say.
    """
    files = {part: sorted(root.glob(f"{part}_[0-9][0-9][0-9].hdf5")) for part in expected}
    return _report(root, "images", files, expected, count_lodopab)


def verify_images(root: Path, paths: Iterable[Path], part: str, expected: int) -> VerifyReport:
    """Decode every image of ``paths`` to its last row."""
    return _report(root, "images", {part: list(paths)}, {part: expected}, count_image)


def verify_folder(root: Path, names: Iterable[str], look: Callable[[str], Held]) -> VerifyReport:
    """Read every file of a folder, whatever it holds.

    Args:
        names: paths below ``root``.
        look: reads one as a run would; raises DataError.
    """
    kinds: dict[str, list[Held]] = {}
    broken = []
    for name in tqdm(list(names), desc=root.name, unit="file", disable=None):
        try:
            held = look(name)
        except DataError as error:
            broken.append(Broken(root / name, str(error)))
        else:
            kinds.setdefault(held.kind, []).append(held)
    parts = [
        Part(f"{kind}, {_sizes(of)}, values {_values(of)}", "images", len(of), len(of), len(of))
        for kind, of in sorted(kinds.items())
    ]
    return VerifyReport(root, tuple(parts), tuple(broken))


def _sizes(held: Sequence[Held]) -> str:
    """All of them, or how many and from which to which."""
    sizes = sorted({each.size for each in held}, key=lambda size: (prod(size), size))
    shown = ["×".join(map(str, size)) for size in sizes]
    if len(shown) <= 4:
        return ", ".join(shown)
    return f"{len(shown)} sizes from {shown[0]} to {shown[-1]}"


def _values(held: Sequence[Held]) -> str:
    low, high = min(each.low for each in held), max(each.high for each in held)
    return f"{low:g} to {high:g}"


def count_volume(path: Path, load: Callable[[Any], object] = volume) -> int:
    """The slices of a fastMRI volume, once everything that loading it needs has been read.

    Raises:
        DataError: the file is truncated, or a dataset or attribute is missing or misshapen.
    """
    with hdf5(path) as file:
        kspace, _ = volume(file)
        dataset(file, "ismrmrd_header")
        for name in ("acquisition", "max", "norm", "patient_id"):
            hdf5_attribute(file, name)
        for i in range(len(kspace)):
            volume_slice(file, i)
        load(file)
        return len(kspace)


def count_lodopab(path: Path) -> int:
    """The images (or sinograms) in a LoDoPaB file, once all have been read.

    Raises:
        DataError: the file is truncated, has no ``data``, it has another shape, or is not finite.
    """
    shape = (1000, 513) if path.name.startswith("observation") else (362, 362)
    with hdf5(path) as file:
        data = dataset(file, "data")
        if data.ndim != 3 or data.shape[1:] != shape or not 1 <= len(data) <= 128:
            raise DataError(
                f"data {data.shape} in {path} should be (1 to 128, {shape[0]}, {shape[1]})"
            )
        for i in range(len(data)):
            if not np.isfinite(data[i]).all():
                raise DataError(f"image {i} of {path} is not finite; fetch the file again")
        return len(data)


def count_image(path: Path) -> int:
    """1, once the image has been decoded.

    Raises:
        DataError: it is truncated or no image.
    """
    read_image(path)
    return 1


def _report(
    root: Path,
    unit: str,
    files: Mapping[str, list[Path]],
    expected: Mapping[str, int],
    count: Callable[[Path], int],
    expected_files: Mapping[str, int] | None = None,
) -> VerifyReport:
    parts, broken = [], []
    for name, paths in files.items():
        found = 0
        for path in tqdm(paths, desc=name, unit="file", disable=None):
            try:
                found += count(path)
            except DataError as error:
                broken.append(Broken(path, str(error)))
        wanted = (expected_files or {}).get(name)
        parts.append(Part(name, unit, len(paths), found, expected[name], wanted))
    return VerifyReport(root, tuple(parts), tuple(broken))
