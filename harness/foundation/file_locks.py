"""Who writes into a folder: locks that the kernel releases when their process dies.

A lock is a file under ``flock``. It says who holds it, and is removed when it is released. Where
the platform or the file system knows no such locks, everyone gets one.
"""

import datetime
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from equibench.errors import UsageError
from equibench.foundation.atomic_files import writable

__all__ = ["folder_lock", "locked", "shard_name"]

_open: set[int] = set()
"""Descriptors of the locks that this process holds."""


@contextmanager
def folder_lock(folder: Path, shard: str | None) -> Iterator[None]:
    """Write into a folder alone, or as a shard (``"1/4"``) beside the others.

    Raises:
        UsageError: another process writes there.
        EquibenchError: nobody can write there.
    """
    whole = folder / ".lock"
    own = folder / f".lock-{shard_name(shard or '')}"
    with ExitStack() as stack:
        with writable(folder):
            try:
                stack.enter_context(locked(whole, shared=shard is not None))
                if shard is not None:
                    stack.enter_context(locked(own, f", shard {shard}"))
            except BlockingIOError:
                files = [whole, own] if shard else [whole, *sorted(folder.glob(".lock-*"))]
                holders = [found for found in map(_holder, files) if found]
                raise UsageError(
                    f"{folder} is in use by {' and '.join(holders) or 'another process'}: wait "
                    "for it or stop it, then run the same command again"
                ) from None
        yield


def shard_name(shard: str) -> str:
    """A shard, ``"1/4"``, as names of files carry it."""
    return shard.replace("/", "-of-")


@contextmanager
def locked(
    file: Path, what: str = "", *, shared: bool = False, wait: bool = False
) -> Iterator[None]:
    """Hold a lock file.

    Args:
        what: is added to what the file says of its holder.
        shared: others may share it; only an exclusive lock says who holds it.
        wait: until it is free.

    Raises:
        BlockingIOError: another holds it, and ``wait`` is off.
        OSError: the file cannot be written.
    """
    descriptor = _acquire(file, shared, wait)
    _open.add(descriptor)
    try:
        if not shared:
            now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
            text = f"process {os.getpid()} on {socket.gethostname()} since {now}{what}"
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, text.encode(), 0)
        yield
    finally:
        try:
            if shared:
                _flock(descriptor, shared=False, wait=False)  # the last one tidies up
            file.unlink(missing_ok=True)
        except OSError:
            pass
        _open.discard(descriptor)
        os.close(descriptor)


def _holder(file: Path) -> str | None:
    """Who holds a lock exclusively; None where nobody does."""
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:
        return None
    try:
        _flock(descriptor, shared=True, wait=False)
    except BlockingIOError:
        return os.pread(descriptor, 1000, 0).decode(errors="replace") or "another process"
    finally:
        os.close(descriptor)
    return None


def _acquire(file: Path, shared: bool, wait: bool) -> int:
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _flock(descriptor, shared, wait)
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # its last holder removed it in the meantime: another file is the lock now
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _flock(descriptor: int, shared: bool, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, operation | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return


def _let_go() -> None:
    """A forked child holds no lock: it may outlive the process that took it."""
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
