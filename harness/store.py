"""The run folder: what a run measured, how, and what failed.

Every file is written to a temporary name, flushed and renamed, so that what has its final name
is complete.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.errors import EquibenchError, UsageError
from equibench.summary import summarize

__all__ = ["RunFolder"]

SCHEMA = 2
PARTIAL = ".partial.parquet"
"""How the rows of a unit end of which some cases could not be loaded."""


class RunFolder:
    """``run.json``, ``rows/``, ``failures.json`` and ``summary.csv`` of one run.

    Raises:
        UsageError: ``path`` is a folder of something else, or of another schema version.
    """

    def __init__(self, path: Path | str, *, create: bool = False) -> None:
        self.path = Path(path)
        self._manifest = self.path / "run.json"
        if create and not self._manifest.exists():
            if self.path.exists() and not _empty(self.path):
                raise UsageError(f"{self.path} exists and is no run folder: choose another --out")
            with _explained(self.path):
                (self.path / "rows").mkdir(parents=True, exist_ok=True)
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
        """What failed, one entry for each unit or non-finite row."""
        content: list[dict[str, Any]] = self._read_json("failures.json", [])
        return content

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        self._write("run.json", _json({"schema": SCHEMA, **manifest}))

    def write_failures(self, failures: Sequence[Mapping[str, Any]]) -> None:
        self._write("failures.json", _json(failures))

    def write_summary(self, summary: pd.DataFrame) -> None:
        self._write("summary.csv", summary.to_csv(index=False).encode())

    def write_rows(self, unit: str, rows: pd.DataFrame, *, complete: bool = True) -> None:
        """Add the rows of one unit; those of an incomplete one are measured again on resuming."""
        partial = self.path / "rows" / f"{unit}{PARTIAL}"
        final = self.path / "rows" / f"{unit}.parquet"
        self._write(
            f"rows/{final.name if complete else partial.name}", rows.to_parquet(index=False)
        )
        if complete:
            partial.unlink(missing_ok=True)

    def finished(self, unit: str) -> bool:
        """Whether a unit's rows are there.

        Raises:
            EquibenchError: its file is there and cannot be read.
        """
        file = self.path / "rows" / f"{unit}.parquet"
        if not file.exists():
            return False
        file.with_name(f"{unit}{PARTIAL}").unlink(missing_ok=True)  # a kill came between the two
        _check(file)
        return True

    @property
    def has_rows(self) -> bool:
        """Whether any unit is finished."""
        return any((self.path / "rows").glob("*.parquet"))

    def summary(self, rows: pd.DataFrame) -> pd.DataFrame:
        """One line for each model × suite × group of the run's rows, in their order."""
        return summarize(rows)

    def rows(self) -> pd.DataFrame:
        """Every row that the run has so far: suite by suite, models as they were named.

        Raises:
            UsageError: there is none.
        """
        if not self.has_rows:
            raise UsageError(f"{self.path} has no rows yet: run the same command again")
        for file in sorted((self.path / "rows").glob("*.parquet")):
            _check(file)
        rows = pd.read_parquet(self.path / "rows")
        manifest = self.manifest
        orders = {"suite": manifest["fingerprint"]["suites"], "model": manifest["models"]}
        ranks = {
            column: rows[column].map({label: place for place, label in enumerate(order)})
            for column, order in orders.items()
        }
        order = pd.DataFrame(ranks).sort_values(list(ranks), kind="stable").index
        return rows.loc[order].reset_index(drop=True)

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
        final = self.path / name
        temporary = final.with_name(f".{final.name}.{os.getpid()}")
        with _explained(final):
            try:
                with temporary.open("wb") as stream:
                    stream.write(content)
                    stream.flush()
                    os.fsync(stream.fileno())
                temporary.replace(final)
            finally:
                temporary.unlink(missing_ok=True)


def _check(file: Path) -> None:
    import pyarrow.parquet as pq
    from pyarrow import ArrowInvalid

    try:
        pq.read_metadata(file)
    except (ArrowInvalid, OSError) as error:
        raise EquibenchError(
            f"{file} is damaged ({str(error).split('.')[0]}): delete it and run the same "
            "command again"
        ) from None


def _empty(path: Path) -> bool:
    """A folder with nothing in it, or only what a run that was stopped at once left there."""
    return path.is_dir() and not any(
        p for p in path.iterdir() if p.name != "rows" or any(p.iterdir())
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EquibenchError(
            f"cannot write {path}: {error.strerror}; mend that and run the same command again: "
            "finished units are kept"
        ) from error


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
