"""One batch for each model on each suite of a run, whoever measures it.

Where a batch is tuned, machines may come to different ones, and other batches give other last
bits. The first to measure decides for all shards and workers of a run, and for its resumptions.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from itertools import zip_longest

from equibench.runs.run_folder import RunFolder
from equibench.runs.units import Outcome, Unit, Worker

__all__ = ["Batches", "in_turn"]


class Batches:
    """What a run folder knows of them, by the stems of its jobs."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._known: dict[str, int] = {}

    def assign(self, unit: Unit) -> Unit:
        """A unit with the batch that was decided for its job, if any was."""
        stem = unit.job.stem
        if stem not in self._known:
            self._known |= self._folder.manifest.get("batches", {})
        return replace(unit, batch=self._known.get(stem))

    def fit(self, outcome: Outcome) -> bool:
        """Whether a unit was measured with the batch of its job, which the first one decides."""
        stem, batch = outcome.unit.job.stem, outcome.batch
        if batch is None or outcome.measured is None:
            return True
        if stem not in self._known:
            written = self._folder.update_manifest(
                lambda manifest: manifest.setdefault("batches", {}).setdefault(stem, batch)
            )
            self._known |= written["batches"]
        return self._known[stem] == batch


def in_turn(
    worker: Worker, units: Sequence[Unit], batches: Batches
) -> Generator[Outcome, None, None]:
    """Measure units here, one after the other."""
    with worker:
        for unit, after in zip_longest(units, units[1:]):
            following = after.cases if after and after.job.stem == unit.job.stem else ()
            outcome = worker(batches.assign(unit), following)
            if not batches.fit(outcome):  # another shard was faster to decide
                outcome = worker(batches.assign(unit), following)
            yield outcome
