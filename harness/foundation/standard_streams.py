"""Standard output and standard error that may be closed, full or a pipe that nobody reads."""

import codecs
import errno
import io
import os
import sys
from typing import TextIO, cast

from equibench.errors import EquibenchError

__all__ = ["OutputError", "guard_streams"]


_ESCAPE = "equibench-names"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    r"""What cannot be shown, as ``\xff`` where it is a byte of a file name and ``?`` elsewhere."""
    assert isinstance(error, UnicodeEncodeError)
    wrong = error.object[error.start : error.end]
    shown = (f"\\x{ord(c) - 0xDC00:x}" if 0xDC80 <= ord(c) <= 0xDCFF else "?" for c in wrong)
    return "".join(shown), error.end


codecs.register_error(_ESCAPE, _escaped)


class OutputError(EquibenchError):
    """Standard output takes nothing more."""


class _Stream(io.RawIOBase):
    """A file descriptor; after its first failure all that is written to it is dropped.

    Args:
        loud: whether the first failure raises.
    """

    def __init__(self, descriptor: int, loud: bool) -> None:
        self.descriptor, self.loud, self.failed = descriptor, loud, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return os.isatty(self.descriptor)

    def write(self, content: "bytes | memoryview") -> int:  # type: ignore[override]
        if not self.failed:
            try:
                return os.write(self.descriptor, content)
            except OSError as error:
                self.failed = True
                if self.loud:
                    # a reader that has gone away, such as head, has seen enough
                    reason = "" if error.errno == errno.EPIPE else os.strerror(error.errno or 0)
                    raise OutputError(
                        reason and f"cannot write to standard output: {reason}"
                    ) from None
        return len(content)


def guard_streams() -> None:
    """Replace the standard streams of this process, where they are files, by guarded ones.

    A failure of standard output raises an OutputError, once; one of standard error nothing. Names
    that a locale cannot show stop nobody.
    """
    for descriptor in range(3):  # where one is closed, the next file must not take its place
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor else os.O_RDWR)
    sys.stdout = _guarded(sys.stdout, 1, loud=True)
    sys.stderr = _guarded(sys.stderr, 2, loud=False)


def _guarded(stream: TextIO | None, descriptor: int, loud: bool) -> TextIO:
    if stream is not None and not isinstance(stream, io.TextIOWrapper):
        return stream  # a test's, or a notebook's
    try:
        if stream is not None and stream.fileno() != descriptor:
            return stream
    except OSError:  # it has no descriptor
        return cast(TextIO, stream)
    if stream is not None:
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(cast(io.RawIOBase, _Stream(descriptor, loud))),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=_ESCAPE,
        line_buffering=stream is None or stream.line_buffering or not loud,
    )
