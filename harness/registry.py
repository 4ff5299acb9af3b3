"""One registry for models, suites, metrics and reports.

An object gets into it by a decorator or by an entry point of an installed distribution;
``module:attribute`` and ``path/to/file.py:attribute`` reach any other. Nothing is imported
before it is asked for, and what fails to import is listed as broken and stops nobody else.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from equibench.errors import UnavailableError, UsageError

__all__ = [
    "FILE_MODULE",
    "METRICS",
    "MODELS",
    "REPORTS",
    "SUITES",
    "Entry",
    "Info",
    "Registry",
    "register_metric",
    "register_model",
    "register_report",
    "register_suite",
]

T = TypeVar("T")

FILE_MODULE = "equibench_file_"
"""How the modules are called that plugin files are loaded as."""


@dataclass(frozen=True)
class Info:
    """What an entry says about itself.

    Args:
        summary: one line for ``equibench ls``.
        modules: what must be importable for the entry to run.
        extra: the extra of its distribution that installs those modules.
        details: free metadata (padding, total stride, licence, …), stored with every run.
        weights: files of packaged weights, by the name that ``weights=`` takes.
    """

    summary: str = ""
    modules: tuple[str, ...] = ()
    extra: str | None = None
    details: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A name, where its object comes from, and how to get hold of it."""

    kind: str
    name: str
    origin: str
    distribution: str
    resolve: Callable[[], T]

    @cached_property
    def object(self) -> T:
        """The registered object.

        Raises:
            UnavailableError: its module cannot be imported; the message says why.
        """
        try:
            return self.resolve()
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UnavailableError(
                f"{self.kind} {self.name!r} ({self.origin}) cannot be imported: {reason}"
            ) from error

    @property
    def info(self) -> Info:
        """The entry's metadata; an undecorated object has its docstring's first line."""
        info = getattr(self.object, "__equibench__", None)
        if isinstance(info, Info):
            return info
        return Info(summary=(inspect.getdoc(self.object) or "").partition("\n")[0])

    def unavailable(self) -> str | None:
        """Why the entry cannot run here and what mends it; None where it can."""
        try:
            target = self.require()
        except UnavailableError as error:
            return str(error)
        reason = getattr(target, "unavailable", None)
        return reason() if callable(reason) else None

    def require(self) -> T:
        """The object, once everything it needs is importable.

        Raises:
            UnavailableError: it is broken, or an extra is missing.
        """
        absent = [name for name in self.info.modules if not _importable(name)]
        if absent:
            raise UnavailableError(
                f"{self.kind} {self.name!r} needs {', '.join(absent)}{self._remedy()}"
            )
        return self.object

    def check(self, arguments: Mapping[str, Any]) -> None:
        """See whether the object is a factory that takes these arguments.

        Raises:
            UnavailableError: it is broken, or an extra is missing.
            UsageError: an argument that it does not take, with the ones it does.
        """
        factory = self.require()
        if not isinstance(factory, type) and hasattr(factory, "parameters"):
            if arguments:  # a network, not what builds one
                raise UsageError(
                    f"{self.kind} {self.name!r} is built already: it takes no arguments"
                )
            return
        if not callable(factory):
            raise UsageError(f"{self.kind} {self.name!r} ({self.origin}) is not callable")
        signature = inspect.signature(factory)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            takes = ", ".join(signature.parameters) or "no arguments"
            hint = ""
            if str(error).startswith("missing"):
                hint = f" (name what builds and returns the {self.kind}, not the {self.kind})"
            raise UsageError(
                f"{self.kind} {self.name!r}: {error}; it takes {takes}{hint}"
            ) from None

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments and the factory's defaults for all others."""
        bound = inspect.signature(self.require()).bind(**arguments)  # type: ignore[arg-type]
        bound.apply_defaults()
        return bound.arguments

    def _remedy(self) -> str:
        """The command that installs what is missing, where an extra is known to bring it."""
        extra = self.info.extra
        return (
            f"; pip install '{self.distribution}[{extra}]'" if extra and self.distribution else ""
        )


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
                    f"{self.kind} {name!r} is already {taken}; {_place(target)} needs another name"
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
        """The entry for a name, a ``module:attribute`` or a ``path/to/file.py:attribute``.

        Raises:
            UsageError: nothing has that name; the closest names come first.
        """
        for entry in self.entries():
            if entry.name == reference:
                return entry  # the first: equibench's own, where a plugin took its name
        path, colon, attribute = reference.rpartition(":")
        if colon and path.endswith(".py"):
            return self._external(reference, lambda: _attribute(_load_file(path), attribute))
        if colon and path:
            return self._external(
                reference, lambda: _attribute(importlib.import_module(path), attribute)
            )
        raise UsageError(self._unknown(reference))

    def _taken(self, name: str, module: str, target: object) -> str | None:
        """Where another object of that name is defined; importing a module twice is no clash."""
        for point in metadata.entry_points(group=self.group, name=name):
            return point.value if point.module != module else None
        if name not in self._decorated:
            return None
        place = _place(self._decorated[name].object)
        return place if place != _place(target) else None

    def _external(self, reference: str, resolve: Callable[[], Any]) -> Entry[T]:
        return Entry(self.kind, reference, reference, "", resolve)

    def _unknown(self, name: str) -> str:
        names = [entry.name for entry in self.entries()]
        close = get_close_matches(name, names, n=3, cutoff=0.75)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        return f"no {self.kind} is called {name!r}.{hint} There are: {', '.join(names)}"

    def _entry_points(self) -> Iterator[Entry[T]]:
        """Entry points of installed distributions, equibench's own first, each name once."""
        found: dict[str, Entry[T]] = {}
        points = metadata.entry_points(group=self.group)
        own_first = sorted(
            points, key=lambda p: (_distribution(p) != "equibench", _distribution(p))
        )
        for point in own_first:
            distribution = _distribution(point)
            version = point.dist.version if point.dist else ""
            origin = f"{distribution} {version}".strip()
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


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else ""


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        public = [n for n in vars(module) if not n.startswith("_")]
        close = get_close_matches(name, public, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        source = Path(module.__file__ or module.__name__).name
        raise AttributeError(f"{source} has no {name!r}{hint}") from None


def _load_file(path: str) -> ModuleType:
    """Import one Python file under a name of its own, its folder visible while it loads."""
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    name = f"{FILE_MODULE}{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(file.parent))
    return module


def _place(target: object) -> str:
    """Where an object is defined, as messages show it."""
    name = getattr(target, "__qualname__", type(target).__qualname__)
    return f"{getattr(target, '__module__', '?')}:{name}"


MODELS: Registry[Callable[..., Any]] = Registry("model")
SUITES: Registry[Callable[..., Any]] = Registry("suite")
METRICS: Registry[Any] = Registry("metric")
REPORTS: Registry[Callable[..., Any]] = Registry("report")

register_model = MODELS.register
register_suite = SUITES.register
register_metric = METRICS.register
register_report = REPORTS.register
