"""What rounding alone may do to an error: below it nothing is better or worse."""

from math import sqrt

__all__ = ["FLOORS", "NEAR_TIE", "allowance", "default_limit", "one_rounding", "tolerated"]

NEAR_TIE = 1e-6
"""Relative gap of an adaptive layer's two best norms below which rounding may decide."""

ROUNDINGS = 30
"""How many roundings of the working precision an equivariant network may be away from zero."""

FLOORS = 10
"""How many times the measured floor is still rounding."""

_EPSILON = {"fp64": 2.0**-52, "fp32": 2.0**-23, "tf32": 2.0**-10, "fp16": 2.0**-10, "bf16": 2.0**-7}


def one_rounding(precision: str) -> float:
    """The NMSE of an output that is off by one rounding of the working precision."""
    return float(_EPSILON[precision] ** 2)


def default_limit(precision: str) -> float:
    """The NMSE of an output that is off by thirty roundings of the working precision."""
    return float((ROUNDINGS * _EPSILON[precision]) ** 2)


def allowance(precision: str, floor: float) -> float:
    """The NMSE that rounding may make, given a measured floor (NaN where there is none)."""
    limit = default_limit(precision)
    return max(limit, FLOORS * floor) if floor == floor else limit


def tolerated(error: float, rounding: float) -> float:
    """The largest error that rounding can make of ``error``, both as NMSE.

    Rounding adds a vector to the error vector, so it is the norms that add up: it moves an error
    of 0.1 by far more than an error of 0.
    """
    return (sqrt(error) + sqrt(rounding)) ** 2
