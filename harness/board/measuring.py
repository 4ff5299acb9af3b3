"""Measuring what a board names: network by network, each into a run folder and then an entry."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from equibench.board.conditions import differences, expected
from equibench.board.definition import Board, Planned
from equibench.board.entry import Entry, read_entry
from equibench.board.submission import entry_of
from equibench.errors import EquibenchError, UsageError
from equibench.loading.load import load_spec
from equibench.registry.provenance import version_of
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec
from equibench.runs.fingerprint import changes
from equibench.runs.runner import run
from equibench.runs.units import described, stem_of

__all__ = ["Progress", "measure", "measure_own"]

Say = Callable[[str], None]


@dataclass
class Progress:
    """How far the measurement of a board has come; says a line for each network.

    Args:
        total: networks.
        done: those that are measured, or were before.
        busy: seconds spent on those that were measured now.
    """

    total: int
    say: Say
    done: int = 0
    measured: int = 0
    busy: float = 0.0

    def tell(self, label: str, what: str) -> None:
        """Say what came of a network."""
        self.done += 1
        left = ""
        if self.measured and self.done < self.total:
            minutes = self.busy / self.measured * (self.total - self.done) / 60
            left = f"; about {minutes:.0f} min to go"
        self.say(f"[{self.done}/{self.total}] {label}: {what}{left}")


def measure(
    board: Board,
    entries: Path,
    runs: Path,
    say: Say,
    *,
    chosen: Sequence[str] = (),
    device: str | None = None,
) -> dict[str, EquibenchError]:
    """Measure every network of a board that has no entry of today's conditions.

    What was interrupted goes on where it was; a network that cannot be measured stops no other.

    Args:
        entries: the folder of entries.
        runs: a folder for the runs that they are made of.
        chosen: labels of some networks; all by default.

    Returns:
        Why networks have no entry, by label.

    Raises:
        UsageError: the board names no network that is chosen.
    """
    planned = [each for each in board.planned if not chosen or each.label in chosen]
    if unknown := set(chosen) - {each.label for each in planned}:
        raise UsageError(f"the board names no {sorted(unknown)[0]!r}: see board.toml")
    progress, failed = Progress(len(planned), say), dict[str, EquibenchError]()
    known = dict(_own_entries(entries, planned))
    for each in planned:
        begun = perf_counter()
        try:
            changed = _outdated(each, board, known.get(each.label), device)
            if changed is None:
                progress.tell(each.label, "its entry is of today")
                continue
            if changed:
                say(f"{each.label} is measured anew: {changed}")
            folder = _run(board, each.model, each.suites, runs, say, device)
            entry = entry_of(folder, board, each.label)
            file = entry.write(entries)
            old = known.get(each.label, file)
            if old != file:
                old.unlink(missing_ok=True)
        except EquibenchError as error:
            failed[each.label] = error
            progress.tell(each.label, f"no entry: {error}")
            continue
        seconds = perf_counter() - begun
        progress.measured, progress.busy = progress.measured + 1, progress.busy + seconds
        progress.tell(each.label, f"measured in {seconds:.0f} s")
    return failed


def measure_own(
    board: Board, model: str, suites: Sequence[str], out: Path, device: str | None = None
) -> Any:
    """Measure a network that the board does not name, with the board's settings; the run folder.

    Raises:
        UsageError: an unknown model, a suite or a label that is no such of the board's, or the
            folder holds another run.
    """
    board.planned_as(Spec.parse(model).label, model)
    specs = [Spec.parse(text) for text in suites]
    board.suites_called([spec.chosen_label or spec.reference for spec in specs], "-s: a network")
    return run(board.run(model, tuple(suites) or board.suites, device=device), out)


def _own_entries(folder: Path, planned: Sequence[Planned]) -> Iterator[tuple[str, Path]]:
    """Label and file of each entry that a board made: others may have the same name."""
    references = {each.label: Spec.parse(each.model).reference for each in planned}
    for file in sorted(folder.glob("*.json")):
        entry = read_entry(file)
        if references.get(entry.label) == Spec.parse(entry.model).reference:
            yield entry.label, file


def _run(
    board: Board, model: str, suites: tuple[str, ...], runs: Path, say: Say, device: str | None
) -> Any:
    """The run of a network; one that other conditions made begins anew."""
    config = board.run(model, suites, device=device)
    label = Spec.parse(model).label
    out = runs / stem_of(label, "board")
    try:
        return run(config, out)
    except UsageError as error:
        if error.topic != "another-run":
            raise
        say(f"{label} begins anew: {str(error).partition('; choose another')[0]}")
        shutil.rmtree(out)
        return run(config, out)


def _outdated(planned: Planned, board: Board, file: Path | None, device: str | None) -> str | None:
    """Why a network is to be measured: what changed since, or nothing where it is new.

    Returns:
        None where its entry is of today.
    """
    if file is None:
        return ""
    entry = read_entry(file)
    config = board.run(planned.model, planned.suites, device=device)
    found = list(differences(entry.conditions, expected(config)))
    found += _other_network(entry, planned, config.seed)
    found += _other_packages(entry, planned)
    found += [] if entry.model == planned.model else [f"its spec was {entry.model}"]
    lacking = len(set(planned.suites)) - len(entry.suites)
    found += [f"it has {lacking} suites more"] if lacking > 0 else []
    return "; ".join(found[:3]) or None


def _other_network(entry: Entry, planned: Planned, seed: int) -> list[str]:
    """In what the network that a spec builds now differs from an entry's."""
    spec = Spec.parse(planned.model)
    now = described(spec, load_spec(spec, seed))
    before = {name: entry.identity.get(name) for name in now}
    return list(changes({"": before}, {"": now}))


def _other_packages(entry: Entry, planned: Planned) -> list[str]:
    """Which packages that a network comes from have another version now."""
    modules = MODELS.get(Spec.parse(planned.model).reference).info.modules
    names = [module.replace("_", "-") for module in modules]
    before = entry.environment["versions"]
    old, new = ({n: read(n) for n in names} for read in (before.get, version_of))
    return list(changes(old, new))
