"""Who follows a run: hooks at its start, after each unit of work and at its end.

A tracker is told what happens and changes nothing. One that raises is left alone from then on.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.registry.registries import TRACKERS
from equibench.registry.specs import Spec

if TYPE_CHECKING:
    import pandas as pd

    from equibench.runs.run_folder import RunFolder

__all__ = ["TrackedRun", "TrackedUnit", "Tracker", "Trackers", "trackers_of"]


@dataclass(frozen=True)
class TrackedRun:
    """A run as a tracker sees it.

    Args:
        folder: the run folder; its ``manifest`` holds configuration and environment, ``summary()``
            what was measured so far.
        shard: ``"1/4"`` where this is one of several processes; else None.
        units: how many units of work it comes to here.
    """

    folder: "RunFolder"
    shard: str | None
    units: int

    @property
    def name(self) -> str:
        """What to call it."""
        path = self.folder.path.resolve()
        return path.name + (f" {self.shard}" if self.shard else "")

    @property
    def identity(self) -> str:
        """Sixteen characters that a run keeps when it is resumed, and no other run has."""
        manifest = self.folder.manifest
        said = [manifest["started"], manifest["fingerprint"], self.shard, self.name]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrackedUnit:
    """A unit of work that has come to its end.

    Args:
        name: of the unit.
        model, suite: as rows name them.
        rows: what was measured; none where it failed.
        failure: why some or all of its cases have no rows; empty otherwise.
        done: units of the run that are done.
    """

    name: str
    model: str
    suite: str
    rows: "pd.DataFrame"
    failure: str
    done: int


class Tracker:
    """Base class of trackers; each hook does nothing until it is overridden."""

    def on_run_start(self, run: TrackedRun) -> None:
        """Before the first unit; the manifest is written."""

    def on_unit(self, run: TrackedRun, unit: TrackedUnit) -> None:
        """After a unit; its rows are stored. Units that a resumed run has already do not count."""

    def on_run_end(self, run: TrackedRun, state: str) -> None:
        """At the end; ``state`` is ``finished``, ``interrupted`` or ``failed``."""


class Trackers:
    """All trackers of a run; what one of them raises becomes a line, and the run goes on.

    Args:
        each: by the names that users gave.
        say: takes a line for the user.
    """

    def __init__(self, each: Sequence[tuple[str, Tracker]], say: Callable[[str], None]) -> None:
        self._each, self._say = list(each), say

    def start(self, run: TrackedRun) -> None:
        """Tell that a run begins."""
        self._tell("on_run_start", lambda tracker: tracker.on_run_start(run))

    def unit(self, run: TrackedRun, unit: TrackedUnit) -> None:
        """Tell of a unit."""
        self._tell("on_unit", lambda tracker: tracker.on_unit(run, unit))

    def end(self, run: TrackedRun, state: str) -> None:
        """Tell that a run has come to its end."""
        self._tell("on_run_end", lambda tracker: tracker.on_run_end(run, state))

    def _tell(self, hook: str, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._each):
            try:
                with guarded(lambda error, name=name: kind_and_reason(error)):  # type: ignore[misc]
                    call(tracker)
            except EquibenchError as error:
                self._each.remove((name, tracker))
                self._say(f"tracker {name} failed in {hook}: {error}; the run goes on without it")


def trackers_of(specs: Sequence[str], say: Callable[[str], None]) -> Trackers:
    """The trackers that a configuration names.

    Raises:
        UsageError: an unknown name or argument, a missing extra, or something else than a tracker.
    """
    each = []
    for spec in map(Spec.parse, specs):
        entry = TRACKERS.get(spec.reference)
        entry.check(spec.arguments)
        with guarded(
            lambda error, spec=spec: (  # type: ignore[misc]
                f"tracker {spec.reference!r} cannot be built: {kind_and_reason(error)}"
            ),
            UsageError,
        ):
            tracker = entry.require()(**spec.arguments)
        if not isinstance(tracker, Tracker):
            kind = type(tracker).__name__
            raise UsageError(f"{spec.reference!r} gave a {kind}, not an equibench Tracker")
        each.append((spec.label, tracker))
    return Trackers(each, say)
