"""The small files of a run folder: its summary, and what failed."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from csv import reader
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.errors import EquibenchError
from equibench.evidence.words import summary_of_today
from equibench.foundation.atomic_files import replacing
from equibench.foundation.file_locks import shard_name
from equibench.runs.row_files import LABELS, damaged

__all__ = ["SUMMARY", "SummaryFiles", "as_json"]

SUMMARY = "summary.csv"
_FAILURES = "failures.json"


class SummaryFiles:
    """``summary.csv``, ``failures.json`` and those of shards, ``failures-1-of-4.json``.

    Args:
        path: the run folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def digests(self) -> dict[str, str]:
        """Of each that is there, by its name."""
        return {n: _digest(self.path / n) for n in self._names() if (self.path / n).exists()}

    def verify(self, recorded: Mapping[str, str], names: Iterable[str] | None = None) -> None:
        """See that files are what they were when their digests were recorded.

        Args:
            names: of some of those that were recorded; all by default.

        Raises:
            EquibenchError: one is damaged, or gone; a summary is made again without a word.
        """
        for name in recorded if names is None else names:
            file = self.path / name
            if not file.exists():
                if name != SUMMARY:
                    raise EquibenchError(f"{file} is gone: run the same command again")
            elif name in recorded and _digest(file) != recorded[name]:
                raise damaged(file, "it is not what was written")

    def failures(self) -> list[dict[str, Any]]:
        """Those of all shards together, each once.

        Raises:
            EquibenchError: a file of them is damaged.
        """
        found: dict[str, dict[str, Any]] = {}
        for name in self._names()[1:]:
            for failure in _failures(self.path / name):
                found.setdefault(json.dumps(failure), failure)
        return list(found.values())

    def write_failures(self, failures: Sequence[Mapping[str, Any]], shard: str | None) -> None:
        """Replace what failed: of the whole run, or of one shard and of any earlier split."""
        name = f"failures-{shard_name(shard)}.json" if shard else _FAILURES
        with replacing(self.path / name) as temporary:
            temporary.write_bytes(as_json(failures))
        split = f"-of-{shard.partition('/')[2]}.json" if shard else name
        for other in self._names()[1:]:
            if not other.endswith(split):
                (self.path / other).unlink(missing_ok=True)

    def write_summary(self, summary: pd.DataFrame) -> None:
        """Write every digit, whatever print options a library has set for NumPy."""
        with replacing(self.path / SUMMARY) as temporary:
            temporary.write_bytes(summary.to_csv(index=False, float_format=_every_digit).encode())

    def summary(self) -> pd.DataFrame:
        """A summary as it was written, to the last bit.

        Raises:
            EquibenchError: it is damaged.
        """
        try:
            return summary_of_today(_read_csv(self.path / SUMMARY))
        except (OSError, ValueError, KeyError, StopIteration) as error:
            raise damaged(self.path / SUMMARY, str(error).split("\n")[0]) from None

    def _names(self) -> list[str]:
        shards = sorted(file.name for file in self.path.glob("failures-*-of-*.json"))
        failures = [_FAILURES] if (self.path / _FAILURES).exists() else []
        return [SUMMARY, *failures, *shards]


def as_json(value: object) -> bytes:
    """JSON as the files of a run folder have it."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise damaged(file, error.strerror or str(error)) from None


def _failures(file: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(file, str(error)) from None
    if not isinstance(found, list) or not all(
        isinstance(each, dict) and isinstance(each.get("message"), str) for each in found
    ):
        raise damaged(file, "it is no list of failures")
    return found


def _read_csv(file: Path) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import csv

    with file.open(encoding="utf-8", newline="") as stream:
        names = next(reader(stream))
    text = [
        name for name in names if name in LABELS or name.endswith(("_worst_case", "_worst_element"))
    ]
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


def _every_digit(value: Any) -> str:
    return repr(float(value))
