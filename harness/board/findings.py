"""What the numbers of a board decide: the answers to questions that were asked before.

Errors are compared by their logarithms, so that a finding is about a factor. Every test is one of
several: p values are Holm's, and where they decide nothing, nothing is said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, log10, nan
from statistics import median

from equibench.board.definition import Board, Question
from equibench.board.entry import CaseErrors, Entry
from equibench.board.standings import Standing, standings
from equibench.foundation.rounding import allowance
from equibench.registry.specs import Spec
from equibench.statistics.paired_tests import SIGNIFICANCE, could_be_significant, holm, paired
from equibench.statistics.rank_correlation import trend

__all__ = ["Finding", "Point", "findings"]


@dataclass(frozen=True)
class Point:
    """One pair: of networks, of motions, or of an image under two networks.

    Args:
        name: what it is.
        first, second: the errors of both sides; of a trend, x and y.
    """

    name: str
    first: float
    second: float


@dataclass(frozen=True)
class Finding:
    """What was asked, and what the numbers say.

    Args:
        units: what is independent: ``networks`` or ``images``.
        p: after Holm's correction over all questions; NaN where too little is there to test.
        effect: median factor of the second side's error over the first's; of a trend, τ.
        sentence: what the numbers decide; or, if not ``decided``, that they do not.
        networks: labels of the entries that it rests on.
    """

    question: Question
    units: str
    points: Sequence[Point]
    p: float
    effect: float
    decided: bool
    sentence: str
    networks: Sequence[str]


@dataclass(frozen=True)
class _Test:
    """A test's p, and the smallest that it can have."""

    p: float
    smallest: float


def findings(board: Board, entries: Sequence[Entry]) -> list[Finding]:
    """Answer every question of a board; what is decided comes first."""
    lines = standings(entries)
    default = Spec.parse(board.suites[0])
    suite = default.chosen_label or default.reference
    asked = []
    for question in board.questions:
        if not question.suite:
            question = question.model_copy(update={"suite": suite})
        asked.append(_asked(question, lines))
    tests = [test for _, test in asked]
    able = could_be_significant(tests)
    adjusted = iter(holm([t.p for t, can in zip(tests, able, strict=True) if can]))
    found = []
    for (finding, _), can in zip(asked, able, strict=True):
        p = next(adjusted) if can else nan
        done = replace(finding, p=p, decided=p < SIGNIFICANCE and _one_way(finding))
        found.append(replace(done, sentence=_sentence(done)))
    return sorted(found, key=lambda finding: not finding.decided)


def _asked(question: Question, lines: Sequence[Standing]) -> tuple[Finding, _Test]:
    mine = [
        line
        for line in lines
        if line.suite == question.suite and line.entry.division == question.among
    ]
    if question.trend is not None:
        return _trend(question, [line for line in mine if not line.treated])
    kinds: list[tuple[object, Callable[..., tuple[list[Point], list[str]]]]] = [
        (question.swap, _swapped),
        (question.motions, _moved),
        (question.entries, _by_image),
    ]
    points, networks = next(find for asked, find in kinds if asked is not None)(question, mine)
    logs = [log10(point.second / point.first) for point in points]
    test = paired(logs)
    units = "networks" if question.entries is None else "images"
    effect = 10 ** median(logs) if logs else nan
    finding = Finding(question, units, points, nan, effect, False, "", networks)
    return finding, _Test(test.p, test.smallest)


def _one_way(finding: Finding) -> bool:
    """Whether the median factor says what most pairs say."""
    if finding.question.trend is not None:
        return True
    more = sum(point.second > point.first for point in finding.points)
    return more > len(finding.points) / 2 if finding.effect > 1 else more < len(finding.points) / 2


def _error(line: Standing, motion: str) -> float:
    """Mean error, never below what counts as rounding; NaN where there is none."""
    figures = line.figures.get(motion)
    if figures is None or not isfinite(figures.mean) or figures.mean < 0:
        return nan
    return max(figures.mean, _limit(line.entry.of(line.suite, motion), line.entry))


def _limit(cases: Sequence[CaseErrors], entry: Entry) -> float:
    return allowance(str(entry.conditions["precision"]), max(case.floor for case in cases))


def _swapped(question: Question, lines: Sequence[Standing]) -> tuple[list[Point], list[str]]:
    """Networks whose specs differ by one text."""
    assert question.swap is not None
    old, new = question.swap
    by_model = {line.entry.model: line for line in lines}
    points, networks = [], []
    for model, line in by_model.items():
        parts = model.split(",")
        if old and old not in parts:
            continue
        text = ",".join(new if p == old else p for p in parts) if old else model + new
        other = by_model.get(text)
        if other is None:
            continue
        first, second = (_error(each, question.motion) for each in (line, other))
        if isfinite(first) and isfinite(second):
            points.append(Point(line.entry.label, first, second))
            networks += [line.entry.label, other.entry.label]
    return points, list(dict.fromkeys(networks))


def _moved(question: Question, lines: Sequence[Standing]) -> tuple[list[Point], list[str]]:
    """The same networks under two motions; treated ones are made for the first."""
    assert question.motions is not None
    points = []
    for line in (line for line in lines if not line.treated):
        first, second = (_error(line, motion) for motion in question.motions)
        if isfinite(first) and isfinite(second):
            points.append(Point(line.entry.label, first, second))
    return points, [point.name for point in points]


def _by_image(question: Question, lines: Sequence[Standing]) -> tuple[list[Point], list[str]]:
    """Clusters of images, each under the networks of one side and of the other."""
    assert question.entries is not None
    by_label = {line.entry.label: line for line in lines}
    sides = [[by_label[n] for n in names if n in by_label] for names in question.entries]
    if any(len(found) < len(names) for found, names in zip(sides, question.entries, strict=True)):
        return [], []
    first, second = (_geometric(side, question.motion) for side in sides)
    both = [name for name in first if name in second]
    networks = [line.entry.label for side in sides for line in side]
    return [Point(name, first[name], second[name]) for name in sorted(both)], networks


def _geometric(side: Sequence[Standing], motion: str) -> dict[str, float]:
    """The geometric mean of networks' mean errors on each cluster of images."""
    logs: dict[str, list[float]] = {}
    for line in side:
        cases = line.entry.of(line.suite, motion)
        if not cases:
            continue
        limit = _limit(cases, line.entry)
        by_cluster: dict[str, list[float]] = {}
        for case in (case for case in cases if case.varies(limit)):
            by_cluster.setdefault(case.cluster, []).extend(case.errors)
        for cluster, errors in by_cluster.items():
            error = max(sum(errors) / len(errors), limit)
            if isfinite(error):
                logs.setdefault(cluster, []).append(log10(error))
    whole = {name: each for name, each in logs.items() if len(each) == len(side)}
    return {name: 10 ** (sum(each) / len(each)) for name, each in whole.items()}


def _trend(question: Question, lines: Sequence[Standing]) -> tuple[Finding, _Test]:
    assert question.trend is not None
    points = []
    for line in lines:
        first, second = (_column(line, name, question.motion) for name in question.trend)
        if isfinite(first) and isfinite(second):
            points.append(Point(line.entry.label, first, second))
    test = trend([p.first for p in points], [p.second for p in points])
    networks = [point.name for point in points]
    finding = Finding(question, "networks", points, nan, test.tau, False, "", networks)
    return finding, _Test(test.p, test.smallest)


def _column(line: Standing, name: str, motion: str) -> float:
    columns: Mapping[str, object] = {
        "error": _error(line, motion),
        "parameters": line.entry.identity.get("parameters"),
        "time": line.facts.get("time"),
        "quality": line.quality.get("psnr"),
    }
    value = columns[name]
    return nan if value is None else float(str(value))


def _sentence(finding: Finding) -> str:
    """What follows; nothing is claimed that the test does not decide."""
    first, second = finding.question.names
    count, where = len(finding.points), finding.question.suite
    if not finding.decided:
        if not count:
            return f"{first} and {second}: not measured yet."
        few = " too few to test" if finding.p != finding.p else f" p = {finding.p:.2g}"
        units = finding.units if count > 1 else finding.units.removesuffix("s")
        decide = "decide" if count > 1 else "decides"
        return f"{first} and {second}: {count} {units} on {where} {decide} nothing,{few}."
    p = f"p {'= ' + format(finding.p, '.1g') if finding.p >= 1e-4 else '< 0.0001'}"
    if finding.question.trend is not None:
        way = "rises" if finding.effect > 0 else "falls"
        return (
            f"Over {count} {finding.question.among} networks on {where}, {second} {way} with "
            f"{first} (Kendall's τ = {finding.effect:+.2f}, {p})."
        )
    more = sum(point.second > point.first for point in finding.points)
    less = sum(point.second < point.first for point in finding.points)
    worse, better, agree = (second, first, more) if finding.effect > 1 else (first, second, less)
    factor = max(finding.effect, 1 / finding.effect)
    unit = "pairs of networks" if finding.question.swap else finding.units
    return (
        f"The error is {_times(factor)} as large with {worse} as with {better}: so it is on "
        f"{agree} of {count} {unit} ({where}, {finding.question.among}; median factor, {p})."
    )


def _times(factor: float) -> str:
    """To two digits, without an exponent."""
    return f"{float(f'{factor:.2g}'):.9g} times" if factor < 1e4 else "more than 10 000 times"
