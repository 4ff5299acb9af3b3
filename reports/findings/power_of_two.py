"""The error by power of two: which pooling level contributes what.

A shift by a multiple of 2^k passes through the first k halvings of an encoder unharmed. What is
left of the error among the multiples of 2^k, and not of 2^(k + 1), is made by the levels below.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.transforms.transform import AXES

__all__ = ["by_power_of_two", "power_of_two"]

_WHOLE = "both"
"""What the axis of all components is called: of images there are two."""

_KEYS = ["model", "suite", "group"]


def power_of_two(shifts: NDArray[np.int64], largest: int) -> NDArray[np.int64]:
    """The largest power of two up to ``largest`` that divides every component of each shift.

    Args:
        shifts: (n, components) in pixels.
        largest: a power of two; 0 is a multiple of all.
    """
    bits = np.bitwise_or.reduce(np.abs(shifts), axis=1) | largest
    lowest: NDArray[np.int64] = bits & -bits
    return lowest


def by_power_of_two(rows: pd.DataFrame, largest: int = 16) -> pd.DataFrame:
    """Mean and worst NMSE of the shifts of each power of two.

    Args:
        rows: of shifts; a row counts for as many shifts as it covers, the identity for none.
        largest: the total stride, or the power of two beyond which none are told apart.

    Returns:
        One line for each model × suite × group × axis × power, with ``mean``, ``worst`` and the
        number of ``shifts``. The axis is that of the component that has to be a multiple, ``dy``
        or ``dx`` (``dz`` of volumes), or ``both``: all of them.
    """
    axes = [axis for axis in AXES if axis in rows and rows[axis].notna().any()]
    # a component that images do not have is no obstacle
    moved = rows[rows[axes].fillna(0).any(axis=1)]
    parts = []
    for axis, components in {_WHOLE: axes, **{axis: [axis] for axis in axes}}.items():
        own = moved if axis == _WHOLE else moved[moved[axis].notna()]
        weighted = pd.DataFrame(
            {
                **{key: own[key] for key in _KEYS},
                "axis": axis,
                "power": power_of_two(own[components].fillna(0).to_numpy(np.int64), largest),
                "shifts": own["covers"],
                # NaN is worse than any number
                "worst": own["eq_nmse"].astype(float).fillna(np.inf),
            }
        )
        weighted["sum"] = weighted["worst"] * weighted["shifts"]
        keys = [*_KEYS, "axis", "power"]
        found = weighted.groupby(keys, sort=False).agg(
            sum=("sum", "sum"), worst=("worst", "max"), shifts=("shifts", "sum")
        )
        found.insert(0, "mean", found.pop("sum") / found["shifts"])
        parts.append(found.reset_index().sort_values("power", kind="stable"))
    return pd.concat(parts, ignore_index=True)
