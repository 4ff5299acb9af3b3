"""LoDoPaB-CT: filtered back projections of low-dose scans and their ground truths."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from equibench.cases.suite import Case, DataRange, Suite
from equibench.errors import DataError, UnavailableError, UsageError
from equibench.registry.registries import register_suite
from equibench.suites.fbp import PER_FILE, compute_fbp, find_fbp
from equibench.suites.reading.files import choose, dataset, find_folder, hdf5, no_data
from equibench.suites.verify import VerifyReport, verify_lodopab

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LoDoPaB"]


@register_suite(
    "lodopab",
    summary="LoDoPaB-CT, filtered back projections of low-dose scans (the paper's table 4)",
    extra="ct",
    modules=("h5py",),
)
class LoDoPaB(Suite):
    """LoDoPaB-CT images with their filtered back projections as input.

    A case is one image, input and target (1, 1, size, size), cut from the centre of 362×362.
    The FBPs are read from ``fbp_{part}.npy``; where that is missing they are computed once.

    Args:
        root: the folder that holds ``ground_truth_test_000.hdf5`` and so on; else
            ``$EQUIBENCH_DATA/lodopab``.
        part: ``train``, ``validation`` or ``test``.
        size: the side of the central square, in pixels.
    """

    name = "lodopab"
    metrics = ("nmse", "psnr", "ssim", "ssim-columns")
    data_range: Mapping[str, DataRange] = {"psnr": "range"}
    parts: Mapping[str, Mapping[str, str | bool]] = {
        "train": {"part": "train"},
        "validation": {"part": "validation"},
    }
    expected: ClassVar[Mapping[str, int]] = {"train": 35820, "validation": 3522, "test": 3553}
    """Images of a complete data set, by part."""
    patient: ClassVar[str] = ""
    """Whose images these are, where they are all of one."""
    observed: ClassVar[bool] = True
    """Whether observations belong to a complete data set."""

    def __init__(self, root: str | None = None, part: str = "test", size: int = 352) -> None:
        if size < 1:
            raise UsageError(f"suite {self.name!r}: size={size} must be at least 1")
        self.root = root
        self.part = choose(self.name, "part", part, list(self.expected))
        self.size = size

    @classmethod
    def unavailable(cls) -> str | None:
        return no_data(cls.name, "ground_truth_test_000.hdf5")

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        return {"part": self.part, "size": self.size}

    def cases(self) -> list[str]:
        """Positions in the part, ``00000`` and up; those of absent files are left out.

        Raises:
            UnavailableError: there is no data root, or no ground truth of this part in it.
        """
        return [f"{first + i:05d}" for first, count in self._counts().items() for i in range(count)]

    def load(self, name: str) -> Case:
        """Load one image (1, 1, size, size).

        Raises:
            DataError: a file is missing, truncated or too short.
        """
        index = int(name)
        truth = self._truth(index)
        rows = self._fbp()
        if index >= len(rows) or np.isnan(rows[index]).any():
            raise DataError(
                f"no FBP for image {name} in {rows.filename}; mend observation_{self.part}_"
                f"{index // PER_FILE:03d}.hdf5, delete that file and run again"
            )
        image, target = self._crop(rows[index]), self._crop(truth)
        return Case(name=name, input=image, target=target, cluster=self.patient)

    def prepare(self) -> Path:
        """The file of FBPs, computed where it is missing (0.5 to 6 s an image on a CPU).

        Raises:
            UsageError: it has to be computed, and ASTRA or the observations are missing.
            DataError: it cannot be written.
        """
        root = self._root()
        found = find_fbp(root, self.part)
        if found is not None:
            return found
        first, count = list(self._counts().items())[-1]
        return compute_fbp(root, self.part, first + count, self._truth(first).shape[-1])

    def verify(self) -> VerifyReport:
        """Open every file of every part and count images and observations."""
        kinds = ("ground_truth", "observation") if self.observed else ("ground_truth",)
        expected = {f"{kind}_{part}": n for part, n in self.expected.items() for kind in kinds}
        return verify_lodopab(self._root(), expected)

    def _root(self) -> Path:
        return find_folder(self.name, "ground_truth_test_000.hdf5", self.root)

    def _counts(self) -> dict[int, int]:
        """Images of each file by the position of its first; a broken file counts as complete."""
        files = sorted(self._root().glob(f"ground_truth_{self.part}_[0-9][0-9][0-9].hdf5"))
        if not files:
            raise UnavailableError(
                f"suite {self.name!r} finds no ground_truth_{self.part}_*.hdf5 in {self._root()}; "
                f"unpack ground_truth_{self.part}.zip there"
            )
        counts = {}
        for path in files:
            first = PER_FILE * int(path.stem[-3:])
            try:
                with hdf5(path) as file:
                    counts[first] = len(dataset(file, "data"))
            except DataError:  # its cases stay listed, so that loading them reports the file
                counts[first] = max(1, min(PER_FILE, self.expected[self.part] - first))
        return counts

    def _truth(self, index: int) -> NDArray[np.float32]:
        number, row = divmod(index, PER_FILE)
        path = self._root() / f"ground_truth_{self.part}_{number:03d}.hdf5"
        with hdf5(path) as file:
            data = dataset(file, "data")
            if row >= len(data):
                raise DataError(f"no image {row} in {path}; it holds {len(data)}")
            return np.asarray(data[row], dtype=np.float32)

    def _fbp(self) -> "np.memmap[Any, np.dtype[np.float32]]":
        path = self.prepare()
        try:
            rows: np.memmap[Any, np.dtype[np.float32]] = np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(
                f"truncated or no array: {path} ({error}); delete it and run again"
            ) from error
        return rows

    def _crop(self, image: NDArray[np.float32]) -> "Tensor":
        """The central square of an image, as (1, 1, size, size)."""
        import torch

        top, left = ((side - self.size) // 2 for side in image.shape)
        if min(top, left) < 0:
            raise UsageError(
                f"suite {self.name!r}: size={self.size} exceeds the images, {image.shape}"
            )
        square = image[top : top + self.size, left : left + self.size]
        return torch.from_numpy(np.array(square, dtype=np.float32))[None, None]
