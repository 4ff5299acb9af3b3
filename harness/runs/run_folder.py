"""The run folder: what a run measured, how, and what failed."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from csv import reader
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.atomic_files import TEMPORARY, replacing, writable
from equibench.foundation.file_locks import folder_lock, locked, shard_name
from equibench.runs.row_files import LABELS, RowFiles, unit_name
from equibench.statistics.summary import non_finite, summarize

__all__ = ["RunFolder"]

SCHEMA = 2


class RunFolder:
    """``run.json``, ``rows/``, ``failures.json`` and ``summary.csv`` of one run.

    Raises:
        UsageError: ``path`` is a folder of something else, or of another schema version.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        self._manifest = self.path / "run.json"
        self._rows = RowFiles(self.path / "rows")
        if create and not self._manifest.exists():
            if self.path.exists() and not _empty(self.path):
                raise UsageError(f"{self.path} exists and is no run folder: choose another --out")
            with writable(self.path):
                self._rows.path.mkdir(parents=True, exist_ok=True)
        elif not self._manifest.exists():
            raise UsageError(f"{self.path} is no run folder: it has no run.json")
        if self._manifest.exists() and not {"schema", "fingerprint"} <= set(self.manifest):
            raise UsageError(f"{self._manifest} is damaged: repeat the run into another folder")
        if self._manifest.exists() and self.manifest["schema"] != SCHEMA:
            raise UsageError(
                f"{self.path} has schema version {self.manifest.get('schema')}, this equibench "
                f"reads version {SCHEMA}: repeat the run into another folder"
            )

    @property
    def manifest(self) -> dict[str, Any]:
        """``run.json``; empty before the run's first write."""
        content: dict[str, Any] = self._read_json("run.json", {})
        return content

    @property
    def failures(self) -> list[dict[str, Any]]:
        """What failed, one entry for each unit or non-finite row, of all shards together."""
        found: dict[str, dict[str, Any]] = {}
        for file in self._failure_files():
            for failure in self._read_json(file.name, []):
                found.setdefault(json.dumps(failure), failure)
        return list(found.values())

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
        self._write("run.json", _json({"schema": SCHEMA, **manifest}))

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
        name = f"failures-{shard_name(shard)}.json" if shard else "failures.json"
        self._write(name, _json(failures))
        split = f"-of-{shard.partition('/')[2]}.json" if shard else name
        for file in self._failure_files():
            if not file.name.endswith(split):
                file.unlink(missing_ok=True)

    def write_summary(self, summary: pd.DataFrame) -> None:
        # every digit, whatever print options a library has set for NumPy
        text = summary.to_csv(index=False, float_format=_every_digit)
        self._write("summary.csv", text.encode())

    def write_rows(self, unit: str, rows: pd.DataFrame, *, complete: bool = True) -> None:
        """Add the rows of one unit; those of an incomplete one are measured again on resuming."""
        self._rows.write(unit, rows, complete)

    def finished(self, unit: str) -> bool:
        """Whether all rows of a unit are there.

        Raises:
            EquibenchError: their file is there and cannot be read.
        """
        return self._rows.finished(unit)

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
        **fields: object,
    ) -> list[dict[str, Any]]:
        """Write summary and failures, and last of all ``fields`` into the manifest.

        Args:
            failures: of this process; errors that are not finite are added.
            shard: whose failures they are.
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
            absent = sorted(set(_expected(manifest)) - self._rows.units())
            concluded = {"unmeasured": absent, "summarized": self._rows.digest()}
            self.write_manifest({**manifest, **concluded, **fields})
        return found

    @property
    def has_rows(self) -> bool:
        """Whether any unit is finished."""
        return any(self._rows.path.glob("*.parquet"))

    @property
    def units(self) -> list[str]:
        """The names of all units of work that the run comes to."""
        return _expected(self.manifest)

    @property
    def lacking(self) -> list[str]:
        """Units that the run has still to measure; those that failed in the end are not lacking.

        Raises:
            EquibenchError: a file of rows is damaged.
        """
        manifest = self.manifest
        given_up = manifest.get("unmeasured", ()) if manifest.get("state") == "finished" else ()
        return sorted(set(_expected(manifest)) - self._rows.units() - set(given_up))

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
        ranks = {column: rows[column].map(rank) for column, rank in self._ranks().items()}
        order = pd.DataFrame(ranks).sort_values(list(ranks), kind="stable").index
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
        file = self.path / "summary.csv"
        if file.exists() and self.manifest.get("summarized") == self._rows.digest():
            return _read_summary(file)
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
        ranks = self._ranks()
        places = self._rows.places()

        def rank(place: tuple[str, str]) -> list[float]:
            return [
                known.get(label, len(known))
                for known, label in zip(ranks.values(), place, strict=True)
            ]

        def read(place: tuple[str, str]) -> pd.DataFrame:
            rows = self._rows.read(places[place], compact=True)
            mine = (rows["suite"] == place[0]) & (rows["model"] == place[1])
            return rows if mine.all() else rows[mine]

        with ThreadPoolExecutor(1) as pool:  # one ahead of their use
            waiting = None
            for place in sorted(places, key=rank):
                following = pool.submit(read, place)
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()

    def _ranks(self) -> dict[str, dict[str, int]]:
        """The places of suites and models in the order in which they were named."""
        manifest = self.manifest
        orders = {"suite": manifest["fingerprint"]["suites"], "model": manifest["models"]}
        return {
            column: {label: place for place, label in enumerate(order)}
            for column, order in orders.items()
        }

    def _require_rows(self) -> None:
        if not self.has_rows:
            raise UsageError(f"{self.path} has no rows yet: run the same command again")
        lacking = self.lacking
        if lacking and self.manifest.get("state") == "finished":
            raise EquibenchError(
                f"{self.path} lacks {len(lacking)} of {len(self.units)} units "
                f"({lacking[0]}{' …' if len(lacking) > 1 else ''}): run the same command again"
            )

    def _failure_files(self) -> list[Path]:
        shards = sorted(self.path.glob("failures-*-of-*.json"))
        return [file for file in [self.path / "failures.json", *shards] if file.exists()]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While one process reads and writes what shards share."""
        with ExitStack() as stack:
            with writable(self.path):
                stack.enter_context(locked(self.path / ".lock.manifest", wait=True))
            yield

    def _read_json(self, name: str, default: Any) -> Any:
        file = self.path / name
        if not file.exists():
            return default
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} cannot be read: {error}") from None
        if not isinstance(content, type(default)):
            raise UsageError(f"{file} is damaged: it holds no {type(default).__name__}")
        return content

    def _write(self, name: str, content: bytes) -> None:
        with replacing(self.path / name) as temporary:
            temporary.write_bytes(content)


def _expected(manifest: Mapping[str, Any]) -> list[str]:
    """The units of a run, as far as its manifest knows."""
    return [
        unit_name(stem, number)
        for stem, count in manifest.get("units", {}).items()
        for number in range(count)
    ]


def _read_summary(file: Path) -> pd.DataFrame:
    """A summary as it was written, to the last bit."""
    import pyarrow as pa
    from pyarrow import csv

    with file.open(encoding="utf-8", newline="") as stream:
        names = next(reader(stream))
    text = [name for name in names if name in LABELS or name.endswith("_worst_case")]
    table = csv.read_csv(
        file,
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(text, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    empty = [name for name in names if table[name].null_count == len(table)]
    summary: pd.DataFrame = table.to_pandas().astype(dict.fromkeys(empty, "float64"))
    return summary


def _empty(path: Path) -> bool:
    """A folder with nothing in it, or only what a run that was stopped at once left there."""
    return path.is_dir() and not any(
        p for p in path.iterdir() if not _ours(p) and (p.name != "rows" or any(p.iterdir()))
    )


def _ours(path: Path) -> bool:
    return path.name.startswith(".lock") or path.name.endswith(TEMPORARY)


def _every_digit(value: Any) -> str:
    return repr(float(value))


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
