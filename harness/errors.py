"""The errors that equibench raises, one class for each person who meets them."""

import os
import re

__all__ = [
    "DataError",
    "EquibenchError",
    "ModelError",
    "UnavailableError",
    "UsageError",
    "reason",
    "told_more",
    "words",
]


def told_more(topic: str) -> str:
    """Where a topic is explained, in one line."""
    return f"more: equibench explain {topic}"


class EquibenchError(Exception):
    """Base class. Its message names the thing, the place and the remedy, in one line.

    Args:
        topic: what of ``harness/troubleshooting.md`` says more; tracebacks and commands name it.
    """

    exit_status = 1

    def __init__(self, message: object = "", *, topic: str = "") -> None:
        # it is stored and shown, and the files that it names may be no UTF-8
        super().__init__(os.fsencode(str(message)).decode("utf-8", "backslashreplace"))
        self.topic = topic
        if topic:
            self.add_note(told_more(topic))


class UsageError(EquibenchError):
    """The user asked for something that cannot be done: mend the command and run it again."""

    exit_status = 2


class UnavailableError(UsageError):
    """Something is known but cannot run here: an extra or data is missing, a plugin is broken."""


class ModelError(EquibenchError):
    """A model could not be built, raised, or returned something that cannot be measured."""


class DataError(EquibenchError):
    """A file of a data set is missing, truncated or not what it should be."""


_LONGEST = 400
"""Characters of a reason: what an error says in the end is often what was wrong."""


def words(error: BaseException) -> str:
    """What an exception says, also where it fails to."""
    try:
        return str(error)
    except Exception:  # its own ``__str__``
        return "no message that can be printed"


def reason(error: BaseException) -> str:
    """What an exception says, in one line.

    TorchScript puts a traceback around the error of the network: its last line is the error.
    """
    text = words(error).strip()
    if "TorchScript" in text:
        text = next((t for t in reversed(text.splitlines()) if re.match(r"\w*Error: ", t)), text)
    text = " ".join(text.split()) or "no message"
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"
