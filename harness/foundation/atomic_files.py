"""Files that are whole or not there: written to a temporary name, flushed, renamed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from equibench.errors import EquibenchError

__all__ = ["TEMPORARY", "replacing", "writable"]

TEMPORARY = ".tmp"
"""How the names of files end that are being written; they begin with a dot."""


@contextmanager
def replacing(final: Path, named: Callable[[Path], str] | None = None) -> Iterator[Path]:
    """A name to write to; on leaving, that file is flushed and takes the place of ``final``.

    Args:
        named: gives its name in that folder instead, once it is written.

    Raises:
        EquibenchError: it cannot be written; ``final`` is what it was, and nothing is left over.
    """
    temporary = final.with_name(f".{final.name}.{os.getpid()}{TEMPORARY}")
    with writable(final):
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(final.with_name(named(temporary)) if named else final)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Say in one line why something cannot be written.

    Raises:
        EquibenchError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise EquibenchError(
            f"cannot write {path}: {reason}; mend that and run the same command again: "
            "finished units are kept"
        ) from error
