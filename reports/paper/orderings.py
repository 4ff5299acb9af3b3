"""The orderings that the paper reports, each decided from the numbers of one table.

Values that are there may refute an ordering whatever is missing; they confirm it only where
nothing is. NaN confirms nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isnan, nan
from typing import ClassVar, Literal, TypeAlias

from equibench.reports.findings.published_results import APS, NOT_APS
from equibench.reports.tables.values import number

__all__ = ["Augmented", "Chain", "Closeness", "FarBelow", "Limit", "Ordering", "Values", "Verdict"]

Values: TypeAlias = Mapping[str, Sequence[float]]
"""One quantity by the paper's name of the network; several networks may share a name."""

_NMSE = ".2e"
_DECIBEL = ".3g"


@dataclass(frozen=True)
class Verdict:
    """An answer and the numbers that decide it, or what is missing."""

    answer: Literal["yes", "no", "not decided"]
    numbers: str


@dataclass(frozen=True)
class Ordering(ABC):
    """A statement about one quantity of a table, whose column ``about`` names."""

    about: ClassVar[str] = "eq_nmse"

    @property
    @abstractmethod
    def text(self) -> str:
        """The statement."""

    @abstractmethod
    def decide(self, values: Values, inside: Mapping[str, Values]) -> Verdict:
        """Whether it holds.

        Args:
            values: of the networks of a table (and group).
            inside: the same networks in distribution, by group.
        """


@dataclass(frozen=True)
class FarBelow(Ordering):
    """Every one of ``lower`` is at least ``factor`` times below every network without APS."""

    who: str = "every APS variant"
    lower: Sequence[str] = APS
    factor: float = 100

    @property
    def text(self) -> str:
        return f"{self.who} at least {self.factor:g} times below every variant without APS in NMSE"

    def decide(self, values: Values, inside: Mapping[str, Values]) -> Verdict:
        low = max(_pairs(values, self.lower), key=lambda pair: _or(pair[1], inf), default=None)
        high = min(_pairs(values, NOT_APS), key=lambda pair: _or(pair[1], -inf), default=None)
        missing = _missing(values, (*self.lower, *NOT_APS))
        if low is None or high is None:
            return _verdict(True, "", missing)
        ratio = high[1] / low[1] if low[1] > 0 else nan
        times = f": {ratio:.0f} times" if 100 <= ratio < 1e6 else f": {ratio:.3g} times"
        return _verdict(
            low[1] < high[1] and self.factor * low[1] <= high[1],
            f"{_named(low, _NMSE)} against {_named(high, _NMSE)}{'' if isnan(ratio) else times}",
            missing,
        )


@dataclass(frozen=True)
class Chain(Ordering):
    """Each network's NMSE is below the next one's."""

    order: Sequence[str] = ("LPF-5", "LPF-3", "LPF-2", "Baseline")

    @property
    def text(self) -> str:
        return f"{' < '.join(self.order)} in NMSE"

    def decide(self, values: Values, inside: Mapping[str, Values]) -> Verdict:
        there = [name for name in self.order if values.get(name)]
        holds = all(
            a < b for low, high in pairwise(there) for a in values[low] for b in values[high]
        )
        numbers = ", ".join(_named(pair, _NMSE) for pair in _pairs(values, there))
        return _verdict(holds, numbers, _missing(values, self.order))


@dataclass(frozen=True)
class Limit(Ordering):
    """No network of the APS family exceeds a limit, in dB."""

    about = "delta_psnr"
    limit: float = 0.01

    @property
    def text(self) -> str:
        return f"worst ΔPSNR of every APS variant below {self.limit:g} dB"

    def decide(self, values: Values, inside: Mapping[str, Values]) -> Verdict:
        pairs = _pairs(values, APS)
        if not pairs:
            return _verdict(True, "", APS)
        worst = max(pairs, key=lambda pair: _or(pair[1], inf))
        numbers = f"largest: {_named(worst, _DECIBEL)} dB"
        return _verdict(worst[1] < self.limit, numbers, _missing(values, APS))


@dataclass(frozen=True)
class Closeness(Ordering):
    """The PSNR of every APS variant is within a margin of the baseline's, in dB."""

    about = "psnr"
    margin: float = 0.8

    @property
    def text(self) -> str:
        return f"PSNR of every APS variant within {self.margin:g} dB of the baseline's"

    def decide(self, values: Values, inside: Mapping[str, Values]) -> Verdict:
        missing = _missing(values, ("Baseline", *APS))
        pairs = [(n, v - b) for n, v in _pairs(values, APS) for b in values.get("Baseline", ())]
        if not pairs:
            return _verdict(True, "", missing)
        furthest = max(pairs, key=lambda pair: _or(abs(pair[1]), inf))
        numbers = f"furthest: {_named(furthest, '+.2f')} dB"
        return _verdict(abs(furthest[1]) <= self.margin, numbers, missing)


@dataclass(frozen=True)
class Augmented(Ordering):
    """Data augmentation does less out of distribution than in it.

    Args:
        relative: compare NMSE divided by the baseline's, rather than NMSE.
    """

    relative: bool = False

    @property
    def text(self) -> str:
        what = "NMSE of Baseline + DA"
        shown = f"{what} divided by the baseline's" if self.relative else what
        return f"{shown} larger out of distribution than in"

    def decide(self, values: Values, inside: Mapping[str, Values]) -> Verdict:
        needed = ("Baseline", "Baseline + DA") if self.relative else ("Baseline + DA",)
        missing = _missing(values, needed)
        if not inside:
            missing.append("MRI suite")
        for known in inside.values():
            out = _missing(known, needed)
            missing += [f"{name} on an MRI suite" for name in out if name not in missing]
        within = {group: self._share(known) for group, known in inside.items()}
        outside, every = self._share(values), [v for part in within.values() for v in part]
        holds = all(out > w for out in outside for w in every)
        numbers = f"{_several(outside, self._format)} against " + ", ".join(
            f"{_several(part, self._format)}{'' if group in ('', 'all') else f' ({group})'}"
            for group, part in within.items()
        )
        return _verdict(holds, numbers, missing)

    @property
    def _format(self) -> str:
        return ".3g" if self.relative else _NMSE

    def _share(self, values: Values) -> list[float]:
        augmented = values.get("Baseline + DA", ())
        if not self.relative:
            return list(augmented)
        return [a / b if b else nan for a in augmented for b in values.get("Baseline", ())]


def _verdict(holds: bool, numbers: str, missing: Sequence[str]) -> Verdict:
    if not holds:
        return Verdict("no", numbers)
    if missing:
        return Verdict("not decided", f"no {' and no '.join(dict.fromkeys(missing))} in this run")
    return Verdict("yes", numbers)


def _missing(values: Values, names: Sequence[str]) -> list[str]:
    return [name for name in names if not values.get(name)]


def _pairs(values: Values, names: Sequence[str]) -> list[tuple[str, float]]:
    return [(name, value) for name in names for value in values.get(name, ())]


def _or(value: float, instead: float) -> float:
    return instead if isnan(value) else value


def _named(pair: tuple[str, float], spec: str) -> str:
    return f"{pair[0]} {number(pair[1], spec)}"


def _several(found: Sequence[float], spec: str) -> str:
    return " and ".join(number(value, spec) for value in found)
