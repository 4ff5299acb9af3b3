"""Who stands where: a line for each entry on each suite, ranked among its like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equibench.board.entry import CaseErrors, Entry
from equibench.foundation.rounding import allowance
from equibench.registry.specs import Spec
from equibench.statistics.averages import mean
from equibench.statistics.confidence_intervals import Interval, interval
from equibench.transforms.transform import CIRCULAR

__all__ = ["MOTIONS", "Figures", "Standing", "Treatment", "figures", "standings"]

MOTIONS = (CIRCULAR, "crop", "tile", "fourier", "d4")
"""In the order in which they are shown."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """What an entry's errors on a suite under one motion come to.

    Args:
        mean, worst: error over all cases and elements, as ``CaseErrors.errors`` has it.
        within: 95 % confidence interval of the mean, over clusters.
        at: where the worst is.
        rounding: no error is more than rounding.
        labels: whether they are of label maps.
        constant: cases that are left out, since the output there is one value throughout, which
            no motion changes; without any other, errors are NaN.
    """

    mean: float
    worst: float
    within: Interval
    at: str
    rounding: bool
    labels: bool = False
    constant: int = 0

    @property
    def all_constant(self) -> bool:
        return not self.at


@dataclass(frozen=True)
class Treatment:
    """The treatment that lowers an entry's worst error most.

    Args:
        name: as ``mend=`` takes it.
        mean, worst: by what the errors are divided; infinite where only rounding is left.
        quality: change of PSNR in dB; NaN where there is no ground truth.
        time: of a pass over the untreated network's.
    """

    name: str
    mean: float
    worst: float
    quality: float
    time: float


@dataclass(frozen=True)
class Standing:
    """One entry on one suite.

    Args:
        rank, of: by mean error under circular shifts, among entries of its division on the suite;
            those without more than rounding share the first place. 0 where nothing is measured:
            every output is one value.
        quality: means over cases, by metric.
        best: what a treatment on the board buys; None where none is there, or none helps.
        treated: the name of its own treatment, or nothing.
    """

    entry: Entry
    suite: str
    figures: Mapping[str, Figures]
    quality: Mapping[str, float]
    rank: int = 0
    of: int = 0
    best: Treatment | None = None
    treated: str = ""

    @property
    def error(self) -> float:
        """What it is ranked by: mean error under circular shifts, 0 where it is rounding."""
        circular = self.figures[CIRCULAR]
        return 0.0 if circular.rounding else circular.mean

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the network itself."""
        return self.entry.facts


def standings(entries: Sequence[Entry]) -> list[Standing]:
    """A line for each entry on each of its suites: best first, trained before untrained."""
    found = [_standing(entry, suite) for entry in entries for suite in entry.suites]
    found = [line for line in found if CIRCULAR in line.figures]
    ranked = []
    for line in found:
        errors = [
            np.inf if isnan(other.error) else other.error
            for other in found
            if (other.suite, other.entry.division) == (line.suite, line.entry.division)
            and not other.figures[CIRCULAR].all_constant
        ]
        mine = np.inf if isnan(line.error) else line.error
        rank = 0 if line.figures[CIRCULAR].all_constant else 1 + sum(e < mine for e in errors)
        ranked.append(replace(line, rank=rank, of=len(errors), best=_best(line, found)))
    return sorted(
        ranked,
        key=lambda s: (s.suite, s.entry.division, s.rank or len(ranked) + 1, s.entry.label),
    )


def figures(cases: Sequence[CaseErrors], precision: str) -> Figures:
    """Sum up what a network did under one motion.

    Args:
        cases: at least one.
    """
    floor = max(case.floor for case in cases)
    limit = allowance(precision, floor)
    labels = any(case.agreement for case in cases)
    varying = [case for case in cases if case.varies(limit)]
    constant = len(cases) - len(varying)
    if not varying:
        nothing = Interval(reason="constant outputs")
        return Figures(nan, nan, nothing, "", rounding=False, labels=labels, constant=constant)
    cases = varying
    values = np.array([error for case in cases for error in case.errors])
    ranked = np.nan_to_num(values, nan=np.inf)
    at = int(ranked.argmax())
    place = [f"{case.case} {element}" for case in cases for element in case.at][at]
    return Figures(
        mean=mean(values, np.ones(len(values), dtype=np.int64)),
        worst=float(values[at]),
        within=_interval(cases, limit),
        at=place,
        rounding=not any(case.beyond(limit) for case in cases),
        labels=labels,
        constant=constant,
    )


def _interval(cases: Sequence[CaseErrors], limit: float) -> Interval:
    """Of the mean, over clusters in the order of their names."""
    members: dict[str, list[CaseErrors]] = {}
    for case in cases:
        members.setdefault(case.cluster, []).append(case)
    clusters = [members[name] for name in sorted(members)]
    return interval(
        np.array([sum(sum(case.errors) for case in each) for each in clusters], dtype=np.float64),
        np.array([sum(len(case.errors) for case in each) for each in clusters], dtype=np.float64),
        beyond=np.array([any(case.beyond(limit) for case in each) for each in clusters]),
    )


def _standing(entry: Entry, suite: str) -> Standing:
    precision = str(entry.conditions["precision"])
    motions = dict.fromkeys([*MOTIONS, *(each.motion for each in entry.errors)])
    by_motion = {motion: entry.of(suite, motion) for motion in motions}
    names = dict.fromkeys(name for each in by_motion[CIRCULAR] for name in each.quality)
    quality = {
        name: float(np.mean([each.quality.get(name, nan) for each in by_motion[CIRCULAR]]))
        for name in names
    }
    return Standing(
        entry,
        suite,
        {motion: figures(cases, precision) for motion, cases in by_motion.items() if cases},
        quality,
        treated=Spec.parse(entry.model).mend or "",
    )


def _untreated(model: str) -> tuple[Any, ...]:
    """What a network and the same network treated have in common."""
    spec = Spec.parse(model)
    arguments, adapters = (tuple(sorted(x.items())) for x in (spec.arguments, spec.adapters))
    return spec.reference, arguments, adapters, spec.weights


def _best(line: Standing, others: Sequence[Standing]) -> Treatment | None:
    """The treatment that leaves the smallest worst error; None where none lowers it."""
    if line.treated:
        return None
    base = _untreated(line.entry.model)
    mine = [
        other
        for other in others
        if other.treated
        and other.suite == line.suite
        and _untreated(other.entry.model) == base
        and not other.figures[CIRCULAR].all_constant
    ]
    if not mine:
        return None
    best = min(mine, key=lambda other: _worst(other))
    if not _worst(best) < _worst(line):
        return None
    before, after = line.figures[CIRCULAR], best.figures[CIRCULAR]
    return Treatment(
        best.treated,
        np.inf if best.error == 0 else before.mean / after.mean,
        np.inf if best.error == 0 else before.worst / after.worst,
        best.quality.get("psnr", nan) - line.quality.get("psnr", nan),
        _number(best.facts.get("time")) / _number(line.facts.get("time")),
    )


def _worst(line: Standing) -> float:
    circular = line.figures[CIRCULAR]
    return 0.0 if circular.rounding else circular.worst


def _number(value: object) -> float:
    return float(str(value)) if value is not None else nan
