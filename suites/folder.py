"""Anyone's images: a folder of photographs, arrays or scans, and their ground truths."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from equibench.cases.suite import Case, Suite
from equibench.errors import DataError, UnavailableError, UsageError
from equibench.foundation.file_names import as_path, as_text
from equibench.registry.registries import register_suite
from equibench.suites.preparation import Pixels, Preparation
from equibench.suites.reading.files import choose
from equibench.suites.reading.folder_listing import (
    ORDERS,
    Partners,
    existing_folder,
    image_files,
    pattern_of,
    suffix_of,
)
from equibench.suites.reading.image_files import (
    Picture,
    missing_readers,
    read_picture,
    volume_shape,
)
from equibench.suites.verify import Held, VerifyReport, verify_folder

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Folder"]


@register_suite("folder", summary="any folder of images: -s folder,path=DIR", extra="folder")
class Folder(Suite):
    """The images below a folder: PNG, JPEG, TIFF, WebP, BMP, ``.npy``, NIfTI, DICOM, NRRD.

    A case is an image (1, C, H, W), named by its path below the folder, or a slice of a volume
    (``scan.nii.gz:017``), or a volume (slices, 1, H, W). For networks of volumes it is
    (1, 1, D, H, W), for those of signals (1, C, L). Photographs stand the right way up.

    Args:
        path: the folder.
        targets: the folder of ground truths, paired by relative path and stem.
        labels: the folder of label maps, paired likewise: classes in whole numbers, of palettes
            their numbers. The suite is then measured by ``agreement``, ``iou`` and ``dice``.
        ignore: the number of pixels whose class is not known, 255 by default; -1 for none. Without
            it a mask of 0 and 255 alone is black and white, classes 0 and 1.
        mode: ``grey`` (ITU-R BT.601), ``rgb`` (grey three times), both without alpha, or ``asis``.
        range: ``LOW..HIGH``, what black and white of whole numbers become: 0 and 255 of a byte, 0
            and 65535 of 16 bits; ``0..1`` by default. What has units of its own (floats, signed
            numbers, Hounsfield units) keeps them.
        size: ``256`` resizes the shorter side, ``256x320`` both.
        crop: ``256`` or ``256x320`` of the centre.
        glob: which files, ``**/*_t1.nii.gz``; by default all with a known suffix.
        group: what tables keep apart: ``folder``, the first one below ``path``, or a regular
            expression that finds it in the path, its first parenthesis or all of it.
        cluster: a regular expression as for ``group``: images of one patient or scene are not
            independent.
        axis: slice volumes along this axis of their arrays.
        volume: a case is a whole volume, its slices along ``axis``, which pass through the network
            one by one.
        dims: 3 where the network takes volumes as a whole, D along ``axis``; 1 where the files are
            signals, arrays (L,) or (C, L).
        sort: ``name``, ``natural`` (2 before 10) or ``random``, which follows from the names alone.
        n: only so many cases.

    Raises:
        UsageError: a setting that cannot be read.
        UnavailableError: a folder that does not exist.
    """

    def __init__(
        self,
        path: str | None = None,
        root: str | None = None,
        targets: str | None = None,
        labels: str | None = None,
        ignore: int | None = None,
        mode: str = "grey",
        range: str | None = None,
        size: int | str | None = None,
        crop: int | str | None = None,
        glob: str = "",
        group: str | None = None,
        cluster: str | None = None,
        axis: int | None = None,
        volume: bool = False,
        dims: int = 2,
        sort: str = "name",
        n: int | None = None,
    ) -> None:
        given = path or root
        if not given:
            raise UsageError("suite 'folder' needs a folder: -s folder,path=DIR")
        self.folder = existing_folder("path", given)
        self.name = f"folder:{as_text(self.folder.resolve().name)}"
        self.targets = Partners("targets", targets) if targets else None
        self.labels = Partners("labels", labels) if labels else None
        if targets and labels:
            raise UsageError("suite 'folder': targets and labels are both a ground truth: take one")
        if labels:
            self.metrics = ("agreement", "iou", "dice")
        self.sort = choose("folder", "sort", sort, list(ORDERS))
        self.prepared = Preparation(mode, range, size, crop, ignore)
        self.glob = glob
        self.group = None if group == "folder" else pattern_of("group", group)
        self.by_folder = group == "folder"
        self.cluster = pattern_of("cluster", cluster)
        if axis is not None and axis not in (0, 1, 2):
            raise UsageError(f"suite 'folder': axis={axis} is not 0, 1 or 2")
        if n is not None and n < 1:
            raise UsageError(f"suite 'folder': n={n} must be at least 1")
        if dims not in (1, 2, 3):
            raise UsageError(f"suite 'folder': dims={dims} is not 1, 2 or 3")
        if dims == 1 and (size or crop or volume or axis is not None):
            raise UsageError(
                "suite 'folder': dims=1 has no size, crop, axis or volume: leave it out"
            )
        self.axis, self.volume, self.n = axis, volume or dims == 3, n
        self.axes = dims
        if self.volume and dims == 2:
            self.images_per_case = 32
        self._given: dict[str, str | int | float | bool] = {
            "targets": targets is not None,
            "labels": labels is not None,
            "ignore": 255 if ignore is None else ignore,
            "mode": mode,
            "range": range or "",
            "size": size or "",
            "crop": crop or "",
            "glob": glob,
            "group": group or "",
            "cluster": cluster or "",
            "axis": "" if axis is None else axis,
            "volume": volume,
            "sort": sort,
            **({} if dims == 2 else {"dims": dims}),  # as it was before there were others
        }

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        return self._given

    def cases(self) -> Sequence[str]:
        """Paths below the folder, with ``:slice`` where volumes are sliced.

        Raises:
            UnavailableError: there is no image, or what reads them is not installed.
            UsageError: no image has a ground truth.
        """
        names = self._files()
        if not names:
            looked = f"matches {self.glob}" if self.glob else "has a suffix of an image"
            raise UnavailableError(f"suite {self.name!r}: no file in {self.folder} {looked}")
        suffixes = {suffix_of(name) for name in names}
        for module, of in missing_readers(suffixes).items():
            raise UnavailableError(
                f"suite {self.name!r}: {', '.join(of)} files need {module}; "
                "pip install 'equibench[folder]', or choose others with glob=…"
            )
        for partners in filter(None, (self.targets, self.labels)):
            if not any(map(partners.of, names)):
                raise UsageError(
                    f"suite {self.name!r}: no file in {partners.folder} has the path and stem of "
                    f"an image, such as {as_text(names[0])}"
                )
        if self.axis is None or self.volume:
            return [as_text(name) for name in names[: self.n]]
        return list(islice((s for name in names for s in self._slices(name)), self.n))

    def load(self, name: str) -> Case:
        """Load one image (1, C, H, W), or a volume (slices, 1, H, W), or what ``dims`` asks for.

        Raises:
            DataError: a file is missing, truncated, no image, has no partner, or does not fit; the
                message names it.
        """
        file, index = self._file(name)
        return self._case(name, file, index, self._read(file))

    def verify(self) -> VerifyReport:
        """Read every file as a run would, and say what kinds, sizes and values there are."""
        return verify_folder(self.folder, self._files(), self._look)

    def _look(self, file: str) -> Held:
        """What a file holds, once a run can load all that it makes of it."""
        found = self._read(file)
        slices = self._slices(file) if found.is_volume and not self.volume else [file]
        for name in slices:
            self._case(name, *self._file(name), found)
        return Held(found.kind, found.size, float(found.values.min()), float(found.values.max()))

    def _read(self, file: str) -> Picture:
        return self._picture(as_path(str(self.folder / file)))

    def _picture(self, path: Path, *, classes: bool = False) -> Picture:
        sliced = self.axis is not None or self.volume
        found = read_picture(path, classes=classes, volume=sliced, signal=self.axes == 1)
        if self.axes == 3 and not found.is_volume:
            raise DataError(f"{path} is no volume, but of {found.size}: leave dims=3 out")
        return found

    def _case(self, name: str, file: str, index: int | None, found: Picture) -> Case:
        group = "all" if self.group is None else self._found("group", self.group, file)
        if self.by_folder:
            group = file.partition("/")[0] if "/" in file else "all"
        cluster = "" if self.cluster is None else self._found("cluster", self.cluster, file)
        path = as_path(str(self.folder / file))
        images = self.prepared.image(path, self._taken(path, found, index))
        partners = self.targets or self.labels
        target = None
        if partners is not None:
            partner = self._partner(partners, file)
            held = self._picture(partner, classes=self.labels is not None)
            prepare = self.prepared.image if self.labels is None else self.prepared.classes
            target = prepare(partner, self._taken(partner, held, index))
            _fits(partner, target, path, images)
            target = self._in_space(target)
        images = self._in_space(images)
        return Case(name=name, input=images, target=target, group=group, cluster=cluster)

    def _in_space(self, images: "Tensor") -> "Tensor":
        """Slices (D, 1, H, W) as a volume (1, 1, D, H, W), and rows (1, 1, C, L) as a signal."""
        if self.axes == 1:
            return images[:, 0]
        return images if self.axes == 2 else images.movedim(0, 1)[None].contiguous()

    def _files(self) -> list[str]:
        partners = [each.folder for each in (self.targets, self.labels) if each is not None]
        return image_files(self.folder, self.glob, self.sort, partners)

    def _slices(self, name: str) -> Iterator[str]:
        """The cases of a file; one that cannot be read is one, so that loading it says why."""
        try:
            shape = volume_shape(self.folder / name)
        except DataError:
            shape = None
        if shape is None:
            yield as_text(name)
        else:
            assert self.axis is not None
            yield from (f"{as_text(name)}:{i:03d}" for i in range(shape[self.axis]))

    def _file(self, name: str) -> tuple[str, int | None]:
        """The file of a case, and which slice of it."""
        file, colon, index = name.rpartition(":")
        if self.axis is None or self.volume or not colon or not index.isdecimal():
            return name, None
        return file, int(index)

    def _taken(self, path: Path, found: Picture, index: int | None) -> Pixels:
        """What is of a case."""
        values = found.values
        if found.axis is None:
            return Pixels(values[None], found.white, found.alpha)
        if index is None and not self.volume:
            shape = "×".join(map(str, values.shape))
            raise DataError(
                f"{path} is a volume, {shape}: axis={found.axis} takes its slices, volume=true all "
                "of them as one case"
            )
        slices = np.moveaxis(values, found.axis if self.axis is None else self.axis, 0)
        if index is not None:
            if index >= len(slices):
                raise DataError(f"{path} has no slice {index}, but {len(slices)}")
            slices = slices[index : index + 1]
        return Pixels(slices[..., None], found.white, alpha=False)

    def _partner(self, partners: Partners, file: str) -> Path:
        """The file that an image is paired with.

        Raises:
            DataError: there is none, or more than one.
        """
        found = partners.of(file)
        if len(found) == 1:
            return partners.folder / found[0]
        many = f"{len(found)} files, {', '.join(map(as_text, found))}" if found else "no file"
        raise DataError(
            f"{as_text(file)} has {many} in {partners.setting}={partners.folder}: one of the same "
            "path and stem is wanted"
        )

    def _found(self, setting: str, pattern: re.Pattern[str], file: str) -> str:
        match = pattern.search(file)
        if match is None:
            raise DataError(f"{setting}={pattern.pattern} is not found in {as_text(file)}")
        return (match[1] if pattern.groups else match[0]) or "all"


def _fits(partner: Path, target: "Tensor", path: Path, images: "Tensor") -> None:
    """A ground truth is as large as its image, or larger by a whole factor (super-resolution)."""
    (height, width), (h, w) = target.shape[-2:], images.shape[-2:]
    if len(target) != len(images) or height % h or width % w or height // h != width // w:
        raise DataError(
            f"{partner} is {len(target)} of {height}×{width}, and {path} {len(images)} of "
            f"{h}×{w}: a pair has one size, or the ground truth a whole multiple of it"
        )
