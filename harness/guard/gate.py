"""The gate: is what was measured as good as its baseline?

A figure is judged by its distance to the best value that its metric has (0 for NMSE and ΔPSNR,
1 for SSIM), so that one rule serves all metrics. A rerun passes whatever its batch and threads,
because rounding is allowed for; where another seed drew other shifts, so is the sampling.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equibench.errors import UsageError
from equibench.foundation.rounding import allowance, default_limit, tolerated
from equibench.guard.baseline import STATISTICS, SUITE, Baseline, Key, Line, over_shifts
from equibench.guard.tolerance import Tolerance, pick, refuse_unused
from equibench.statistics.paired_tests import Paired

__all__ = [
    "CONDITIONS",
    "METRIC",
    "Mark",
    "Verdict",
    "changed",
    "failed",
    "judge",
    "other_conditions",
    "worse",
]

Mark = Literal[
    "ok",
    "improved",
    "regression",
    "changed",
    "new",
    "missing",
    "not comparable",
    "better",
    "worse",
    "better here",
    "worse here",
]
"""What is said of a line. ``better`` and ``worse`` are those of a paired comparison, with ``here``
where it is of too few cases to say anything of others."""

_PASSES = ("ok", "improved", "better", "better here")

CONDITIONS = ("frame", "precision", "shifts")
METRIC = ("version", "best", "higher_is_better")
"""What must be equal for two figures to mean the same."""

SAMPLING = 4.0
"""Standard errors that other shifts may move a mean by, and spreads a median or the worst."""


@dataclass(frozen=True)
class Verdict:
    """What is said of one figure.

    Args:
        statistic: empty where a whole metric, suite or model is meant.
        before, after: the figures; None where there is none.
        limit: the worst value that would have passed.
        note: the place of the worst, or the reason.
        test: of a paired comparison, its p adjusted for the number of lines.
    """

    mark: Mark
    model: str
    suite: str
    group: str
    metric: str
    statistic: str = ""
    before: float | None = None
    after: float | None = None
    limit: float | None = None
    note: str = ""
    test: Paired | None = None

    @property
    def passed(self) -> bool:
        return self.mark in _PASSES

    @property
    def subject(self) -> str:
        """Model, suite, group, metric and statistic, as far as they are meant."""
        names = " · ".join(filter(None, (self.model, self.suite, self.group)))
        return ": ".join(filter(None, (names, self.figure)))

    @property
    def figure(self) -> str:
        """The metric, and the statistic if one is meant."""
        return f"{self.statistic} {self.metric}".strip()

    def __str__(self) -> str:
        parts = [": ".join(filter(None, (self.mark, self.subject)))]
        figures = {"was": self.before, "is": self.after}
        said = [f"{verb} {value:.4g}" for verb, value in figures.items() if value is not None]
        parts.append(" and ".join(said))
        if self.limit is not None:
            parts.append(f"limit {self.limit:.4g}")
        return ", ".join(filter(None, [*parts, self.note]))


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that make a check fail."""
    return [verdict for verdict in verdicts if not verdict.passed]


def judge(before: Baseline, after: Baseline, tolerances: Sequence[Tolerance] = ()) -> list[Verdict]:
    """One verdict for each figure of either side, in the order of what was measured.

    Raises:
        UsageError: a tolerance that covers no figure, or nothing is compared.
    """
    refuse_unused(tolerances, _figures([before, after]))
    if changes := other_conditions(before.conditions, after.conditions):
        return [Verdict("not comparable", "", "", "", "", note=changes)]
    verdicts = []
    for key in dict.fromkeys([*after.lines, *before.lines]):
        if key not in before.lines:
            verdicts.append(Verdict("new", *key, "", note="the baseline has no such line"))
        elif key not in after.lines:
            verdicts.append(Verdict("missing", *key, "", note="it was not measured"))
        else:
            verdicts += _judge_line(key, before, after, tolerances)
    if before.outputs and after.outputs:
        verdicts.append(_judge_outputs(before, after))
    if not verdicts:
        raise UsageError("nothing is compared: neither side has measurements")
    return verdicts


def other_conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What two measurements do not have in common, as a phrase; empty where they can be compared.

    A transform that one side alone has is a line that is missing.
    """
    names = [n for n in CONDITIONS if n != "shifts" or before.get(n) != "" != after.get(n)]
    both = [side.get("transforms", {}) for side in (before, after)]
    shared = [name for name in both[0] if name in both[1]]
    return "; ".join(
        filter(None, [changed(before, after, names), changed(both[0], both[1], shared)])
    )


def worse(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that an update of the baseline would make acceptable from then on."""
    return [verdict for verdict in verdicts if verdict.mark in ("regression", "missing")]


def changed(before: Mapping[str, Any], after: Mapping[str, Any], names: Sequence[str]) -> str:
    """What differs under some names, as a phrase; empty where nothing does."""
    return "; ".join(
        f"{name} was {before.get(name)} and is {after.get(name)}"
        for name in names
        if before.get(name) != after.get(name)
    )


def _figures(baselines: Sequence[Baseline]) -> Iterator[dict[str, str]]:
    for baseline in baselines:
        for (model, suite, group), line in baseline.lines.items():
            for metric in baseline.metrics.keys() & line.keys():
                for statistic in STATISTICS:
                    yield {
                        "model": model,
                        "suite": suite,
                        "group": group,
                        "metric": metric,
                        "statistic": statistic,
                    }


def _judge_line(
    key: Key, before: Baseline, after: Baseline, tolerances: Sequence[Tolerance]
) -> list[Verdict]:
    suites = before.suites[key[1]], after.suites[key[1]]
    if changes := changed(*suites, SUITE):
        return [Verdict("not comparable", *key, "", note=f"suite: {changes}")]
    old, new = before.lines[key], after.lines[key]
    line = _Line(key, before, after, tolerances)
    verdicts = []
    for column in dict.fromkeys([*new, *old]):
        if column == "floor":
            verdicts += _judge_repeatability(key, old, new)
            continue
        if column not in old:
            verdicts.append(Verdict("new", *key, column, note="the baseline has no such metric"))
        elif column not in new:
            verdicts.append(Verdict("missing", *key, column, note="it was not measured"))
        elif changes := changed(before.metrics[column], after.metrics[column], METRIC):
            verdicts.append(Verdict("not comparable", *key, column, note=f"metric: {changes}"))
        elif (was := old[column]["rows"]) != (now := new[column]["rows"]):
            mark: Mark = "missing" if now < was else "new"
            verdicts.append(Verdict(mark, *key, column, note=f"{was} rows were and {now} are"))
        else:
            verdicts += [line.verdict(column, statistic) for statistic in STATISTICS]
    return verdicts


def _judge_repeatability(key: Key, old: Line, new: Line) -> list[Verdict]:
    """Whether a model gives the same image the same output; nothing where it did and does."""
    was, now = (line["floor"].get("repeatability", "") for line in (old, new))
    if was == now:
        return []
    mark: Mark = "regression" if now else "improved"
    note = f"it was {was or 'repeatable'} and is {now or 'repeatable'}"
    return [Verdict(mark, *key, "repeatability", "", note=note)]


class _Line:
    """The figures of one model × suite × group on both sides."""

    def __init__(
        self,
        key: Key,
        before: Baseline,
        after: Baseline,
        tolerances: Sequence[Tolerance],
    ) -> None:
        self.key, self.tolerances = key, tolerances
        self.old, self.new = before.lines[key], after.lines[key]
        self.metrics = before.metrics
        self.other_shifts = before.conditions["seed"] != after.conditions["seed"]
        # of the baseline: a model that has become less precise must not excuse itself
        floor = self.old["floor"]
        precision = str(before.conditions["precision"])
        self.kind = self.new["floor"].get("repeatability", "")
        nmse = math.nan if floor["nmse"] is None or self.kind else floor["nmse"]
        self.rounding = allowance(precision, nmse)
        # what it does not repeat may move an error by as much as it differs from itself, once
        own = float(floor.get("repeat_nmse") or 0.0)
        self.own = max(self.rounding, own if math.isfinite(own) else 0.0)

    def verdict(self, column: str, statistic: str) -> Verdict:
        old, new = self.old[column][statistic], self.new[column][statistic]
        best = self.metrics[column]["best"]
        model, suite, group = self.key
        rule = pick(
            self.tolerances,
            model=model, suite=suite, group=group, metric=column, statistic=statistic,
        )  # fmt: skip
        was, now = abs(best - old), abs(best - new)
        sampling = self._sampling(column, statistic)
        limit = max(was * (1 + rule.relative), tolerated(was, self.own))
        limit += rule.absolute + sampling
        bound = best - limit if self.metrics[column]["higher_is_better"] else best + limit
        # what is rounding is the worst nowhere
        shown = statistic == "worst" and now > self.rounding
        at = f"at {self.new[column]['at']}" if shown else ""
        note = ", ".join(filter(None, (at, self.kind)))
        mark: Mark = "ok"
        if not math.isfinite(now) or (now > limit and not self._rounding_alone(column)):
            mark = "regression"
        # a run folder may hold NaN, a baseline file does not
        elif math.isnan(was) or (
            was > tolerated(now, self.own) + sampling and now < was * (1 - rule.relative)
        ):
            mark = "improved"
        return Verdict(mark, *self.key, column, statistic, old, new, bound, note)

    def _rounding_alone(self, column: str) -> bool:
        """Where no shift has an NMSE above rounding, no other metric has anything to say."""
        return over_shifts(self.new[column]) and self.new["eq_nmse"]["worst"] <= self.rounding

    def _sampling(self, column: str, statistic: str) -> float:
        """What other shifts may do to a figure, by the baseline's own spread over its shifts."""
        old = self.old[column]
        if not self.other_shifts or not over_shifts(old):
            return 0.0
        # residue classes make errors come in clusters: a median jumps from one to another
        error = math.sqrt(2 / old["rows"]) if statistic == "mean" else 1.0
        return SAMPLING * error * float(old["sd"])


def _judge_outputs(before: Baseline, after: Baseline) -> Verdict:
    from equibench.guard.output_sketch import deviation

    model, suite, _ = next(iter(after.lines))
    if len(before.outputs) != len(after.outputs):
        return Verdict("not comparable", model, suite, "", "outputs", note="another sketch of them")
    moved = deviation(before.outputs, after.outputs)
    limit = default_limit(str(before.conditions["precision"]))
    mark: Mark = "ok" if moved <= limit else "changed"
    note = "NMSE between the unshifted outputs and the baseline's, estimated"
    return Verdict(
        mark, model, suite, "", "outputs", "", None, moved, limit, note if mark != "ok" else ""
    )
