"""A logarithmic axis on which exact zeros have a place of their own."""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from equibench.reports.figures.style import ZERO

__all__ = ["OWN", "Floats", "LogAxis"]

OWN = "an axis for each panel"
"""What figures of several panels say: errors of suites may be decades apart."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LogAxis:
    """Positions on a common log10 axis, with a place for zeros below all others.

    Args:
        low, high: whole decades around all positive errors.
    """

    low: int
    high: int
    has_zero: bool

    @classmethod
    def of(cls, errors: Floats) -> "LogAxis":
        positive = errors[np.isfinite(errors) & (errors >= ZERO)]
        if not len(positive):
            return cls(-16, 0, bool((errors < ZERO).any()))
        low, high = floor(np.log10(positive.min())), ceil(np.log10(positive.max()))
        return cls(low, max(high, low + 1), bool((errors < ZERO).any()))

    @property
    def span(self) -> int:
        return self.high - self.low

    @property
    def zero(self) -> float:
        """Where zeros are drawn."""
        return self.low - max(0.5, 0.14 * self.span) if self.has_zero else self.low

    def ticks(self, inches: float, label: float = 0.45) -> tuple[list[float], list[str]]:
        """Places and labels of as many powers of ten as stand side by side, and of zero.

        Args:
            inches: of the axis.
            label: of one label along it, with the space around it.
        """
        each = inches / (self.high - self.zero)  # of a decade
        step = ceil(label / each)
        powers = [
            power
            for power in range(self.high, self.low - 1, -step)
            if not self.has_zero or (power - self.zero) * each >= 0.75 * label
        ]
        zero = {self.zero: "0"} if self.has_zero else {}
        labels = {**zero, **{float(p): f"$10^{{{p}}}$" for p in reversed(powers)}}
        return list(labels), list(labels.values())

    def place(self, errors: Floats) -> Floats:
        small = errors < ZERO
        logarithm = np.log10(np.where(small, 1.0, errors))
        return np.where(small, self.zero, logarithm)
