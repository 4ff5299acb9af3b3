"""What rounding alone may do to an error: below it nothing is better or worse."""

from math import sqrt

__all__ = ["NEAR_TIE", "allowance", "default_limit", "epsilon", "far_above", "tolerated"]

NEAR_TIE = 1e-6
"""Relative gap of an adaptive layer's two best norms below which rounding may decide."""

_ROUNDINGS = 30
"""How many roundings of the working precision an equivariant network may be away from zero."""

_FLOORS = 10
"""How many times the measured floor is still rounding."""

_FAR = 100
"""How many times the limit of roundings a floor is that has another reason."""

_EPSILON = {"fp64": 2.0**-52, "fp32": 2.0**-23, "tf32": 2.0**-10, "fp16": 2.0**-10, "bf16": 2.0**-7}


def epsilon(precision: str) -> float:
    """One rounding of a working precision, relative."""
    return _EPSILON[precision]


def default_limit(precision: str) -> float:
    """The NMSE of an output that is off by thirty roundings of the working precision."""
    return float((_ROUNDINGS * _EPSILON[precision]) ** 2)


def far_above(precision: str, floor: float) -> bool:
    """Whether a floor is more than a network's roundings make of an output of its own scale."""
    return floor > _FAR * default_limit(precision)


def allowance(precision: str, floor: float) -> float:
    """The NMSE that rounding may make, given a measured floor (NaN where there is none)."""
    limit = default_limit(precision)
    return max(limit, _FLOORS * floor) if floor == floor else limit


def tolerated(error: float, rounding: float) -> float:
    """The largest error that rounding can make of ``error``, both as NMSE.

    Rounding adds a vector to the error vector, so it is the norms that add up: it moves an error
    of 0.1 by far more than an error of 0.
    """
    return (sqrt(error) + sqrt(rounding)) ** 2
