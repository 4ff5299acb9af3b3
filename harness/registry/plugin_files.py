"""Plugin files, and the repositories they stand in: each has modules of its own.

Research repositories have packages called ``models``, ``utils`` or ``layers``. A repository's
modules are in ``sys.modules``, and its folders on ``sys.path``, only while its code runs: while a
file of it is imported, while a network of it is built, and during ``forward``. Two repositories
never see each other's, and the harness none of theirs.

What this cannot keep apart is what runs beside that code: threads that import, changed working
folders, patches to libraries. ``--isolate`` gives such a model a process of its own.
"""

import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import is_
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import ClassVar

from equibench.foundation.file_names import as_path

__all__ = ["Repository", "load_file", "repository_of", "sources_beside", "visible"]

_FILE_MODULE = "equibench_file_"
"""How the modules are called that plugin files are loaded as."""

_MARKERS = (".git", "pyproject.toml", "setup.py", "setup.cfg")
"""What stands in the topmost folder of a repository."""

_LOCK = RLock()
"""``sys.modules`` belongs to the whole process: one repository is visible at a time."""


class Repository:
    """The modules that come from the folders of one repository.

    Args:
        folders: what its code expects on ``sys.path``.
    """

    known: ClassVar[dict[tuple[str, ...], "Repository"]] = {}

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = list(folders)
        self.modules: dict[str, ModuleType] = {}
        self._visible = False

    @classmethod
    def of(cls, file: Path) -> "Repository":
        """The repository of a file: the folder above its package, and the topmost one."""
        folder = _above_package(file)
        folders = [folder]
        top = next((f for f in file.parents if any((f / m).exists() for m in _MARKERS)), folder)
        folders += [top] if top != folder else []
        key = tuple(map(str, folders))
        if key not in cls.known:
            importlib.invalidate_caches()  # folders and files may have come into being just now
            cls.known[key] = cls(key)
        return cls.known[key]

    @contextmanager
    def visible(self) -> Iterator[None]:
        """Let the code of this repository see its own modules, and take them away again."""
        with _LOCK:
            if self._visible:
                yield
                return
            path, displaced = list(sys.path), self._displace()
            sys.modules.update(self.modules)
            sys.path[:0] = self.folders
            before = dict(sys.modules)
            self._visible = True
            try:
                yield
            finally:
                self._visible = False
                self.folders += [p for p in sys.path if p not in (*path, *self.folders)]
                sys.path[:] = path
                self._take(before)
                sys.modules.update(displaced)

    def load(self, file: Path) -> ModuleType:
        """Import one of its files; nothing is left of an import that fails."""
        name = _module_name(file)
        kept = dict(self.modules)
        try:
            with self.visible():
                if name in sys.modules:
                    return sys.modules[name]
                if "." in name:  # in a package, whose relative imports need its name
                    return importlib.import_module(name)
                module = _load_alone(name, file)
            self.modules[name] = module
            return module
        except BaseException:
            self.modules = kept
            raise

    def _names(self) -> set[str]:
        """The top-level modules that are this repository's own."""
        names = {name.partition(".")[0] for name in self.modules}
        for folder in map(Path, self.folders):
            if folder.is_dir():
                for entry in folder.iterdir():
                    loaded = sys.modules.get(entry.name)
                    # a mere folder stands back behind a package that is elsewhere
                    bare = entry.is_dir() and getattr(loaded, "__file__", "") is None
                    if bare or entry.suffix == ".py" or (entry / "__init__.py").is_file():
                        names.add(entry.stem)
        return {n for n in names - sys.stdlib_module_names - {"equibench"} if not _alone(n)}

    def _displace(self) -> dict[str, ModuleType]:
        """Take from the process what has the name of a module of this repository's own."""
        names = self._names()
        # no module is there without the package it is in, and there are thousands of modules
        if not any(name in sys.modules for name in names):
            return {}
        displaced = {n: m for n, m in sys.modules.copy().items() if n.partition(".")[0] in names}
        for name in displaced:
            del sys.modules[name]
        return displaced

    def _take(self, before: dict[str, ModuleType]) -> None:
        """Remove its modules, those that were there ``before`` and new ones, from the process."""
        if not _alike(before, sys.modules):  # a pass through a network imports nothing
            folders = {Path(folder).resolve() for folder in self.folders}
            owned: dict[str, bool] = {}
            for name, module in sys.modules.copy().items():  # other threads import
                if before.get(name) is module:
                    continue
                top = name.partition(".")[0]
                if top not in owned:
                    owned[top] = _defined_in(sys.modules.get(top), top) in folders
                if owned[top] or name in self.modules:
                    self.modules[name] = module
        for name in self.modules:
            sys.modules.pop(name, None)


def load_file(path: str) -> ModuleType:
    """Import a Python file among the modules of its repository.

    Raises:
        FileNotFoundError: there is no such file.
    """
    file = as_path(path).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return Repository.of(file).load(file)


def repository_of(reference: str) -> Repository | None:
    """The repository that a ``path/to/file.py:attribute`` is in; None for other references."""
    path, colon, _ = reference.rpartition(":")
    if not colon or not path.endswith(".py"):
        return None
    return Repository.of(as_path(path).resolve())


def visible(repository: Repository | None) -> AbstractContextManager[None]:
    """As ``Repository.visible``, where there is a repository."""
    return nullcontext() if repository is None else repository.visible()


def sources_beside(module: str) -> set[Path]:
    """The files of a module and of all that was imported by name from its repository.

    Other files that were asked for by their path are not its own.
    """
    files: set[Path] = set()
    for repository in Repository.known.values():
        if module in repository.modules and (_alone(module) or repository._visible):
            own = (m for n, m in repository.modules.items() if n == module or not _alone(n))
            found = (getattr(each, "__file__", None) for each in own)
            files |= {Path(file) for file in found if file}
    return files


def _load_alone(name: str, file: Path) -> ModuleType:
    """Import a file that is in no package, under a name that no other module has."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # a .py file always has a loader
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _above_package(file: Path) -> Path:
    folder = file.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _module_name(file: Path) -> str:
    """Of a file in a package its dotted name, of another one that is its alone."""
    folder = _above_package(file)
    if folder != file.parent:
        return ".".join(file.relative_to(folder).with_suffix("").parts)
    return f"{_FILE_MODULE}{hashlib.sha256(os.fsencode(file)).hexdigest()[:12]}"


def _alone(module: str) -> bool:
    return module.startswith(_FILE_MODULE)


def _alike(one: dict[str, ModuleType], other: dict[str, ModuleType]) -> bool:
    """Whether both hold the very same modules; there are thousands, and this is asked often."""
    return len(one) == len(other) and all(map(is_, one.values(), other.values()))


def _defined_in(module: ModuleType | None, name: str) -> Path | None:
    """The folder that a top-level module was found in under its own name."""
    paths = list(getattr(module, "__path__", ())) or [getattr(module, "__file__", None)]
    if not paths[0]:
        return None
    path = Path(str(paths[0])).resolve()
    return path.parent if path.stem == name else None
