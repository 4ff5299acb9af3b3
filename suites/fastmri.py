"""fastMRI single-coil: zero-filled reconstructions under a random Cartesian mask."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from equibench.cases.suite import Case, Suite
from equibench.errors import DataError, UnavailableError, UsageError
from equibench.foundation.file_names import as_path, as_text
from equibench.registry.registries import register_suite
from equibench.suites.reading.files import (
    choose,
    dataset,
    find_folder,
    hdf5,
    hdf5_attribute,
    no_data,
    visible,
    volume,
    volume_slice,
)
from equibench.suites.verify import VerifyReport, verify_fastmri

if TYPE_CHECKING:
    from torch import Size, Tensor

__all__ = ["FastMRI"]

GROUPS = {"CORPD_FBK": "PD", "CORPDFS_FBK": "PDFS"}


@register_suite(
    "fastmri",
    summary="fastMRI single-coil knee, zero-filled at 4× (the paper's tables 1 and 2)",
    extra="fastmri",
    modules=("fastmri", "h5py"),
)
class FastMRI(Suite):
    """fastMRI single-coil volumes, prepared by fastMRI's own ``UnetDataTransform``.

    A case is a volume: the input (N, 1, 320, 320) is normalised slice by slice and clamped to
    ±6, the target is ``reconstruction_esc`` in its own units, and an output times ``scale``
    plus ``offset`` is in those units. The mask is seeded by the file's name.

    Args:
        root: the folder that holds ``singlecoil_val``; else ``$EQUIBENCH_DATA/fastmri``.
        split: ``train`` or ``val``.
        acceleration: how many times fewer columns of k-space are kept.
        center_fraction: the share of columns kept around the centre of k-space.
        per_slice: whether a case is a slice, named ``volume:007``, instead of a volume.
    """

    name = "fastmri"
    clamp = 6.0
    images_per_case = 36
    parts: Mapping[str, Mapping[str, str | bool]] = {
        "train": {"split": "train", "per_slice": True},
        "validation": {"split": "val"},
    }
    expected: ClassVar[Mapping[str, int]] = {"train": 34742, "val": 7135}
    """Slices of a complete data set, by split."""
    volumes: ClassVar[Mapping[str, int]] = {"val": 199}
    """Its volumes, where the paper states them."""

    def __init__(
        self,
        root: str | None = None,
        split: str = "val",
        acceleration: int = 4,
        center_fraction: float = 0.08,
        per_slice: bool = False,
    ) -> None:
        self.root = root
        self.split = choose(self.name, "split", split, list(self.expected))
        if acceleration < 1 or not 0 < center_fraction <= 1:
            raise UsageError(
                f"suite {self.name!r}: acceleration={acceleration} must be at least 1 and "
                f"center_fraction={center_fraction} in (0, 1]"
            )
        self.acceleration = acceleration
        self.center_fraction = center_fraction
        self.per_slice = per_slice
        if per_slice:
            self.images_per_case = 1

    @classmethod
    def unavailable(cls) -> str | None:
        return no_data(cls.name, "singlecoil_val")

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        return {
            "split": self.split,
            "acceleration": self.acceleration,
            "center_fraction": self.center_fraction,
            "per_slice": self.per_slice,
        }

    def cases(self) -> list[str]:
        """File stems in sorted order, or ``stem:slice``; only the latter opens the files.

        Raises:
            UnavailableError: there is no data root, or no HDF5 file in it.
        """
        stems = sorted(as_text(path.stem) for path in visible(self._folder().glob("*.h5")))
        if not stems:
            raise UnavailableError(
                f"suite {self.name!r} finds no *.h5 in {self._folder()}; "
                f"unpack the fastMRI archive singlecoil_{self.split} there"
            )
        if not self.per_slice:
            return stems
        return [f"{stem}:{i:03d}" for stem in stems for i in range(self._slices(stem))]

    def load(self, name: str) -> Case:
        """Load a volume (N, 1, 320, 320), or one slice (1, 1, 320, 320).

        Raises:
            DataError: the file is missing, truncated, or lacks a dataset or an attribute.
        """
        import torch

        stem, _, index = name.rpartition(":") if self.per_slice else (name, "", "")
        path = self._path(stem)
        transform = self._transform()
        inputs, targets, means, stds = [], [], [], []
        with hdf5(path) as file:
            kspace, _ = volume(file)
            group = self._group(str(hdf5_attribute(file, "acquisition")))
            attributes = dict(file.attrs)
            for i in [int(index)] if index else range(len(kspace)):
                sample, target = _sample(file, i, transform)
                inputs.append(sample.image)
                targets.append(_center_crop(torch.from_numpy(target), sample.image.shape))
                means.append(sample.mean)
                stds.append(sample.std)
        return Case(
            name=name,
            group=group,
            cluster=str(attributes.get("patient_id", stem)),
            input=torch.stack(inputs)[:, None],
            target=torch.stack(targets)[:, None],
            scale=torch.stack(stds),
            offset=torch.stack(means),
        )

    def verify(self) -> VerifyReport:
        """Open every file of every split and count the slices."""
        transform = self._transform()
        return verify_fastmri(
            self._root(), self.expected, self.volumes, lambda file: _sample(file, 0, transform)
        )

    def _group(self, acquisition: str) -> str:
        return GROUPS.get(acquisition, acquisition)

    def _root(self) -> Path:
        return find_folder(self.name, "singlecoil_val", self.root)

    def _folder(self) -> Path:
        return self._root() / f"singlecoil_{self.split}"

    def _path(self, stem: str) -> Path:
        return as_path(str(self._folder() / f"{stem}.h5"))

    def _slices(self, stem: str) -> int:
        with hdf5(self._path(stem)) as file:
            return len(dataset(file, "kspace"))

    def _transform(self) -> Any:
        """A fresh transform for each load: it holds a random state that threads must not share."""
        from fastmri.data.subsample import RandomMaskFunc
        from fastmri.data.transforms import UnetDataTransform

        mask = RandomMaskFunc([self.center_fraction], [self.acceleration])
        return UnetDataTransform("singlecoil", mask, use_seed=True)


def _sample(file: Any, index: int, transform: Any) -> tuple[Any, Any]:
    """What fastMRI's transform makes of one slice, and the target of it as it is in the file.

    Raises:
        DataError: its sizes are not those that the transform takes, or it is not finite.
    """
    kspace, target = volume_slice(file, index)
    name = Path(file.filename).name
    try:
        return transform(kspace, None, target, dict(file.attrs), name, index), target
    except ValueError as error:
        raise DataError(
            f"slice {index} of {file.filename} cannot be cropped: kspace is {kspace.shape}, and "
            f"reconstruction_esc {target.shape} ({error}); fetch the file again"
        ) from error


def _center_crop(image: "Tensor", shape: "Size") -> "Tensor":
    """The central part (..., H, W) of an image, cut where the transform cuts the input."""
    top, left = ((image.shape[d] - shape[d]) // 2 for d in (-2, -1))
    return image[..., top : top + shape[-2], left : left + shape[-1]]
