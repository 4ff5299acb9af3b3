"""The image files below a folder: found quickly, in a fixed order, and paired by their stems."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from glob import iglob
from pathlib import Path

from equibench.errors import UnavailableError, UsageError
from equibench.foundation.file_names import as_path, as_text
from equibench.suites.reading.image_files import SUFFIXES

__all__ = [
    "ORDERS",
    "Partners",
    "existing_folder",
    "image_files",
    "pattern_of",
    "stem_of",
    "suffix_of",
]


_SUFFIX = re.compile(r"(?:\.nii)?\.[^./]+$")
_DIGITS = re.compile(r"(\d+)")


def _parts(name: str) -> list[str | int]:
    """Numbers count as numbers: ``img2`` comes before ``img10``."""
    parts: list[str | int] = list(_DIGITS.split(name))
    parts[1::2] = map(int, parts[1::2])  # text and numbers take turns
    return parts


ORDERS: dict[str, Callable[[str], object]] = {
    "name": lambda name: name,
    "natural": _parts,
    "random": lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest(),
}
"""The orders of files, by what ``sort`` calls them; a random one follows from the names alone."""


def image_files(folder: Path, pattern: str, order: str, without: Iterable[Path] = ()) -> list[str]:
    """The paths of image files below a folder, relative to it and with forward slashes.

    Hidden files and folders are left out; other systems leave ``._name`` beside what they copy.

    Args:
        pattern: of ``glob``, relative to the folder; without one every file whose suffix is one of
            ``SUFFIXES``.
        order: one of ``ORDERS``.
        without: folders to leave out.

    Raises:
        UnavailableError: a folder cannot be read.
    """
    found: Iterator[str]
    if pattern:
        found = (
            name.replace(os.sep, "/")
            for name in iglob(pattern, root_dir=folder, recursive=True)
            if os.path.isfile(f"{folder}/{name}")
        )
    else:
        found = _below(str(folder), "", frozenset({os.path.realpath(folder)}))
    left_out = tuple(f"{each}/" for each in _relative(without, folder))
    return sorted((n for n in found if not n.startswith(left_out)), key=ORDERS[order])  # type: ignore[arg-type]


def _relative(folders: Iterable[Path], to: Path) -> Iterator[str]:
    for folder in folders:
        if folder.resolve().is_relative_to(to.resolve()) and folder.resolve() != to.resolve():
            yield folder.resolve().relative_to(to.resolve()).as_posix()


def _below(folder: str, prefix: str, above: frozenset[str]) -> Iterator[str]:
    """Image files in a folder and below; a link to a folder above is not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                if name.lower().endswith(SUFFIXES) and not entry.is_dir():
                    yield prefix + name
                elif entry.is_dir():
                    real = os.path.realpath(entry.path)
                    if real not in above:
                        yield from _below(entry.path, f"{prefix}{name}/", above | {real})
    except OSError as error:
        raise UnavailableError(f"cannot read the folder {folder}: {error.strerror}") from None


def suffix_of(name: str) -> str:
    """The suffix that says what kind of file it is; ``.nii.gz`` is one."""
    found = _SUFFIX.search(name.lower())
    return found[0] if found else ""


def stem_of(name: str) -> str:
    """A relative path without its suffix."""
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix else name


class Partners:
    """Files of another folder, paired with images by relative path and stem.

    Args:
        setting: what names the folder, for messages.

    Raises:
        UnavailableError: there is no such folder.
    """

    def __init__(self, setting: str, folder: str) -> None:
        self.setting, self.folder = setting, existing_folder(setting, folder)
        self._files: dict[str, list[str]] | None = None

    def of(self, image: str) -> list[str]:
        """The files that an image may be paired with: one, where all is well."""
        if self._files is None:
            files: dict[str, list[str]] = {}
            for name in image_files(self.folder, "", "name"):
                files.setdefault(stem_of(as_text(name)), []).append(name)
            self._files = files
        return self._files.get(stem_of(as_text(image)), [])


def existing_folder(setting: str, text: str) -> Path:
    """The folder that a setting names.

    Raises:
        UnavailableError: it is none.
    """
    folder = as_path(str(text))
    if not folder.is_dir():
        what = "a file" if folder.exists() else "no folder"
        raise UnavailableError(f"suite 'folder': {setting}={text} is {what}")
    return folder


def pattern_of(setting: str, text: str | None) -> re.Pattern[str] | None:
    """The regular expression of a setting.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    try:
        return re.compile(str(text))
    except re.error as error:
        raise UsageError(
            f"suite 'folder': {setting}={text} is no regular expression: {error}"
        ) from None
