"""Two runs, or the models of one, side by side: pair by pair where they share cases and shifts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from equibench.errors import UsageError
from equibench.foundation.rounding import allowance, tolerated
from equibench.guard.baseline import SUITE, Baseline, Key
from equibench.guard.gate import CONDITIONS, METRIC, Mark, Verdict, changed
from equibench.guard.tolerance import DEFAULT
from equibench.runs.run_folder import RunFolder
from equibench.statistics.paired_tests import FEWEST, holm, paired
from equibench.statistics.summary import KEYS

__all__ = ["compare", "compare_models"]

SIGNIFICANCE = 0.05
"""Of a line, after Holm's correction for all of them."""

_PLACE = ["case", "dy", "dx"]


def compare(before: RunFolder, after: RunFolder) -> list[Verdict]:
    """One verdict for each metric of each model × suite × group, on what both runs measured.

    The units of the test are cases; with fewer than six of them, cases and shifts. Where even
    those are too few to be significant, the default tolerance of ``check`` decides. A run of one
    model is compared with a run of one other.

    Raises:
        UsageError: a run that has not finished.
    """
    sides = [_Side(Baseline.of_run(run), run.rows()) for run in (before, after)]
    old, new = sides[0], sides[1].named_like(sides[0])
    # other shifts leave nothing to pair, which is said where it happens
    conditions = [name for name in CONDITIONS if name != "shifts"]
    if changes := changed(old.baseline.conditions, new.baseline.conditions, conditions):
        return [Verdict("not comparable", "", "", "", "", note=changes)]
    verdicts: list[Verdict] = []
    for key in dict.fromkeys([*new.baseline.lines, *old.baseline.lines]):
        if key not in old.baseline.lines:
            verdicts.append(Verdict("new", *key, "", note="the first run has no such line"))
        elif key not in new.baseline.lines:
            verdicts.append(Verdict("missing", *key, "", note="the second run has no such line"))
        else:
            verdicts += _compare_line(key, old, new)
    return _decided(verdicts)


def compare_models(run: RunFolder, reference: str) -> list[Verdict]:
    """As ``compare``, but every other model of one run against one of its models.

    ``better`` is who is better than the reference; Holm's correction is for all lines of all
    models.

    Raises:
        UsageError: a run that has not finished, or has no such model.
    """
    whole = _Side(Baseline.of_run(run), run.rows())
    models = list(dict.fromkeys(model for model, _, _ in whole.baseline.lines))
    if reference not in models:
        raise UsageError(f"{run.path} has no model {reference!r}; it has {', '.join(models)}")
    verdicts: list[Verdict] = []
    for model in models:
        if model == reference:
            continue
        new = whole.of(model)
        old = whole.of(reference).named_like(new)
        for key in new.baseline.lines:
            if key in old.baseline.lines:
                verdicts += _compare_line(key, old, new)
    return _decided(verdicts)


@dataclass(frozen=True)
class _Side:
    """One of the two runs."""

    baseline: Baseline
    rows: pd.DataFrame

    def part(self, key: Key) -> pd.DataFrame:
        mine = (self.rows[KEYS] == list(key)).all(axis=1)
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
        (name,) = others
        lines = {(name, *key[1:]): line for key, line in self.baseline.lines.items()}
        return _Side(replace(self.baseline, lines=lines), self.rows.assign(model=name))


def _compare_line(key: Key, old: _Side, new: _Side) -> list[Verdict]:
    suites = old.baseline.suites[key[1]], new.baseline.suites[key[1]]
    # the cases that one run alone has are left out
    if changes := changed(*suites, [name for name in SUITE if name != "cases"]):
        return [Verdict("not comparable", *key, "", note=f"suite: {changes}")]
    merged = old.part(key).merge(new.part(key), on=_PLACE, suffixes=("", "_new"))
    pairs = merged[(merged["draw"] > 0) & (merged["draw_new"] > 0)]
    if pairs.empty:
        return [Verdict("not comparable", *key, "", note="no case has the same shift in both runs")]
    cases = merged[(merged["draw"] == 0) & (merged["draw_new"] == 0)]
    sides = old.baseline.lines[key], new.baseline.lines[key]
    verdicts = []
    for column in dict.fromkeys([*sides[1], *sides[0]]):
        if column == "floor":
            continue
        if column not in sides[0] or column not in sides[1]:
            mark: Mark = "new" if column in sides[1] else "missing"
            run = "first" if column in sides[1] else "second"
            note = f"the {run} run has no such metric"
            verdicts.append(Verdict(mark, *key, column, note=note))
        elif changes := changed(old.baseline.metrics[column], new.baseline.metrics[column], METRIC):
            verdicts.append(Verdict("not comparable", *key, column, note=f"metric: {changes}"))
        else:
            over = pairs if "sd" in sides[0][column] else cases
            verdicts.append(_test(key, column, over, old.baseline))
    return verdicts


def _test(key: Key, column: str, pairs: pd.DataFrame, baseline: Baseline) -> Verdict:
    best = baseline.metrics[column]["best"]
    was, now = ((best - pairs[name]).abs() for name in (column, f"{column}_new"))
    figures = float(pairs[column].mean()), float(pairs[f"{column}_new"].mean())
    extremes: list[tuple[Mark, str, pd.Series]] = [
        ("worse", "is not finite", now),
        ("better", "was not finite", was),
    ]
    for mark, said, values in extremes:
        if not np.isfinite(values).all():
            place = pairs.loc[~np.isfinite(values)].iloc[0]
            note = f"{said}, first at {place['case']} ({place['dy']}, {place['dx']})"
            return Verdict(mark, *key, column, "mean", *figures, note=note)
    difference = (now - was).mask(_rounding(column, pairs, was, now, baseline), 0.0)
    by_case = difference.groupby(pairs["case"]).mean()
    few = len(by_case) < FEWEST
    test = paired(difference if few else by_case)
    unit = "cases and shifts" if few and len(difference) > len(by_case) else "cases"
    note = f"{test.different} of {test.pairs} {unit} differ"
    mark = "ok"
    if test.pairs < FEWEST:
        note += ": too few to test"
        beyond = DEFAULT.relative * min(float(was.mean()), float(now.mean()))
        if abs(difference.mean()) > beyond:
            mark = "worse" if difference.mean() > 0 else "better"
    return Verdict(mark, *key, column, "mean", *figures, note=note, test=test)


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
    """Correct the tests of all lines together, and say which are significant."""
    tested = [v for v in verdicts if v.test is not None and v.test.pairs >= FEWEST]
    adjusted = iter(holm([v.test.p for v in tested if v.test is not None]))
    decided = []
    for verdict in verdicts:
        if verdict.test is None or verdict.test.pairs < FEWEST:
            decided.append(verdict)
            continue
        test = replace(verdict.test, p=next(adjusted))
        mark: Mark = "ok"
        if test.p < SIGNIFICANCE:
            mark = "worse" if test.effect > 0 else "better"
        decided.append(replace(verdict, mark=mark, test=test))
    return decided
