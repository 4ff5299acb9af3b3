"""Repeating a sample of an entry's rows: the same network, the same images, the same numbers?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose, isfinite
from random import SystemRandom
from typing import Any

from equibench.board.conditions import differences, expected, unlike
from equibench.board.definition import Board
from equibench.board.entry import CaseErrors, Entry
from equibench.board.network_facts import padding_of, stride_of
from equibench.board.submission import case_errors, with_variation
from equibench.cases.suite import Suite
from equibench.errors import UsageError
from equibench.foundation.rounding import allowance, tolerated
from equibench.loading.load import load_spec
from equibench.loading.models import LoadedModel
from equibench.loading.suites import build_suite, case_names
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.registry.specs import Spec
from equibench.runs.fingerprint import changes
from equibench.runs.units import Unit, Worker, described, split

__all__ = ["Repeated", "verify"]


_VARIATION = 1e-3
"""What is told of an output's variance may differ by so much: rounding of another machine."""


@dataclass(frozen=True)
class Repeated:
    """What came of repeating some rows.

    Args:
        cases, of: how many cases were repeated, and how many the entry has.
        rows: those of the cases.
        equal: those that are the same to the last bit.
        rounding: others that differ by no more than rounding can make.
        first: what first differs by more, and both values; empty where nothing does.
        conditions: what differs from the machine and versions of the entry.
    """

    cases: int
    of: int
    rows: int
    equal: int
    rounding: int
    first: str
    conditions: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing differs by more than rounding."""
        return not self.first

    @property
    def sentence(self) -> str:
        """All of it, in a line."""
        where = f" ({'; '.join(self.conditions[:3])})" if self.conditions else ""
        part = "" if self.cases == self.of else f" of {self.cases} of {self.of} cases"
        rest = "" if self.cases == self.of else "; --all repeats all of them"
        if self.holds and self.equal == self.rows:
            return f"all {self.rows} rows{part} are the same, bit for bit{where}{rest}"
        if self.holds:
            return (
                f"{self.equal} of {self.rows} rows{part} are the same, bit for bit; "
                f"{self.rounding} differ by rounding{where}{rest}"
            )
        other = self.rows - self.equal - self.rounding
        told = f"{other} of {self.rows} rows{part} are others" if other else "it is another"
        return f"{told}{where}: {self.first}"


def verify(
    entry: Entry,
    board: Board,
    *,
    cases: int = 1,
    every: bool = False,
    model: str | None = None,
    device: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Repeated:
    """Build an entry's network again, and repeat some of its cases under every motion.

    Which cases they are is drawn anew each time: nobody knows them before. What an entry says of
    the network itself is looked into again, but for its time; on what it was trained is not known
    here.

    Args:
        cases: of each suite.
        every: all cases instead.
        model: where the network is here, if not where the entry says.

    Raises:
        UsageError: the network is another, the suites or conditions are, or the entry is not
            whole.
        ModelError: it cannot be built.
    """
    if gap := next(entry.gaps(), ""):
        raise UsageError(f"{entry.label} has {gap}, and an entry is whole: submit it anew")
    text = model or entry.model
    loaded = _same_network(entry, text, board.settings.seed)
    suites = board.suites_called(entry.suites, entry.label)
    config = board.run(text, suites, device=device or str(entry.conditions["device"]))
    if found := unlike(entry.conditions, config):
        raise UsageError(f"{entry.label} was not measured as the board measures: {found[0]}")
    now = expected(config)
    described_now = {label: now["suites"][label] for label in entry.suites}
    before = entry.conditions["suites"]
    if found := list(changes({label: before[label] for label in entry.suites}, described_now)):
        raise UsageError(f"{entry.label}: the suites are others here: {'; '.join(found[:3])}")
    again: list[CaseErrors] = []
    with Worker(config, say) as worker:
        for suite in suites:
            for unit in _sample(config, suite, cases, every):
                outcome = worker(unit)
                if outcome.measured is None:
                    assert outcome.error is not None
                    raise outcome.error
                rows = outcome.measured.rows
                again += case_errors(rows.assign(model=entry.label))
    settings = Settings.of(config)
    built = {s.label: s for s in (build_suite(Spec.parse(t), config.data) for t in suites)}
    again = with_variation(again, loaded, built.__getitem__, settings)
    facts = _facts(loaded, built[entry.suites[0]], settings)
    repeated = _compared(entry, again, tuple(differences(entry.conditions, now)))
    return replace(repeated, first=repeated.first or _other_facts(entry, facts))


def _facts(loaded: LoadedModel, suite: Suite, settings: Settings) -> dict[str, Any]:
    """What everybody finds of the network itself, as an entry has it."""
    first = case_names(suite, 1)
    image = suite.load(first[0]).input[:1].to(settings.device)
    stride, evidence, _ = stride_of(loaded, suite, first, settings, image)
    return {"padding": padding_of(loaded), "stride": list(stride), "evidence": evidence}


def _other_facts(entry: Entry, now: Mapping[str, Any]) -> str:
    """What the entry says of its network and is not so."""
    return next(iter(changes({name: entry.facts.get(name) for name in now}, now)), "")


def _same_network(entry: Entry, text: str, seed: int) -> LoadedModel:
    spec = Spec.parse(text)
    loaded = load_spec(spec, seed)
    now = described(spec, loaded)
    kept = ("state_sha256", "file_sha256", "parameters", "mend", "adapters")
    before, after = ({k: each.get(k) for k in kept} for each in (entry.identity, now))
    if found := list(changes(before, after)):
        raise UsageError(
            f"{text} is not the network of {entry.label}: {'; '.join(found)}; name the one that "
            f"was measured, {entry.model} there: -m SPEC"
        )
    return loaded


def _sample(config: RunConfig, suite: str, cases: int, every: bool) -> Sequence[Unit]:
    """Some units of work: their batches are those of the whole run, and so are their bits."""
    settings, spec = Settings.of(config), Spec.parse(suite)
    built = build_suite(spec, config.data, config.metrics)
    names = case_names(built, config.limit)
    found = split(Spec.parse(config.models[0]), spec, built, settings, names)
    if every or cases >= len(found):
        return found
    chosen = SystemRandom().sample(range(len(found)), cases)
    return [found[number] for number in sorted(chosen)]


def _compared(entry: Entry, again: list[CaseErrors], conditions: tuple[str, ...]) -> Repeated:
    known = {(each.suite, each.motion, each.case): each for each in entry.errors}
    equal = rounding = 0
    first, rows = "", 0
    precision = str(entry.conditions["precision"])
    for now in again:
        before = known.get((now.suite, now.motion, now.case))
        place = f"{now.suite}, {now.case} under {now.motion}"
        if before is None or list(before.at) != list(now.at):
            raise UsageError(f"{entry.label} has not these rows of {place}: submit it anew")
        if not isclose(before.variation, now.variation, rel_tol=_VARIATION):
            shares = f"{before.variation:.6g} of the output varies, repeated {now.variation:.6g}"
            first = first or f"{place}: {shares}"
        limit = allowance(precision, max(before.floor, now.floor))
        for at, old, new in zip(now.at, before.nmse, now.nmse, strict=True):
            rows += 1
            if repr(old) == repr(new):
                equal += 1
            elif (
                isfinite(old) and isfinite(new) and max(old, new) <= tolerated(min(old, new), limit)
            ):
                rounding += 1
            else:
                first = first or f"{place} {at}: {old:.6g}, repeated {new:.6g}"
    cases, of = (len({(e.suite, e.case) for e in each}) for each in (again, entry.errors))
    return Repeated(cases, of, rows, equal, rounding, first, conditions)
