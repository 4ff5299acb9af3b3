"""What models return: described in words, searched for images, held against what is wanted."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = [
    "Frame",
    "Mismatch",
    "Wrapper",
    "described",
    "frame_of",
    "member",
    "mismatch",
    "shape",
    "tensors",
]

_DEPTH = 4
"""Of an output, as far as images are looked for."""


class Frame:
    """What stands around a network and knows how its output relates to its input.

    Attributes:
        output_scale: the output is larger than the input by this factor, or smaller.
        labels: whether the output is class maps: 1 where a pixel is of a class.
        padded: whether the last images were padded and their output cropped.
        resized: how the last output was brought to the grid of its images, or ``1/4`` where it is
            compared on a coarser one; empty where it has theirs.
        added: what the last output was moved by to come into the units of the input, (B or 1, C
            or 1, 1, …); None where it was not. Errors are relative to the output without it.
        unmoved: the last output without it, (B, C, *size); None where nothing was added.
    """

    output_scale: float = 1
    labels: bool = False
    padded: bool = False
    resized: str = ""
    added: Tensor | None = None
    unmoved: Tensor | None = None


class Wrapper:
    """What passes images to a model, and its output on, and is no frame itself."""

    model: Any


def frame_of(model: object) -> Frame:
    """The frame around a model; attributes of a user's network mean whatever they mean to it."""
    inner = _unwrapped(model)
    return inner if isinstance(inner, Frame) else Frame()


def framed(model: object) -> bool:
    """Whether there is a frame around a model."""
    return isinstance(_unwrapped(model), Frame)


def _unwrapped(model: object) -> object:
    while isinstance(model, Wrapper):
        model = model.model
    return model


def shape(tensor: Tensor) -> str:
    """(B, C, *size) in numbers."""
    return f"({', '.join(map(str, tensor.shape))})"


def described(output: object) -> str:
    """What a model returned, in words."""
    if isinstance(output, Tensor):
        return f"a tensor {shape(output)}"
    members = _members(output)
    if isinstance(output, Mapping):
        return f"a {_kind(output)} with the keys {', '.join(key for key, _ in members)}"
    if isinstance(output, tuple | list):
        parts = (_named(value) for _, value in members)
        return f"a {type(output).__name__} ({', '.join(parts)})"
    if members:
        return f"a {_kind(output)} with {', '.join(key for key, _ in members)}"
    return f"a {_kind(output)}"


def member(output: object, key: str) -> object:
    """The member of an output under a key or index, or its attribute.

    Raises:
        LookupError, AttributeError, ValueError: there is none.
    """
    if isinstance(output, Mapping):
        return output[key] if key in output else output[int(key)]
    if key.lstrip("-").isdigit() and isinstance(output, tuple | list):
        return output[int(key)]
    value: object = getattr(output, key)
    return value


def tensors(output: object, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors in an output with the paths that ``out.select`` takes: ``0/image``."""
    for key, value in _members(output):
        inner = f"{path}/{key}" if path else key
        if isinstance(value, Tensor):
            yield inner, value
        elif inner.count("/") < _DEPTH:
            yield from tensors(value, inner)


class Mismatch(NamedTuple):
    """Why an output cannot be measured: what came, and what was wanted."""

    given: str
    wanted: str


def mismatch(output: object, images: Tensor, scale: float) -> Mismatch | None:
    """Whether an output is anything but a real tensor beside its images (B, C, *size).

    It has as many axes, and ``scale`` times their size.
    """
    batch, _, *size = images.shape
    scaled = tuple(int(n * scale) for n in size)
    wanted = f"one tensor ({', '.join(map(str, (batch, 'C', *scaled)))})"
    if not isinstance(output, Tensor):
        return Mismatch(described(output), wanted)
    if output.device != images.device or output.layout != torch.strided:
        given = f"a {output.layout} tensor on {output.device}"
        return Mismatch(given, f"a dense one on {images.device}")
    if output.ndim != images.ndim or (len(output), *output.shape[2:]) != (batch, *scaled):
        return Mismatch(described(output), wanted)
    if not output.shape[1]:
        return Mismatch(f"{described(output)} without channels", wanted)
    if not output.is_floating_point():
        return Mismatch(str(output.dtype), "real numbers")
    return None


def _members(output: object) -> list[tuple[str, object]]:
    if isinstance(output, Mapping):
        return [(str(key), value) for key, value in output.items()]
    if isinstance(output, tuple | list):
        return [(str(number), value) for number, value in enumerate(output)]
    if is_dataclass(output) and not isinstance(output, type):
        return [(field.name, getattr(output, field.name)) for field in fields(output)]
    values = {} if isinstance(output, Tensor | type) else getattr(output, "__dict__", {})
    return [(name, value) for name, value in values.items() if not name.startswith("_")]


def _named(value: object) -> str:
    return f"Tensor {shape(value)}" if isinstance(value, Tensor) else type(value).__name__


def _kind(value: object) -> str:
    return type(value).__name__
