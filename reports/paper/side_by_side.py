"""Tables 1 to 4 of the paper, measured beside published.

Runs are read together. What one table shows side by side was measured in one ``Setting``:
networks of two widths, precisions or kinds of training never meet in a table, and neither do two
data sets or shift plans; each setting has a table of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from equibench.reports.findings.published_results import VARIANTS, is_sample, original
from equibench.reports.findings.run_data import UNTRAINED, RunData
from equibench.reports.paper.definitions import (
    DEFINITIONS,
    ERROR,
    MRI_EQUIVARIANCE,
    Definition,
    Quantity,
)
from equibench.reports.paper.measured_tables import ELSEWHERE, Measured, Setting, measurements
from equibench.reports.paper.orderings import Ordering, Values, Verdict
from equibench.reports.tables.grid import Block, Cell, Line, Name
from equibench.reports.tables.values import NONE, number
from equibench.statistics.summary import columns

__all__ = ["Decision", "PaperTable", "paper_tables"]


@dataclass(frozen=True)
class Decision:
    """An ordering, decided from what was measured in one group and from what is published.

    Args:
        published: by acquisition.
    """

    ordering: Ordering
    group: str
    measured: Verdict
    published: Mapping[str, Verdict]

    @property
    def text(self) -> str:
        """The statement, what decides it, and the paper's own answer."""
        known = [
            f"{acquisition} {verdict.answer}".strip()
            + (f" ({verdict.numbers})" if verdict.answer != "yes" else "")
            for acquisition, verdict in self.published.items()
        ]
        statement = f"{self.ordering.text}{'' if self.group == 'all' else f' ({self.group})'}"
        return f"{statement}: {self.measured.numbers}; published: {', '.join(known)}"


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table of the paper in one setting.

    Args:
        networks: in the paper's order.
        inside: their equivariance error in distribution, by group, if this table is out of it.
    """

    definition: Definition
    setting: Setting
    networks: Sequence[Measured]
    inside: Mapping[str, Values] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Which table, of what, and measured on what."""
        return f"Table {self.definition.number}, {self.definition.title}: {self.setting.name}"

    @property
    def caption(self) -> str:
        """The title for a document that numbers its own tables."""
        title, number = self.definition.title, self.definition.number
        what = f"{title[:1].upper()}{title[1:]}: {self.setting.name}"
        return f"{what} (Table {number} of the paper). {self.text}"

    @property
    def extent(self) -> str:
        """How many cases and shifts the numbers come from."""
        most = max(self.networks, key=lambda each: each.comparisons)
        shifts = most.comparisons / max(1, most.cases)
        every, known = ("all ", f" ({most.evidence})") if most.evidence else ("", "")
        return (
            f"{_count(most.cases, 'case')}, {every}{_count(shifts, 'shift')} of each{known}: "
            f"{_count(most.comparisons, 'comparison')}"
        )

    @property
    def text(self) -> str:
        """How it was measured, here and by the paper."""
        return f"{self.extent}; {self.setting.text}. Paper: {self.definition.extent}."

    @cached_property
    def groups(self) -> list[str]:
        """What the table keeps apart: PD and PDFS, or ``all``."""
        if not self.definition.grouped:
            return ["all"]
        return list(dict.fromkeys(group for each in self.networks for group in each.groups))

    def values(self, quantity: Quantity, group: str) -> Values:
        """What was measured, by the paper's name of the network."""
        found: dict[str, list[float]] = {}
        for each in self.networks:
            value = each.value(quantity, group)
            if value is not None:
                found.setdefault(each.name, []).append(value)
        return found

    @property
    def names(self) -> list[str]:
        """What lines are called: where two networks share a name, with the run's own label."""
        names = [each.name for each in self.networks]
        runs = {each.run for each in self.networks}
        return [
            each.name
            if names.count(each.name) == 1
            else f"{each.name} ({', '.join([*([each.run] if len(runs) > 1 else []), each.label])})"
            for each in self.networks
        ]

    @property
    def blocks(self) -> list[Block]:
        """Headings: of each quantity the measured groups, then what the paper has."""
        quantities = self.definition.quantities
        headings = {c.name: c.short_heading for c in columns([q.column for q in quantities])}
        blocks = []
        for quantity in quantities:
            names = [Name("measured" if g == "all" else f"measured {g}") for g in self.groups]
            names += [Name(f"paper {a}".strip(), paper=True) for a in self._acquisitions(quantity)]
            blocks.append(Block(headings[quantity.column], names))
        return blocks

    @property
    def lines(self) -> list[Line]:
        """One for each network."""
        return [
            Line(name, [cell for q in self.definition.quantities for cell in self._cells(q, each)])
            for name, each in zip(self.names, self.networks, strict=True)
        ]

    @property
    def notes(self) -> list[str]:
        """Why measured and published are not to be compared number by number."""
        notes = []
        if is_sample(self.setting.suite):
            notes.append(f"{self.setting.suite} holds other data than the paper’s.")
        if self.setting.training == UNTRAINED:
            notes.append("The networks are untrained: they show what an architecture does.")
        if self.setting.training == ELSEWHERE:
            notes.append("How the networks were trained is not known.")
        recipes = [each.recipe for each in self.networks]
        keys = sorted({key for recipe in recipes for key in recipe})
        differing = [k for k in keys if any(r.get(k) != recipes[0].get(k) for r in recipes)]
        if differing:
            notes.append(
                f"The networks were trained with different values of {', '.join(differing)}."
            )
        partial = [
            f"{name} has {each.cases}"
            for name, each in zip(self.names, self.networks, strict=True)
            if each.cases < self.setting.cases
        ]
        if partial:
            notes.append(f"Not all of {_count(self.setting.cases, 'case')}: {', '.join(partial)}.")
        return notes

    @cached_property
    def decisions(self) -> list[Decision]:
        """The paper's orderings, each in every group."""
        within = {
            acquisition: MRI_EQUIVARIANCE.published(ERROR, acquisition)
            for acquisition in MRI_EQUIVARIANCE.acquisitions
        }
        found = []
        for ordering in self.definition.orderings:
            quantity = next(q for q in self.definition.quantities if q.column == ordering.about)
            published = {
                acquisition: ordering.decide(
                    self.definition.published(quantity, acquisition), within
                )
                for acquisition in self.definition.acquisitions
            }
            for group in self.groups:
                verdict = ordering.decide(self.values(quantity, group), self.inside)
                mine = {group: published[group]} if group in published else published
                found.append(Decision(ordering, group, verdict, mine))
        return found

    def _acquisitions(self, quantity: Quantity) -> Sequence[str]:
        return self.definition.acquisitions if quantity.paper else ()

    def _cells(self, quantity: Quantity, network: Measured) -> Iterable[Cell]:
        for group in self.groups:
            value = network.value(quantity, group)
            yield Cell(NONE if value is None else number(value, quantity.format))
        for acquisition in self._acquisitions(quantity):
            (value,) = self.definition.published(quantity, acquisition)[network.name]
            yield Cell(format(value, quantity.format), paper=True)  # no more digits than it has


def paper_tables(runs: Mapping[str, RunData]) -> list[PaperTable]:
    """The tables that runs have measurements for, in the paper's order.

    Networks of unknown training (untrained, or with weights from elsewhere) stand in all of them.

    Args:
        runs: by name.
    """
    found = [each for name, data in runs.items() for each in measurements(name, data)]
    tables: list[PaperTable] = []
    for definition in DEFINITIONS:
        fitting: dict[Setting, list[Measured]] = {}
        for each in found:
            fits = original(each.setting.suite) == definition.suite
            if fits and each.domain in ("", definition.domain):
                fitting.setdefault(each.setting, []).append(each)
        for setting in _preferred(definition, fitting):
            networks = sorted(fitting[setting], key=lambda each: VARIANTS.index(each.name))
            tables.append(PaperTable(definition, setting, networks, _inside(setting, tables)))
    return tables


def _preferred(
    definition: Definition, fitting: Mapping[Setting, Sequence[Measured]]
) -> list[Setting]:
    """Where only the shift plans differ, those with which the paper made this table.

    That is one shift of each case, but for the worst change of PSNR, which takes as many as
    there are.
    """
    worst = any(quantity.statistic == "worst" for quantity in definition.quantities)
    kept = []
    for setting in fitting:
        rivals = [other for other in fitting if other.but_for_shifts == setting.but_for_shifts]
        if worst:
            most = {s: max(each.comparisons for each in fitting[s]) for s in rivals}
            preferred = [s for s in rivals if most[s] == max(most.values())]
        else:
            preferred = [s for s in rivals if s.shifts == "paper"] or rivals
        if setting in preferred:
            kept.append(setting)
    return kept


def _inside(setting: Setting, tables: Sequence[PaperTable]) -> dict[str, Values]:
    """The equivariance error of the same networks on MRI; under the same shifts if possible."""
    candidates = [
        table
        for table in tables
        if table.definition is MRI_EQUIVARIANCE and table.setting.network == setting.network
    ]
    candidates.sort(key=lambda table: table.setting.shifts != setting.shifts)
    return {g: table.values(ERROR, g) for table in candidates[:1] for g in table.groups}


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
