"""Names of files as text that can be stored and shown, and back; some are no UTF-8."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["as_path", "as_text", "as_texts"]

_ESCAPED = re.compile(r"\\x([89a-f][0-9a-f])")


def as_text(name: object) -> str:
    r"""A name with ``\xff`` for each byte that is no UTF-8; others, and other text, as they are."""
    return os.fsencode(str(name)).decode("utf-8", "backslashreplace")


def as_texts(value: Any) -> Any:
    """A value with all of its strings as text, in dicts and lists as well."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, Mapping):
        return {as_texts(key): as_texts(inner) for key, inner in value.items()}
    return [as_texts(inner) for inner in value] if isinstance(value, list | tuple) else value


def as_path(text: str) -> Path:
    """The path that a text means, or ``as_text`` was given; ``~`` is the user's folder."""
    path = Path(text).expanduser()
    if _ESCAPED.search(text) and not path.exists():
        path = Path(_ESCAPED.sub(lambda byte: chr(0xDC00 + int(byte[1], 16)), str(path)))
    return path
