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

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

__all__ = ["Choice", "Pair", "adaptive_layers", "flips", "recording"]

Pair = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """What an adaptive layer kept of one image.

    Args:
        layer: its name.
        size: (H, W) of its input.
        stride: along both axes.
        offset: of the component that was kept, (row, column).
        gap: of the two best norms, relative to the larger.
    """

    layer: str
    size: Pair
    stride: Pair
    offset: Pair
    gap: float


def adaptive_layers(model: object) -> list[tuple[str, Any]]:
    """The layers of a model that record their choices, with their names."""
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    return [
        (name, m) for name, m in modules if hasattr(m, "record_choices") and hasattr(m, "stride")
    ]


def flips(
    unshifted: Sequence[Choice], shifted: Sequence[Choice], shift: Pair, size: Pair
) -> dict[str, bool]:
    """Which layers kept other samples of a shifted image than those they kept of the image.

    A layer whose input moved by d flips if the offset q that it keeps is not the unshifted one, p,
    plus d (modulo its stride s). If it does not, its output moves by (p + d − q) / s: the next
    layer's d. An input is known to have moved by what the last layer moved its output by whose
    output has that size, or else by the shift divided by the stride between image and input.

    Args:
        unshifted, shifted: the choices of one image in the order of layers.
        shift: of the image, (dy, dx) in pixels.
        size: of the image, (H, W).

    Returns:
        Whether each layer flipped. Layers behind one that did are left out: by how much their
        input moved is not defined.
    """
    judged: dict[str, bool] = {}
    moved: dict[Pair, Pair | None] = {size: shift}
    for one, other in zip(unshifted, shifted, strict=False):
        if (one.layer, one.size) != (other.layer, other.size):
            break  # the network took another way
        d = moved[one.size] if one.size in moved else _scaled(shift, size, one.size)
        output: Pair = (one.size[0] // one.stride[0], one.size[1] // one.stride[1])
        moved[output] = None
        if d is None:
            continue
        over = [p + k - q for p, k, q in zip(one.offset, d, other.offset, strict=True)]
        flipped = any(n % s for n, s in zip(over, one.stride, strict=True))
        judged[one.layer] = judged.get(one.layer, False) or flipped
        if not flipped:
            moved[output] = (over[0] // one.stride[0], over[1] // one.stride[1])
    return judged


def _scaled(shift: Pair, image: Pair, size: Pair) -> Pair | None:
    """A shift of the image in samples of a map; None where they are no integers."""
    moves = [divmod(k * n, whole) for k, n, whole in zip(shift, size, image, strict=True)]
    return None if any(rest for _, rest in moves) else (moves[0][0], moves[1][0])


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
    maps = next(leaf for leaf in inputs if isinstance(leaf, Tensor) and leaf.ndim == 4)
    size: Pair = (maps.shape[-2], maps.shape[-1])
    stride: Pair = (layer.stride,) * 2 if isinstance(layer.stride, int) else tuple(layer.stride)
    offsets: list[Pair] = [divmod(index, stride[1]) for index in layer.choices.tolist()]
    gaps = layer.gaps.tolist()
    recorded.append(
        [Choice(name, size, stride, o, gap) for o, gap in zip(offsets, gaps, strict=True)]
    )
