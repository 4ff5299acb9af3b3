"""ImageNet photographs, prepared as the paper's out-of-distribution test prepares them."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from equibench.cases.suite import Case, Suite
from equibench.errors import UnavailableError, UsageError
from equibench.foundation.file_names import as_path, as_text
from equibench.registry.registries import register_suite
from equibench.suites.reading.files import find_folder, no_data, read_image, visible
from equibench.suites.verify import VerifyReport, verify_images

__all__ = ["ImageNet"]

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SUFFIXES = {".jpeg", ".jpg", ".png"}


@register_suite(
    "imagenet",
    summary="the first 1000 ImageNet validation images in grey (the paper's table 3)",
    extra="imagenet",
    modules=("torchvision",),
)
class ImageNet(Suite):
    """Photographs: resized to 256, cropped to 224, normalised, and only then turned grey.

    A case is one image (1, 1, 224, 224) without a target, named by its path below the folder.
    Folders come in sorted order, the images of each in sorted order; a flat folder will do.

    Args:
        root: the folder that holds ``val`` (or the images themselves); else
            ``$EQUIBENCH_DATA/imagenet``.
        split: the subfolder to read where there is one.
        n: how many images to take.
    """

    name = "imagenet"
    expected: ClassVar[int] = 50000
    """Images of a complete split."""

    def __init__(self, root: str | None = None, split: str = "val", n: int = 1000) -> None:
        if n < 1:
            raise UsageError(f"suite {self.name!r}: n={n} must be at least 1")
        self.root = root
        self.split = split
        self.n = n

    @classmethod
    def unavailable(cls) -> str | None:
        return no_data(cls.name, "val")

    @property
    def configuration(self) -> Mapping[str, str | int | float | bool]:
        return {"split": self.split, "n": self.n}

    def cases(self) -> list[str]:
        """Paths below the folder, with forward slashes.

        Raises:
            UnavailableError: there is no data root, or no image in it.
        """
        folder = self._folder()
        names = [
            as_text(path.relative_to(folder).as_posix()) for path in islice(_images(folder), self.n)
        ]
        if not names:
            raise UnavailableError(
                f"suite {self.name!r} finds no image in {folder}; it looks for "
                f"{', '.join(sorted(SUFFIXES))} there and one folder below"
            )
        return names

    def load(self, name: str) -> Case:
        """Load one image (1, 1, 224, 224).

        Raises:
            DataError: the file is missing, truncated or no image.
        """
        image = _transform()(read_image(as_path(str(self._folder() / name))))
        return Case(name=name, input=image[None])

    def verify(self) -> VerifyReport:
        """Decode every image of the split."""
        folder = self._folder()
        return verify_images(folder, _images(folder), self.split, self.expected)

    def _folder(self) -> Path:
        root = find_folder(self.name, "val", self.root)
        return root / self.split if (root / self.split).is_dir() else root


def _images(folder: Path) -> Iterator[Path]:
    """The images in a folder, then those in its subfolders, each in sorted order."""
    entries = sorted(visible(folder.iterdir()))
    yield from (path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file())
    for subfolder in (path for path in entries if path.is_dir()):
        yield from (
            path for path in sorted(visible(subfolder.iterdir())) if path.suffix.lower() in SUFFIXES
        )


@cache
def _transform() -> Any:
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
            transforms.Grayscale(),  # after normalising, as the paper's table 3 has it
        ]
    )
