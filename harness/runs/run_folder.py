"""The run folder: what a run measured, how, and what failed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.atomic_files import TEMPORARY, replacing, writable
from equibench.foundation.file_locks import folder_lock, locked
from equibench.foundation.file_names import as_text
from equibench.runs.manifest import (
    SCHEMA,
    expected,
    given_up,
    read_manifest,
    same_split,
    shortfall,
    signed,
)
from equibench.runs.row_files import RowFiles
from equibench.runs.summary_files import SUMMARY, SummaryFiles, as_json
from equibench.statistics.summary import non_finite, summarize

__all__ = ["RunFolder"]


class RunFolder:
    """``run.json``, ``rows/``, ``failures.json`` and ``summary.csv`` of one run.

    What is read is compared with what the run wrote: rows by the digests in the names of their
    files, the summary and the failures by those that the manifest of a finished run has.

    Raises:
        UsageError: ``path`` is no UTF-8, a folder of something else, or of another schema version.
        EquibenchError: its manifest is damaged.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        if as_text(path) != str(path):  # Parquet's reader takes no other names
            raise UsageError(f"the name of {path} is no UTF-8: rename it, or choose another --out")
        self._manifest = self.path / "run.json"
        if create and not self._manifest.exists():
            if self.path.exists() and not _empty(self.path):
                raise UsageError(f"{self.path} exists and is no run folder: choose another --out")
        elif not self._manifest.exists():
            raise UsageError(f"{self.path} is no run folder: it has no run.json")
        self._summary_files = SummaryFiles(self.path)
        self._rows = RowFiles(self.path / "rows", signed=signed(self.manifest))
        if create and not self._rows.path.exists():
            with writable(self.path):
                self._rows.path.mkdir(parents=True)

    @property
    def manifest(self) -> dict[str, Any]:
        """``run.json``; empty before the run's first write."""
        return read_manifest(self._manifest) if self._manifest.exists() else {}

    @property
    def failures(self) -> list[dict[str, Any]]:
        """What failed, one entry for each unit or non-finite row, of all shards together.

        Raises:
            EquibenchError: a file of them is gone or damaged.
        """
        recorded = self._recorded()
        self._summary_files.verify(recorded, recorded.keys() - {SUMMARY})
        return self._summary_files.failures()

    def verify(self, *, resuming: bool = False) -> None:
        """See that all that the run wrote is there, and as it was written.

        Args:
            resuming: what is gone will be made again, and is not missed.

        Raises:
            EquibenchError: something is not; it names the file and the remedy.
        """
        self._rows.units()
        recorded = self._recorded()
        present = [name for name in recorded if (self.path / name).exists()]
        self._summary_files.verify(recorded, present if resuming else None)
        if not resuming:
            self._refuse_gaps()

    @contextmanager
    def lock(self, shard: str | None = None) -> Iterator[None]:
        """Write alone, or as one of the shards ``"1/4"`` … ``"4/4"``, which may work side by side.

        What a killed run was writing is removed by the next whole one.

        Raises:
            UsageError: another process writes there.
            EquibenchError: the folder cannot be written.
        """
        with folder_lock(self.path, shard):
            if shard is None:
                for folder in (self.path, self._rows.path):
                    for left in folder.glob(f".*{TEMPORARY}"):
                        left.unlink()
            yield

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        content = {"schema": SCHEMA, **manifest, "files": self._summary_files.digests()}
        with replacing(self._manifest) as temporary:
            temporary.write_bytes(as_json(content))

    def update_manifest(self, change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Let ``change`` edit the manifest in place, while no other process does; returns it.

        Nothing is written where ``change`` raises.
        """
        with self._alone():
            manifest = self.manifest
            change(manifest)
            self.write_manifest(manifest)
        return manifest

    def write_failures(
        self, failures: Sequence[Mapping[str, Any]], *, shard: str | None = None
    ) -> None:
        """Replace what failed: of the whole run, or of one shard and of any earlier split."""
        self._summary_files.write_failures(failures, shard)

    def write_summary(self, summary: pd.DataFrame) -> None:
        self._summary_files.write_summary(summary)

    def write_rows(self, unit: str, rows: pd.DataFrame, *, complete: bool = True) -> None:
        """Add the rows of one unit; those of an incomplete one are measured again on resuming."""
        self._rows.write(unit, rows, complete)

    def finished(self, units: Sequence[str]) -> set[str]:
        """Units of which all rows are there.

        Raises:
            EquibenchError: a file of theirs is damaged.
        """
        return self._rows.finished(units)

    def consolidate(self, stem: str, units: Sequence[str]) -> None:
        """Make one file of the rows of a model on a suite, once all its units are finished.

        Args:
            stem: ``unit_name(stem, n)`` are the names of its units.
            units: all of them; rows keep their order.

        Raises:
            EquibenchError: a file is damaged, or the new one cannot be written.
        """
        with self._alone():
            self._rows.consolidate(stem, units)

    def conclude(
        self,
        failures: Sequence[Mapping[str, Any]] = (),
        *,
        shard: str | None = None,
        units: Sequence[str] | None = None,
        **fields: object,
    ) -> list[dict[str, Any]]:
        """Write summary and failures, and last of all ``fields`` into the manifest.

        Args:
            failures: of this process; errors that are not finite are added.
            shard: whose failures they are.
            units: those that were this shard's to measure; of a whole run they are all.
            fields: of the manifest, such as its state.

        Returns:
            The failures that were written.
        """
        found = [dict(failure) for failure in failures]
        with self._alone():
            manifest = self.manifest
            if self.has_rows:
                found += self._summarize()
            self.write_failures(found, shard=shard)
            mine = expected(manifest) if units is None else units
            absent = sorted(set(mine) - self._rows.units())
            others = manifest.get("unmeasured", {})
            concluded = {
                "unmeasured": {**same_split(others, shard), shard or "": absent},
                "summarized": self._rows.digest(),
            }
            self.write_manifest({**manifest, **concluded, **fields})
        return found

    @property
    def has_rows(self) -> bool:
        """Whether any unit is finished."""
        return bool(self._rows)

    @property
    def units(self) -> list[str]:
        """The names of all units of work that the run comes to."""
        return expected(self.manifest)

    @property
    def measured(self) -> list[str]:
        """Units that have rows, if not of all their cases."""
        present = self._rows.units()
        return [unit for unit in self.units if unit in present]

    @property
    def lacking(self) -> list[str]:
        """Units that the run has still to measure; those that failed in the end are not lacking.

        Raises:
            EquibenchError: a file of rows is damaged.
        """
        manifest = self.manifest
        return sorted(set(expected(manifest)) - self._rows.units() - given_up(manifest))

    @property
    def shortfall(self) -> str:
        """``is interrupted and lacks 5 of 10 units``; empty for a finished run."""
        return shortfall(self.manifest, len(self.lacking))

    def parts(self) -> Iterator[pd.DataFrame]:
        """The rows of one model on one suite after the other, in the order of ``rows``.

        Columns of text are categorical.

        Raises:
            UsageError: there are no rows yet.
            EquibenchError: rows of a finished run are gone or damaged.
        """
        self._require_rows()
        yield from self._parts()

    def rows(self) -> pd.DataFrame:
        """Every row that the run has so far: suite by suite, models as they were named.

        Raises:
            UsageError: there are no rows yet.
            EquibenchError: rows of a finished run are gone or damaged.
        """
        self._require_rows()
        rows = self._rows.read(self._rows.files())
        columns = zip(("suite", "model"), self._ranks(), strict=True)
        ranks = {column: rows[column].map(rank) for column, rank in columns}
        order = pd.DataFrame(ranks).sort_values(list(ranks)).index  # stable
        return rows.loc[order].reset_index(drop=True)

    def summary(self, rows: pd.DataFrame | None = None) -> pd.DataFrame:
        """One line for each model × suite × group, in the order of the rows.

        Args:
            rows: of the run, where they are in memory already; otherwise what the run wrote when
                it ended is read, or made anew where rows have changed since.

        Raises:
            UsageError: there are no rows yet.
            EquibenchError: rows of a finished run are gone or damaged.
        """
        if rows is not None:
            return summarize(rows)
        self._require_rows()
        if (self.path / SUMMARY).exists():
            recorded = self._recorded()
            self._summary_files.verify(recorded, recorded.keys() & {SUMMARY})
            if self.manifest.get("summarized") == self._rows.digest():
                return self._summary_files.summary()
        return summarize(self._parts())

    def _summarize(self) -> list[dict[str, Any]]:
        """Write the summary; returns a failure for every case whose error is not finite."""
        failures: list[dict[str, Any]] = []

        def parts() -> Iterator[pd.DataFrame]:
            for part in self._parts():
                failures.extend(non_finite(part))
                yield part

        self.write_summary(summarize(parts()))
        return failures

    def _parts(self) -> Iterator[pd.DataFrame]:
        return self._rows.parts(*self._ranks())

    def _ranks(self) -> tuple[dict[str, int], dict[str, int]]:
        """The places of suites and of models in the order in which they were named."""
        manifest = self.manifest
        suites, models = manifest["fingerprint"]["suites"], manifest["models"]
        return {s: position for position, s in enumerate(suites)}, {
            m: position for position, m in enumerate(models)
        }

    def _require_rows(self) -> None:
        if not self.has_rows:
            raise UsageError(f"{self.path} has no rows yet: run the same command again")
        self._refuse_gaps()

    def _refuse_gaps(self) -> None:
        """A finished run has rows of all its units, but for those that failed."""
        lacking = self.lacking
        if lacking and self.manifest.get("state") == "finished":
            raise EquibenchError(
                f"{self.path} lacks {len(lacking)} of {len(self.units)} units "
                f"({lacking[0]}{' …' if len(lacking) > 1 else ''}): run the same command again"
            )

    def _recorded(self) -> dict[str, str]:
        """The digests of files that are as they are from now on; none while a run goes on."""
        manifest = self.manifest
        files: dict[str, str] = manifest.get("files", {})
        return files if manifest.get("state") == "finished" else {}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While one process reads and writes what shards share."""
        with ExitStack() as stack:
            with writable(self.path):
                stack.enter_context(locked(self.path / ".lock.manifest", wait=True))
            yield


def _empty(path: Path) -> bool:
    """A folder with nothing in it, or only what a run that was stopped at once left there."""
    return path.is_dir() and not any(
        p
        for p in path.iterdir()
        if not _ours(p) and (p.name != "rows" or not p.is_dir() or any(p.iterdir()))
    )


def _ours(path: Path) -> bool:
    return path.name.startswith(".lock") or path.name.endswith(TEMPORARY)
