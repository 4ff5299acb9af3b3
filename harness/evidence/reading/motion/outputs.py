"""What an output must be for a network to commute with shifts."""

from collections.abc import Mapping

from equibench.evidence.reading.motion.context import Context
from equibench.evidence.reading.motion.factors import (
    Axis,
    Breaks,
    Images,
    Lattice,
    Moving,
    Still,
    Value,
)

__all__ = ["check_output"]


def check_output(value: Value, axes: Mapping[int, Axis], count: int) -> None:
    """That the output is a map (B, C, *size) that moves as the input does, scaled.

    Args:
        axes: of the input that move, by position.
        count: axes in space that the input has.

    Raises:
        Breaks: it does not.
    """
    if len(value.dims) != 2 + count:
        raise Breaks(f"returns no (B, C, {', '.join('DHW'[-count:]) if count > 1 else 'L'})")
    batch, channels, *maps = value.dims
    if not all(isinstance(f, Images) for f in batch):
        raise Breaks("returns images in another order")
    Context(None, Lattice(), ()).pointwise(channels, "returns channels that move")  # type: ignore[arg-type]
    for i, dim in enumerate(maps):
        axis = axes.get(i)
        for factor in dim:
            if isinstance(factor, Moving) and factor.axis is not axis:
                raise Breaks("returns a map that moves along another axis", axes.values())
            if isinstance(factor, Images):
                raise Breaks("returns images in another order")
        if axis is None or all(isinstance(f, Still) and f.even for f in dim):
            continue
        factor = dim[0]
        if len(dim) > 1 or not isinstance(factor, Moving):
            raise Breaks("returns a map that stays in place", [axis])
        if factor.spoiled:
            raise factor.broken()
        if factor.size != factor.period or factor.stride < 0:
            raise Breaks("returns a part of a map, or its mirror image", [axis])
