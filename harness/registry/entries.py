"""What stands in a registry: a name, where its object comes from, what it says of itself."""

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from equibench.errors import UnavailableError, UsageError
from equibench.foundation.file_names import as_path

__all__ = ["Entry", "Info"]

T = TypeVar("T")


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
    """A name, where its object comes from, and how to get hold of it.

    Args:
        distribution: whose extras bring what is missing.
        file: the file or folder that the object reads, where it stands for one.
    """

    kind: str
    name: str
    origin: str
    distribution: str
    resolve: Callable[[], T]
    file: Path | None = None

    @property
    def is_prefix(self) -> bool:
        """Whether its name (``hf:``) stands before the paths of what it reads."""
        return self.name.endswith(":")

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
                f"{self.kind} {self.name!r} ({self.origin}) cannot be imported: {reason}",
                topic="broken-plugin",
            ) from error

    @property
    def info(self) -> Info:
        """The entry's metadata; an undecorated object has its docstring's first line."""
        info = getattr(self.object, "__equibench__", None)
        if isinstance(info, Info):
            return info
        return Info(summary=(inspect.getdoc(self.object) or "").partition("\n")[0])

    def of_file(self, reference: str) -> "Entry[T]":
        """An entry for one file or folder, of one that reads those of its suffix or prefix."""

        def resolve() -> Any:
            reader: Any = self.object
            bound = partial(reader, path)
            vars(bound)["__equibench__"] = self.info
            return bound

        path = as_path(reference.removeprefix(self.name) if self.is_prefix else reference)
        return Entry(
            self.kind, reference, f"{self.name} of {self.origin}", self.distribution, resolve, path
        )

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
                f"{self.kind} {self.name!r} needs {', '.join(absent)}{self._remedy()}",
                topic="missing-extra",
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
            raise UsageError(
                f"{self.kind} {self.name!r} ({self.origin}) is not callable",
                topic="no-network" if self.kind == "model" else "",
            )
        signature = inspect.signature(factory)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            takes = ", ".join(signature.parameters) or "no arguments"
            hint = ""
            if self.kind == "suite" and {"n", "limit", "max", "count"} & set(arguments):
                hint = "; --limit takes the first cases"
            if str(error).startswith("missing"):
                hint = f" (name what builds and returns the {self.kind}, not the {self.kind})"
            raise UsageError(
                f"{self.kind} {self.name!r}: {error}; it takes {takes}{hint}",
                topic="wrong-arguments",
            ) from None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the arguments that the object takes."""
        return tuple(inspect.signature(self.require()).parameters)  # type: ignore[arg-type]

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


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False
