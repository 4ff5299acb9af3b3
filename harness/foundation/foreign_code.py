"""Code that others wrote, in models, suites and plugins: what it raises becomes one line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from equibench.errors import EquibenchError, ModelError, reason

__all__ = ["guarded", "kind_and_reason"]


@contextmanager
def guarded(
    message: Callable[[BaseException], str],
    kind: type[EquibenchError] = ModelError,
    but: Callable[[BaseException], bool] = lambda error: False,
    topic: str = "",
) -> Iterator[None]:
    """Run what others wrote: an exit and every exception but Ctrl-C become an error of ours.

    Args:
        message: makes its line of the exception.
        but: which exceptions are left as they are, beside those that are ours already.
        topic: what says more about it, as for ``EquibenchError``.

    Raises:
        EquibenchError: of the kind that is asked for.
    """
    try:
        yield
    except (EquibenchError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # pytest's and others' derive from it
        if but(error):
            raise
        raise kind(message(error), topic=topic) from error


def kind_and_reason(error: BaseException) -> str:
    """``ValueError: what it says``, in one line."""
    return f"{type(error).__name__}: {reason(error)}"
