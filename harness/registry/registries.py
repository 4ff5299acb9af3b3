"""One registry for models, suites, transforms, metrics, reports and treatments.

An object gets into it by a decorator or by an entry point of an installed distribution;
``module:attribute`` and ``path/to/file.py:attribute`` reach any other, ``path/to/net.onnx`` what
reads such files, ``hf:path/to/folder`` what is registered under that prefix. Nothing is imported
before it is asked for, and what fails to import is listed as broken and stops nobody else.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from equibench.errors import UsageError
from equibench.foundation.file_names import as_path
from equibench.registry.entries import Entry, Info
from equibench.registry.plugin_files import load_file
from equibench.registry.specs import weights_of

__all__ = [
    "DISPLAYS",
    "METRICS",
    "MODELS",
    "REPORTS",
    "SUITES",
    "TRACKERS",
    "TRANSFORMS",
    "TREATMENTS",
    "Entry",
    "Info",
    "Registry",
    "register_metric",
    "register_model",
    "register_report",
    "register_suite",
    "register_tracker",
    "register_transform",
    "register_treatment",
]

_DISTRIBUTIONS = {".dist-info", ".egg-info", ".egg", ".egg-link"}

T = TypeVar("T")


class Registry(Generic[T]):
    """The objects of one kind, by name."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.group = f"equibench.{kind}s"
        self._decorated: dict[str, Entry[T]] = {}

    def register(
        self,
        name: str,
        *,
        summary: str = "",
        modules: tuple[str, ...] = (),
        extra: str | None = None,
        weights: Mapping[str, Path] | None = None,
        **details: str | int | float | bool,
    ) -> Callable[[T], T]:
        """Decorate a factory (or an object) to register it under ``name``.

        Raises:
            UsageError: the name is taken by another object; the message shows both.
        """

        def decorate(target: T) -> T:
            line = summary or (inspect.getdoc(target) or "").partition("\n")[0]
            target.__equibench__ = Info(line, modules, extra, details, weights or {})  # type: ignore[attr-defined]
            module = str(getattr(target, "__module__", ""))
            taken = self._taken(name, module, target)
            if taken:
                raise UsageError(
                    f"{self.kind} {name!r} is already {taken}; {_named(target)} needs another name"
                )
            self._decorated[name] = Entry(
                self.kind, name, f"decorated in {module}", module.partition(".")[0], lambda: target
            )
            return target

        return decorate

    def entries(self) -> list[Entry[T]]:
        """Every entry, by name; where two share a name both are listed, ours first."""
        listed = sorted(self._entry_points(), key=lambda entry: entry.name)
        names = {entry.name for entry in listed}
        return sorted(
            [*listed, *(e for e in self._decorated.values() if e.name not in names)],
            key=lambda entry: entry.name,
        )

    def get(self, reference: str) -> Entry[T]:
        """The entry for a name, a ``module:attribute``, a ``path/to/file.py:attribute`` or a file.

        What reads files of a kind is registered under their suffix (``.onnx``), or under a prefix
        (``hf:``) that stands before their path.

        Raises:
            UsageError: nothing has that name; the closest names come first.
        """
        entries = self.entries()
        for entry in entries:
            if entry.name == reference:
                return entry  # the first: equibench's own, where a plugin took its name
        for entry in entries:
            if entry.is_prefix and reference.startswith(entry.name):
                return entry.of_file(reference)
        path, colon, attribute = reference.rpartition(":")
        if colon and path.endswith(".py"):
            return self._external(reference, lambda: _attribute(load_file(path), attribute))
        if colon and path and "/" not in path and not as_path(path).is_file():
            return self._external(
                reference, lambda: _attribute(importlib.import_module(path), attribute)
            )
        suffix = Path(reference).suffix
        for entry in entries:
            if suffix and entry.name == suffix:
                return entry.of_file(reference)
        raise UsageError(self._unknown(reference), topic="unknown-name")

    def _taken(self, name: str, module: str, target: object) -> str | None:
        """Where another object of that name is defined; importing a module twice is no clash."""
        points = [point for point in _points(self.group) if point.name == name]
        if points:  # several distributions may announce one name, in the order of the path
            mine = any(point.module == module for point in points)
            return None if mine else points[0].value
        if name not in self._decorated:
            return None
        elsewhere = _named(self._decorated[name].object)
        return elsewhere if elsewhere != _named(target) else None

    def _external(self, reference: str, resolve: Callable[[], Any]) -> Entry[T]:
        return Entry(self.kind, reference, reference, "", resolve)

    def _unknown(self, name: str) -> str:
        names = [entry.name for entry in self.entries()]
        if "/" in name or as_path(name).is_file():
            return self._unread(name, [known for known in names if known.startswith(".")])
        close = get_close_matches(name, names, n=3, cutoff=0.75)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        return f"no {self.kind} is called {name!r}.{hint} There are: {', '.join(names)}"

    def _unread(self, name: str, suffixes: Sequence[str]) -> str:
        """What is said of a path that names none of this kind."""
        path, colon, attribute = name.rpartition(":")
        file = path if colon else name
        if not as_path(file).exists():
            return f"no {self.kind} is called {name!r}, and there is no file {file}"
        if file.endswith(".py"):
            return (
                f"{file} is a file of Python: name what builds the {self.kind} in it, {file}:build"
            )
        if not suffixes:
            return (
                f"{file} is no {self.kind}, but may be the data of one: name that one, and "
                f"--data NAME={file}"
            )
        return (
            f"{file} holds no {self.kind} that can be read (files of one end in "
            f"{', '.join(suffixes)}): where it holds weights, name what builds the network, "
            f"path/to/net.py:{attribute if colon else 'build'},{weights_of(file)}"
        )

    def _entry_points(self) -> Iterator[Entry[T]]:
        """Entry points of installed distributions, equibench's own first, each name once."""
        found: dict[str, Entry[T]] = {}
        points = [(_distribution(p), p) for p in _points(self.group)]
        own_first = sorted(points, key=lambda named: (named[0] != "equibench", named[0]))
        for distribution, point in own_first:
            origin = _origin(point)
            entry: Entry[T] = Entry(self.kind, point.name, origin, distribution, point.load)
            taken = found.setdefault(point.name, entry)
            if taken is entry:
                yield entry
            elif taken.origin != entry.origin:
                yield Entry(self.kind, point.name, origin, distribution, _refuse(taken, point))


def _refuse(taken: Entry[Any], point: metadata.EntryPoint) -> Callable[[], Any]:
    def resolve() -> Any:
        raise UsageError(f"the name is taken by {taken.origin}; {point.value} needs another")

    return resolve


def _points(group: str) -> metadata.EntryPoints:
    """The entry points of a group, read again where something has been installed since."""
    folders = ((folder, _changed(folder)) for folder in sys.path)
    return _of_group(group, tuple(f for f in folders if _holds_any(*f)))


@lru_cache(maxsize=16)
def _of_group(group: str, folders: tuple[tuple[str, int], ...]) -> metadata.EntryPoints:
    points: metadata.EntryPoints = _installed(folders).select(group=group)
    return points


@lru_cache(maxsize=1)
def _installed(folders: tuple[tuple[str, int], ...]) -> Any:
    return metadata.entry_points()


@lru_cache(maxsize=256)
def _holds_any(folder: str, changed: int) -> bool:
    """Whether distributions may be installed there: the path also has folders of plugin files."""
    try:
        return any(Path(name).suffix in _DISTRIBUTIONS for name in os.listdir(folder or "."))
    except FileNotFoundError:
        return False
    except OSError:
        return True  # an archive, or what cannot be listed


def _changed(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def _distribution(point: metadata.EntryPoint) -> str:
    return _origin(point).partition(" ")[0]


def _origin(point: metadata.EntryPoint) -> str:
    return _name_and_version(point.dist) if point.dist else ""


@cache
def _name_and_version(distribution: metadata.Distribution) -> str:
    """Reading them parses all metadata: once is enough."""
    return f"{distribution.name} {distribution.version}"


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        public = [n for n in vars(module) if not n.startswith("_")]
        close = get_close_matches(name, public, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        source = Path(module.__file__ or module.__name__).name
        raise AttributeError(f"{source} has no {name!r}{hint}") from None


def _named(target: object) -> str:
    """Where an object is defined, as messages show it."""
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{getattr(target, '__module__', '?')}:{name}"


MODELS: Registry[Callable[..., Any]] = Registry("model")
SUITES: Registry[Callable[..., Any]] = Registry("suite")
TRANSFORMS: Registry[Callable[..., Any]] = Registry("transform")
METRICS: Registry[Any] = Registry("metric")
REPORTS: Registry[Callable[..., Any]] = Registry("report")
TREATMENTS: Registry[Callable[..., Any]] = Registry("treatment")
TRACKERS: Registry[Callable[..., Any]] = Registry("tracker")
DISPLAYS: Registry[Callable[..., Any]] = Registry("display")
"""How a result shows itself in a notebook."""

register_model = MODELS.register
register_suite = SUITES.register
register_transform = TRANSFORMS.register
register_metric = METRICS.register
register_report = REPORTS.register
register_treatment = TREATMENTS.register
register_tracker = TRACKERS.register
