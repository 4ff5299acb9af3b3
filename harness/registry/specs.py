"""What users type for a model or a suite: ``name,key=value,…``."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from equibench.errors import UsageError

__all__ = ["Scalar", "Spec", "slug"]

Scalar = str | int | float | bool

_FIELDS = re.compile(r"""((?:[^,"']|"[^"]*"|'[^']*')*)(?:,|$)""")
_KEY = re.compile(r"((in|out)\.)?[^\W\d]\w*")
_RESERVED = ("label", "weights")


@dataclass(frozen=True)
class Spec:
    """A reference to a registered object, a ``module:attribute`` or a ``file.py:attribute``.

    ``label`` and ``weights`` are reserved, keys that begin with ``in.`` or ``out.`` adapt a model
    to what it is given; every other key is an argument of the factory.
    """

    reference: str
    arguments: Mapping[str, Scalar] = field(default_factory=dict)
    chosen_label: str | None = None
    weights: str | None = None
    adapters: Mapping[str, Scalar] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What rows call it: ``label=``, or the spec; ``path/to/net.py:build`` is ``net:build``."""
        if self.chosen_label:
            return self.chosen_label
        path, colon, attribute = self.reference.rpartition(":")
        stem = re.sub(r"\.py$", "", path.replace("\\", "/").rsplit("/", 1)[-1])
        name = f"{stem}:{attribute}" if colon else self.reference
        given = {**self.arguments, **self.adapters}
        return ",".join([name, *(f"{k}={v}" for k, v in given.items())])

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Read ``unet-aps-3,width=0.125,label=ours``; values parse as TOML scalars.

        Raises:
            UsageError: no reference, a part without ``=``, or a key given twice.
        """
        reference, *parts = [part.strip() for part in _split(text)]
        if not reference:
            raise UsageError(f"{text!r} names nothing: write name,key=value")
        values: dict[str, Scalar] = {}
        for part in parts:
            key, equals, value = part.partition("=")
            key = key.strip().replace("-", "_")
            if not equals or not _KEY.fullmatch(key):
                raise UsageError(f"{part!r} in {text!r} is not key=value")
            if key in values:
                raise UsageError(f"{key!r} is given twice in {text!r}")
            values[key] = value.strip() if key in _RESERVED else _scalar(value.strip())
        reserved = {key: _unquote(str(values.pop(key))) for key in _RESERVED if key in values}
        return cls(
            reference=reference,
            arguments={key: value for key, value in values.items() if "." not in key},
            adapters={key: value for key, value in values.items() if "." in key},
            chosen_label=reserved.get("label"),
            weights=reserved.get("weights"),
        )


def slug(name: str) -> str:
    """A name as a file name may carry it: letters, digits, ``-`` and ``.`` only."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:60] or "unnamed"


def _split(text: str) -> list[str]:
    """Split at commas that stand outside quotes."""
    parts = [match.group(1) for match in _FIELDS.finditer(text)]
    return parts[:-1] if len(parts) > 1 and parts[-1] == "" else parts


def _scalar(text: str) -> Scalar:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word: an encoder's name, a path
    return value if isinstance(value, str | int | float | bool) else text


def _unquote(text: str) -> str:
    value = _scalar(text)
    return value if isinstance(value, str) else text
