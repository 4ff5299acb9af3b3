"""The rows of a run: one Parquet file for each unit of work, then one for each model × suite.

A unit's name is that of its stem, the model × suite it belongs to, with its number.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from equibench.errors import EquibenchError
from equibench.foundation.atomic_files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LABELS", "RowFiles", "unit_name"]

LABELS = ("suite", "model", "group", "cluster", "case", "frame", "precision")
"""The columns that hold text."""

_PARTIAL = ".partial"
"""How the name of a unit's rows ends of which some cases could not be loaded."""

_UNITS = b"equibench.units"
"""Where a file that holds several units names them."""

_ROWS = 2**17
"""Rows of a row group: what merging and reading hold in memory at once."""


def unit_name(stem: str, number: int) -> str:
    """The name of a unit of work."""
    return f"{stem}_{number:05d}"


def _stem(unit: str) -> str:
    return unit.rpartition("_")[0]


class RowFiles:
    """The folder ``rows/`` of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, unit: str, rows: pd.DataFrame, complete: bool) -> None:
        """Add the rows of one unit; those of an incomplete one are measured again on resuming."""
        final, partial = self._file(unit), self._file(f"{unit}{_PARTIAL}")
        with replacing(final if complete else partial) as temporary:
            temporary.write_bytes(rows.to_parquet(index=False))
        if complete:
            partial.unlink(missing_ok=True)

    def finished(self, unit: str) -> bool:
        """Whether all rows of a unit are there; what a kill left beside them is removed.

        Raises:
            EquibenchError: their file is there and cannot be read.
        """
        own = self._file(unit)
        if unit in self._merged(_stem(unit)):
            own.unlink(missing_ok=True)
        elif own.exists():
            _units(own)
        else:
            return False
        self._file(f"{unit}{_PARTIAL}").unlink(missing_ok=True)
        return True

    def consolidate(self, stem: str, units: Sequence[str]) -> None:
        """Make one file of the rows of a model on a suite, once all its units are finished.

        Raises:
            EquibenchError: a file is damaged, or the new one cannot be written.
        """
        if not all(self.finished(unit) for unit in units) or set(units) <= self._merged(stem):
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = [self._file(unit) for unit in units]
        schema = pa.unify_schemas(
            [pq.read_schema(file) for file in files], promote_options="permissive"
        )
        names = {_UNITS: json.dumps(list(units)).encode()}
        schema = schema.with_metadata({**(schema.metadata or {}), **names})
        with (
            replacing(self._file(stem)) as temporary,
            # what else there is are numbers that hardly ever repeat
            pq.ParquetWriter(
                temporary, schema, use_dictionary=LABELS, compression="zstd"
            ) as writer,
        ):
            for table in _batches(files, schema):
                writer.write_table(table, row_group_size=_ROWS)
        for file in files:
            file.unlink()

    def files(self) -> list[Path]:
        """Every file that counts, by name.

        Raises:
            EquibenchError: one of them is damaged.
        """
        found = {file.stem: file for file in sorted(self.path.glob("*.parquet"))}
        merged = {unit for name, file in found.items() for unit in _units(file) if unit != name}
        # a kill may come before the files of merged units are removed
        return [file for name, file in found.items() if name.removesuffix(_PARTIAL) not in merged]

    def units(self) -> set[str]:
        """The units that have rows, if not all of them."""
        return {unit.removesuffix(_PARTIAL) for file in self.files() for unit in _units(file)}

    def digest(self) -> str:
        """Of what files there are: it changes with every unit that comes or goes."""
        names = [f"{file.name} {file.stat().st_size}" for file in self.files()]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

    def places(self) -> Mapping[tuple[str, str], Sequence[Path]]:
        """Suite and model, and the files that have rows of theirs."""
        found: dict[tuple[str, str], list[Path]] = {}
        for file in self.files():
            for place in _places(file):
                found.setdefault(place, []).append(file)
        return found

    def read(self, files: Sequence[Path], *, compact: bool = False) -> pd.DataFrame:
        """The rows of some files; compact ones have categories for text."""
        import pyarrow.parquet as pq

        names = [str(file) for file in files]
        table = pq.read_table(names, read_dictionary=LABELS if compact else None)
        rows: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        return rows

    def _merged(self, stem: str) -> frozenset[str]:
        """The units in the file that a stem's units were merged into."""
        file = self._file(stem)
        if not stem or not file.exists():
            return frozenset()
        return frozenset(_units(file)) - {stem}

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.parquet"


def _batches(files: Sequence[Path], schema: "pa.Schema") -> Iterator["pa.Table"]:
    """The rows of small files in their order, in tables that are worth a row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[Any] = []
    for file in files:
        table = pq.ParquetFile(file).read()
        waiting.append(table.select(schema.names).cast(schema))
        if sum(map(len, waiting)) >= _ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _units(file: Path) -> Sequence[str]:
    """The units whose rows a file has; one that holds no others is named after its own.

    Raises:
        EquibenchError: it is damaged.
    """
    from pyarrow import ArrowInvalid

    try:
        status = file.stat()
        return _named(file, status.st_mtime_ns, status.st_size)
    except (ArrowInvalid, OSError) as error:
        raise EquibenchError(
            f"{file} is damaged ({str(error).split('.')[0]}): delete it and run the same "
            "command again"
        ) from None


@cache
def _named(file: Path, modified: int, size: int) -> Sequence[str]:
    import pyarrow.parquet as pq

    names = (pq.read_metadata(file).metadata or {}).get(_UNITS)
    return tuple(json.loads(names)) if names else (file.stem,)


def _places(file: Path) -> list[tuple[str, str]]:
    """The suites and models that a file has rows of."""
    import pyarrow.parquet as pq

    labels = list(LABELS[:2])
    table = pq.read_table(file, columns=labels, read_dictionary=labels)
    found = table.group_by(labels).aggregate([]).to_pydict()
    return sorted(zip(found["suite"], found["model"], strict=True))
