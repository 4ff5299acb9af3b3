"""Two runs, or the models of one, side by side: pair by pair where they share cases and shifts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from equibench.errors import UsageError
from equibench.foundation.rounding import allowance, tolerated
from equibench.guard.baseline import SUITE, Baseline, Key, over_shifts
from equibench.guard.gate import CONDITIONS, METRIC, Mark, Verdict, changed
from equibench.guard.tolerance import DEFAULT
from equibench.runs.run_folder import RunFolder
from equibench.statistics.paired_tests import (
    SIGNIFICANCE,
    by_cluster,
    could_be_significant,
    holm,
    paired,
)
from equibench.statistics.summary import KEYS, kept_apart
from equibench.transforms.transform import AXES, element_name

__all__ = ["compare", "compare_models"]

_ELEMENT = ("case", "element", *AXES)
"""What tells rows of one model and suite apart, as far as both sides have it."""


def compare(before: RunFolder, after: RunFolder) -> list[Verdict]:
    """One verdict for each metric of each model × suite × group, on what both runs measured.

    The units of the test are clusters of cases. Where so few of them differ that no p-value could
    be below 5 %, the default tolerance of ``check`` decides, and the verdict is of these cases
    alone: ``worse here``. A run of one model is compared with a run of one other; verdicts name the
    second run's.

    Raises:
        UsageError: a run that has not finished, or nothing is in both runs.
    """
    sides = [_Side(Baseline.of_run(run), kept_apart(run.rows())) for run in (before, after)]
    old, new = sides[0].named_like(sides[1]), sides[1]
    # other shifts leave nothing to pair, which is said where it happens
    conditions = [name for name in CONDITIONS if name != "shifts"]
    if changes := changed(old.baseline.conditions, new.baseline.conditions, conditions):
        return [Verdict("not comparable", "", "", "", "", note=changes)]
    return _decided(_compare_lines(old, new, "the first run", "the second run"))


def compare_models(run: RunFolder, reference: str) -> list[Verdict]:
    """As ``compare``, but every other model of one run against one of its models.

    ``better`` is who is better than the reference; Holm's correction is for all lines of all
    models.

    Raises:
        UsageError: a run that has not finished, or has no such model, or no other.
    """
    whole = _Side(Baseline.of_run(run), kept_apart(run.rows()))
    models = list(dict.fromkeys(model for model, _, _ in whole.baseline.lines))
    if reference not in models:
        raise UsageError(f"{run.path} has no model {reference!r}; it has {', '.join(models)}")
    if len(models) == 1:
        raise UsageError(
            f"nothing is compared: {run.path} has no model but {reference}; measure another beside "
            "it, or compare two runs"
        )
    verdicts: list[Verdict] = []
    for model in models:
        if model == reference:
            continue
        new = whole.of(model)
        old = whole.of(reference).named_like(new)
        if old.baseline.lines.keys() & new.baseline.lines.keys():
            verdicts += _compare_lines(old, new, reference, model)
        else:
            note = f"it shares no suite with {reference}"
            verdicts.append(Verdict("not comparable", model, "", "", "", note=note))
    return _decided(verdicts)


@dataclass(frozen=True)
class _Side:
    """One of the two runs.

    Args:
        label: the model's own name, where it goes by that of the other side's.
    """

    baseline: Baseline
    rows: pd.DataFrame
    label: str = ""

    def part(self, key: Key) -> pd.DataFrame:
        mine = (self.rows[KEYS[:3]] == list(key)).all(axis=1)
        return self.rows[mine]

    def of(self, model: str) -> "_Side":
        """What belongs to one model."""
        lines = {key: line for key, line in self.baseline.lines.items() if key[0] == model}
        rows = self.rows[self.rows["model"] == model]
        return _Side(replace(self.baseline, lines=lines), rows)

    def named_like(self, other: "_Side") -> "_Side":
        """Give the only model the name of the other run's only one."""
        own, others = ({key[0] for key in side.baseline.lines} for side in (self, other))
        if len(own) != 1 or len(others) != 1:
            return self
        (mine,), (name,) = own, others
        if mine == name:
            return self
        lines = {(name, *key[1:]): line for key, line in self.baseline.lines.items()}
        return _Side(replace(self.baseline, lines=lines), self.rows.assign(model=name), mine)


def _compare_lines(old: _Side, new: _Side, first: str, second: str) -> list[Verdict]:
    """What is said of every line of two sides, which are called ``first`` and ``second``."""
    verdicts: list[Verdict] = []
    for key in dict.fromkeys([*new.baseline.lines, *old.baseline.lines]):
        if key not in old.baseline.lines:
            verdicts.append(Verdict("new", *key, "", note=f"{first} has no such line"))
        elif key not in new.baseline.lines:
            verdicts.append(Verdict("missing", *key, "", note=f"{second} has no such line"))
        else:
            verdicts += _compare_line(key, old, new, first, second)
    return verdicts


def _compare_line(key: Key, old: _Side, new: _Side, first: str, second: str) -> list[Verdict]:
    suites = old.baseline.suites[key[1]], new.baseline.suites[key[1]]
    # the cases that one run alone has are left out, and counted
    if changes := changed(*suites, [name for name in SUITE if name != "cases"]):
        return [Verdict("not comparable", *key, "", note=f"suite: {changes}")]
    parts = old.part(key), new.part(key)
    pairs, cases = (_paired_rows(parts, shifted) for shifted in (True, False))
    if pairs.empty:
        note = f"no case has the same shift in both: {_left_out(parts, pairs)}"
        return [Verdict("not comparable", *key, "", note=note)]
    sides = old.baseline.lines[key], new.baseline.lines[key]
    note = _left_out(parts, pairs)
    verdicts = []
    for column in dict.fromkeys([*sides[1], *sides[0]]):
        if column == "floor":
            continue
        if column not in sides[0] or column not in sides[1]:
            mark: Mark = "new" if column in sides[1] else "missing"
            lacking = first if column in sides[1] else second
            missing = f"{lacking} has no such metric"
            verdicts.append(Verdict(mark, *key, column, note=missing))
        elif changes := changed(old.baseline.metrics[column], new.baseline.metrics[column], METRIC):
            verdicts.append(Verdict("not comparable", *key, column, note=f"metric: {changes}"))
        else:
            over = pairs if over_shifts(sides[0][column]) else cases
            verdict = _test(key, column, over, old.baseline)
            notes = [
                verdict.note,
                f"against {old.label}" if old.label not in ("", first) else "",
                note,
            ]
            verdicts.append(replace(verdict, note="; ".join(filter(None, notes))))
    return verdicts


def _paired_rows(parts: tuple[pd.DataFrame, pd.DataFrame], shifted: bool) -> pd.DataFrame:
    """Rows of both sides of the same case and shift; a shift that was drawn twice counts once."""
    element = _element(parts)
    chosen = [part[(part["draw"] > 0) == shifted].drop_duplicates(element) for part in parts]
    return chosen[0].merge(chosen[1], on=element, suffixes=("", "_new"))


def _element(parts: tuple[pd.DataFrame, pd.DataFrame]) -> list[str]:
    return [name for name in _ELEMENT if all(name in part for part in parts)]


def _left_out(parts: tuple[pd.DataFrame, pd.DataFrame], pairs: pd.DataFrame) -> str:
    """How many cases and shifts have no partner, as a phrase; empty where all have one."""
    element = _element(parts)
    shifted = pd.concat([part.loc[part["draw"] > 0, element] for part in parts]).drop_duplicates()
    counts = {
        "cases": (shifted["case"].nunique(), pairs["case"].nunique()),
        "shifts": (len(shifted), len(pairs)),
    }
    left = [f"{a - b} of {a} {what}" for what, (a, b) in counts.items() if a > b]
    return f"{' and '.join(left)} left out, measured on one side alone" if left else ""


def _test(key: Key, column: str, pairs: pd.DataFrame, baseline: Baseline) -> Verdict:
    """What the tolerance says, with a test: which of them decides is for all lines together."""
    best = baseline.metrics[column]["best"]
    was, now = ((best - pairs[name]).abs() for name in (column, f"{column}_new"))
    figures = float(pairs[column].mean()), float(pairs[f"{column}_new"].mean())
    extremes: list[tuple[Mark, str, pd.Series]] = [
        ("worse", "is not finite", now),
        ("better", "was not finite", was),
    ]
    for mark, said, values in extremes:
        if not np.isfinite(values).all():
            first = pairs.loc[~np.isfinite(values)].iloc[0]
            note = f"{said}, first at {first['case']} {element_name(first)}"
            return Verdict(mark, *key, column, "mean", *figures, note=note)
    difference = (now - was).mask(_rounding(column, pairs, was, now, baseline), 0.0)
    units = by_cluster(difference, pairs["case"], pairs["cluster"])
    test = paired(units)
    unit = "case" if len(units) == pairs["case"].nunique() else "cluster"
    note = f"{test.different} of {test.pairs} {unit}s differ"
    if test.pairs == 1:
        note = f"the only {unit} {'differs' if test.different else 'does not differ'}"
    mark, allowed = "ok", DEFAULT.relative * min(float(was.mean()), float(now.mean()))
    if abs(units.mean()) > allowed:
        mark = "worse here" if units.mean() > 0 else "better here"
    # of the value, on the side of it that is worse
    up = baseline.metrics[column]["higher_is_better"]
    limit = figures[0] - allowed if up else figures[0] + allowed
    return Verdict(mark, *key, column, "mean", *figures, limit, note, test)


def _rounding(
    column: str, pairs: pd.DataFrame, was: pd.Series, now: pd.Series, baseline: Baseline
) -> "pd.Series[bool]":
    """Which pairs differ by no more than rounding can make; NMSE speaks for every metric."""
    if column.startswith(("eq_", "delta_")):
        was, now = pairs["eq_nmse"], pairs["eq_nmse_new"]
    floor = float(pairs["floor_nmse"].max())
    limit = allowance(str(baseline.conditions["precision"]), floor)
    both = pd.DataFrame({"was": was, "now": now})
    return both.max(axis=1) <= both.min(axis=1).map(lambda error: tolerated(error, limit))


def _decided(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Correct the tests of all lines together; those that could say nothing are left out."""
    if not verdicts:
        raise UsageError("nothing is compared: neither side has measurements")
    tests = [v.test for v in verdicts if v.test is not None]
    able = dict(zip(map(id, tests), could_be_significant(tests), strict=True))
    adjusted = iter(holm([test.p for test in tests if able[id(test)]]))
    decided = []
    for verdict in verdicts:
        if verdict.test is None:
            decided.append(verdict)
        elif able[id(verdict.test)]:
            test = replace(verdict.test, p=next(adjusted))
            mark: Mark = "ok"
            if test.p < SIGNIFICANCE:
                mark = "worse" if test.effect > 0 else "better"
            decided.append(replace(verdict, mark=mark, test=test, limit=None))
        else:
            head, _, rest = verdict.note.partition("; ")
            few = f"{head}: too few to test" if verdict.test.different else head
            if verdict.mark != "ok":
                few += f", but on these the difference is more than {DEFAULT.relative:.0%}"
            decided.append(replace(verdict, note="; ".join(filter(None, [few, rest])), test=None))
    return decided
