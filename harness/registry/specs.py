"""What users type for a model or a suite: ``name,key=value,…``."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from equibench.errors import UsageError
from equibench.foundation.file_names import as_text

__all__ = ["Scalar", "Spec", "slug", "specs_of", "weights_of"]

Scalar = str | int | float | bool

_FIELDS = re.compile(r"""((?:(?<![^,=])(?:"[^"]*"|'[^']*')|[^,])*)(?:,|$)""")
"""Parts between commas; a quote where a part or a value begins holds commas."""
_KEY = re.compile(r"(in|out)\.[^\s=]+|[^\W\d]\w*")
_RESERVED = ("label", "mend", "metrics", "weights")


@dataclass(frozen=True)
class Spec:
    """A reference to a registered object, a file, ``module:attribute`` or ``file.py:attribute``.

    ``label``, ``weights`` and ``mend`` of a model and ``metrics`` of a suite are reserved; keys
    that begin with ``in.`` or ``out.`` adapt a model to what it is given; every other key is an
    argument of the factory.
    """

    reference: str
    arguments: Mapping[str, Scalar] = field(default_factory=dict)
    chosen_label: str | None = None
    weights: str | None = None
    adapters: Mapping[str, Scalar] = field(default_factory=dict)
    mend: str | None = None
    metrics: Sequence[str] = ()

    @property
    def label(self) -> str:
        """What rows call it: ``label=``, or the spec.

        ``path/to/net.py:build`` is ``net:build``, and ``hf:path/to/net`` is ``net``.
        """
        if self.chosen_label:
            return self.chosen_label
        path, colon, attribute = self.reference.rpartition(":")
        stem = re.sub(r"\.py$", "", path.replace("\\", "/").rsplit("/", 1)[-1])
        name = f"{stem}:{attribute}" if colon else self.reference
        if colon and "/" in attribute:  # a path behind a prefix
            name = attribute.rstrip("/").rpartition("/")[2] or name
        given = {**self.arguments, **self.adapters}
        given |= {"mend": self.mend} if self.mend else {}
        return ",".join([name, *(f"{k}={v}" for k, v in given.items())])

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Read ``unet-aps-3,width=0.125,label=ours``; values parse as TOML scalars.

        Raises:
            UsageError: no reference, a part without ``=``, or a key given twice.
        """
        text = as_text(text)
        reference, *parts = [part.strip() for part in _split(text)]
        for quote in ("'", '"'):  # around a path with commas
            if reference.startswith(quote) and quote in reference[1:]:
                reference = reference.replace(quote, "")
        while parts and "=" not in parts[0] and "/" in text.partition("=")[0]:
            reference = f"{reference},{parts.pop(0)}"  # a comma in a path
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
            metrics=tuple(filter(None, reserved.get("metrics", "").split("/"))),
            chosen_label=reserved.get("label"),
            weights=reserved.get("weights"),
            mend=reserved.get("mend"),
        )


def slug(name: str) -> str:
    """A name as a file name may carry it: letters, digits, ``-`` and ``.`` only."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:60] or "unnamed"


def weights_of(file: object) -> str:
    """``weights=FILE`` as a spec takes it: in quotes where the path has a comma or a quote."""
    path = str(file)
    if not set(path) & set(",\"'"):
        return f"weights={path}"
    quote = "'" if "'" not in path else '"'
    return f"weights={quote}{path}{quote}"


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


def specs_of(configuration: Mapping[str, Any], field: str) -> dict[str, Spec]:
    """What a configuration names as ``models`` or ``suites``, by label; further blocks included."""
    blocks = [configuration, *(configuration.get("also") or ())]
    found = [Spec.parse(text) for block in blocks for text in block.get(field, ())]
    return {spec.label: spec for spec in found}
