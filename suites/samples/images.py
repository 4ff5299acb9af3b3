"""The embedded suites: small real data, built once into the cache, read by the real loaders."""

from collections.abc import Mapping
from typing import ClassVar

from equibench.cases.suite import Case
from equibench.foundation.platform_folders import cache_folder
from equibench.registry.registries import register_suite
from equibench.suites.fastmri import FastMRI
from equibench.suites.imagenet import ImageNet
from equibench.suites.lodopab import LoDoPaB
from equibench.suites.reading.files import build_once
from equibench.suites.samples.build import PHOTOS, build_ct, build_mri, build_photos
from equibench.suites.samples.drawn_ct import drawn_scan
from equibench.suites.samples.drawn_mri import drawn_slice

__all__ = ["CTSample", "MRISample", "PhotoSample"]


@register_suite(
    "mri-sample",
    summary="embedded: 18 brain MRI slices, zero-filled at 4×; not the paper's data",
    extra="fastmri",
    modules=("fastmri", "h5py"),
)
class MRISample(FastMRI):
    """Slices (1, 1, 320, 320) of one patient's T1 brain MRI for each split.

    The magnitudes are real, the k-space is simulated from them (``build.simulate_kspace``).

    Args:
        split: ``train`` (20 slices) or ``val`` (18 slices of another patient).
        acceleration, center_fraction: as in ``FastMRI``.
    """

    name = "mri-sample"
    expected: ClassVar[Mapping[str, int]] = {"train": 20, "val": 18}
    volumes: ClassVar[Mapping[str, int]] = {"train": 1, "val": 1}
    parts: Mapping[str, Mapping[str, str | bool]] = {
        "train": {"split": "train"},
        "validation": {"split": "val"},
    }

    def __init__(
        self, split: str = "val", acceleration: int = 4, center_fraction: float = 0.08
    ) -> None:
        folder = build_once(cache_folder() / "mri-sample-v1", build_mri)
        super().__init__(str(folder), split, acceleration, center_fraction, per_slice=True)

    @classmethod
    def unavailable(cls) -> str | None:
        return None

    def draw(self, seed: int, number: int) -> Case:
        """A slice (1, 1, 320, 320) of one of several brains, as ``drawn_slice`` makes it."""
        import torch

        kspace, image = drawn_slice(seed, number)
        name = f"drawn/{seed}/{number}"  # it seeds the mask
        made = self._transform()(kspace, None, image, {"max": image.max()}, name, 0)
        return Case(
            name=name,
            input=made.image[None, None],
            target=torch.from_numpy(image)[None, None].float(),
            scale=made.std[None],
            offset=made.mean[None],
        )

    def _group(self, acquisition: str) -> str:
        return "all"


@register_suite(
    "ct-sample",
    summary="embedded: 12 thoracic CT slices with low-dose FBPs; not the paper's data",
    extra="ct",
    modules=("h5py",),
)
class CTSample(LoDoPaB):
    """CT slices (1, 1, 352, 352) of one patient for each part, prepared as LoDoPaB-CT is.

    Args:
        part: ``train`` (16 slices) or ``test`` (12 slices of another patient).
        size: as in ``LoDoPaB``.
    """

    name = "ct-sample"
    expected: ClassVar[Mapping[str, int]] = {"train": 16, "test": 12}
    parts: Mapping[str, Mapping[str, str | bool]] = {
        "train": {"part": "train"},
        "validation": {"part": "test"},
    }
    observed = False
    patient = "one"

    def __init__(self, part: str = "test", size: int = 352) -> None:
        folder = build_once(cache_folder() / "ct-sample-v1", build_ct)
        super().__init__(str(folder), part, size)

    @classmethod
    def unavailable(cls) -> str | None:
        return None

    def draw(self, seed: int, number: int) -> Case:
        """A slice (1, 1, size, size) of one of many bodies, as ``drawn_scan`` makes it."""
        image, target = (self._crop(each) for each in drawn_scan(seed, number))
        return Case(name=f"drawn/{seed}/{number}", input=image, target=target)


@register_suite(
    "photo-sample",
    summary="embedded: 12 photographs from scikit-image in grey; not the paper's data",
    extra="imagenet",
    modules=("torchvision", "skimage"),
)
class PhotoSample(ImageNet):
    """Photographs (1, 1, 224, 224) that come with scikit-image, prepared as ImageNet's are.

    Args:
        n: how many of them to take.
    """

    name = "photo-sample"
    expected = sum(len(names) for names in PHOTOS.values())

    def __init__(self, n: int = expected) -> None:
        folder = build_once(cache_folder() / "photo-sample-v1", build_photos)
        super().__init__(str(folder), n=n)

    @classmethod
    def unavailable(cls) -> str | None:
        return None
