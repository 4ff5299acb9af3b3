"""What adaptive layers chose, recorded call by call, and whether a choice moved with the image.

A layer takes part by having ``record_choices`` and ``stride``, whoever wrote it: while
``record_choices`` is true, a forward pass leaves in ``choices`` (B,) the row-major offset of the
component that was kept, and in ``gaps`` (B,) the gap of the two best norms relative to the larger.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from equibench.transforms.transform import Size

__all__ = ["Choice", "adaptive_layers", "flips", "recording"]


_LEAST = 3
"""Axes of maps (B, C, *size); an index of components has one."""


@dataclass(frozen=True)
class Choice:
    """What an adaptive layer kept of one image.

    Args:
        layer: its name.
        size: of the maps that are its input.
        stride: along each axis.
        offset: of the component that was kept, along each axis.
        gap: of the two best norms, relative to the larger.
    """

    layer: str
    size: Size
    stride: Size
    offset: Size
    gap: float


def adaptive_layers(model: object) -> list[tuple[str, Any]]:
    """The layers of a model that record their choices, with their names."""
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    return [
        (name, m) for name, m in modules if hasattr(m, "record_choices") and hasattr(m, "stride")
    ]


def flips(
    unshifted: Sequence[Choice], shifted: Sequence[Choice], shift: Size, size: Size
) -> dict[str, bool]:
    """Which layers kept other samples of a shifted image than those they kept of the image.

    A layer whose input moved by d flips if the offset q that it keeps is not the unshifted one, p,
    plus d (modulo its stride s). If it does not, its output moves by (p + d − q) / s: the next
    layer's d. An input is known to have moved by what the last layer moved its output by whose
    output has that size, or else by the shift divided by the stride between image and input.

    Args:
        unshifted, shifted: the choices of one image in the order of layers.
        shift: of the image, in pixels along each axis.
        size: of the image.

    Returns:
        Whether each layer flipped. Layers behind one that did are left out: by how much their
        input moved is not defined.
    """
    judged: dict[str, bool] = {}
    moved: dict[Size, Size | None] = {size: shift}
    for one, other in zip(unshifted, shifted, strict=False):
        if (one.layer, one.size) != (other.layer, other.size):
            break  # the network took another way
        d = moved[one.size] if one.size in moved else _scaled(shift, size, one.size)
        output = _divided(one.size, one.stride)
        moved[output] = None
        if d is None:
            continue
        over = [p + k - q for p, k, q in zip(one.offset, d, other.offset, strict=True)]
        flipped = any(n % s for n, s in zip(over, one.stride, strict=True))
        judged[one.layer] = judged.get(one.layer, False) or flipped
        if not flipped:
            moved[output] = _divided(over, one.stride)
    return judged


def _divided(pixels: Sequence[int], stride: Size) -> Size:
    return tuple(n // s for n, s in zip(pixels, stride, strict=True))


def _scaled(shift: Size, image: Size, size: Size) -> Size | None:
    """A shift of the image in samples of a map; None where they are no integers."""
    moves = [divmod(k * n, whole) for k, n, whole in zip(shift, size, image, strict=True)]
    return None if any(rest for _, rest in moves) else tuple(whole for whole, _ in moves)


@contextmanager
def recording(model: nn.Module) -> Iterator[list[list[Choice]]]:
    """Yields a list to which every call of an adaptive layer adds its choices, slot by slot."""
    recorded: list[list[Choice]] = []
    layers = adaptive_layers(model)
    handles = []
    for name, layer in layers:
        hook = partial(_record, recorded, name or type(layer).__name__)
        handles.append(layer.register_forward_hook(hook, with_kwargs=True))
        layer.record_choices = True
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
        for _, layer in layers:
            layer.record_choices, layer.choices, layer.gaps = False, None, None


def _record(
    recorded: list[list[Choice]], name: str, layer: Any, args: Any, kwargs: Any, output: Any
) -> None:
    inputs = tree_leaves((args, kwargs))
    maps = next(leaf for leaf in inputs if isinstance(leaf, Tensor) and leaf.ndim >= _LEAST)
    size = tuple(maps.shape[2:])
    stride = (layer.stride,) * len(size) if isinstance(layer.stride, int) else tuple(layer.stride)
    offsets = [tuple(map(int, np.unravel_index(n, stride))) for n in layer.choices.tolist()]
    gaps = layer.gaps.tolist()
    recorded.append(
        [Choice(name, size, stride, o, gap) for o, gap in zip(offsets, gaps, strict=True)]
    )
