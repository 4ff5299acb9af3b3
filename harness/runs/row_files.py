"""The rows of a run: one Parquet file for each unit of work, then one for each model × suite.

A unit's name is that of its stem, the model × suite it belongs to, with its number. A file's name
ends in a digest of its bytes, ``STEM_00000.0123456789abcdef.parquet``: what was changed since it
was written is told by its name.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from equibench.errors import EquibenchError
from equibench.evidence.words import rows_of_today
from equibench.foundation.atomic_files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LABELS", "RowFiles", "damaged", "unit_name"]

LABELS = (
    *("suite", "model", "group", "cluster", "case", "frame", "precision"),
    *("transform", "element", "evidence", "repeatability"),
)
"""The columns that hold text."""

_PARTIAL = ".partial"
"""How the name of a unit's rows ends of which some cases could not be loaded."""

_SIGNED = re.compile(r"(?P<name>.+)\.(?P<digest>[0-9a-f]{16})\.parquet")

_UNITS = b"equibench.units"
"""Where a file that holds several units names them."""

_ROWS = 2**17
"""Rows of a row group: what merging and reading hold in memory at once."""


def unit_name(stem: str, number: int) -> str:
    """The name of a unit of work."""
    return f"{stem}_{number:05d}"


def damaged(file: Path, reason: str) -> EquibenchError:
    """What is said of a file that is not what the run wrote and that the run can write again."""
    return EquibenchError(f"{file} is damaged ({reason}): delete it and run the same command again")


class RowFiles:
    """The folder ``rows/`` of a run.

    Args:
        signed: whether the names of files must carry a digest; those of schema 2 have none.

    Every method that reads raises an EquibenchError that names the file where one is damaged.
    """

    def __init__(self, path: Path, *, signed: bool = True) -> None:
        self.path, self.signed = path, signed

    def write(self, unit: str, rows: pd.DataFrame, complete: bool) -> None:
        """Add the rows of one unit; those of an incomplete one are measured again on resuming."""
        name = unit if complete else f"{unit}{_PARTIAL}"
        content = rows.to_parquet(index=False)
        with replacing(self.path / f"{name}.parquet", partial(_signed, name)) as temporary:
            temporary.write_bytes(content)
        written = self.path / _signed_as(name, hashlib.sha256(content))
        superseded = {name, f"{unit}{_PARTIAL}"}
        for other in self.path.glob(f"{unit}.*"):
            if other != written and _name(other) in superseded:
                other.unlink(missing_ok=True)

    def finished(self, units: Iterable[str]) -> set[str]:
        """Units of which all rows are there; what a kill left beside those is removed."""
        files = self._named()
        found, merged = set(), dict[str, frozenset[str]]()
        for unit in units:
            stem = unit.rpartition("_")[0]
            if stem not in merged:
                merged[stem] = frozenset(_units(files[stem])) if stem in files else frozenset()
            left = [f"{unit}{_PARTIAL}"]
            if unit in merged[stem]:
                left.append(unit)
            elif unit in files:
                _units(files[unit])
            else:
                continue
            found.add(unit)
            for name in left:
                if name in files:
                    files[name].unlink(missing_ok=True)
        return found

    def consolidate(self, stem: str, units: Sequence[str]) -> None:
        """Make one file of the rows of a model on a suite, once all its units are finished.

        Raises:
            EquibenchError: a file is damaged, or the new one cannot be written.
        """
        if not set(units) <= self.finished(units):
            return
        files = self._named()
        if stem in files and set(units) <= set(_units(files[stem])):
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = [files[unit] for unit in units]
        schema = pa.unify_schemas(
            [pq.read_schema(file) for file in parts], promote_options="permissive"
        )
        names = {_UNITS: json.dumps(list(units)).encode()}
        schema = schema.with_metadata({**(schema.metadata or {}), **names})
        with (
            replacing(self.path / f"{stem}.parquet", partial(_signed, stem)) as temporary,
            # what else there is are numbers that hardly ever repeat
            pq.ParquetWriter(
                temporary, schema, use_dictionary=LABELS, compression="zstd"
            ) as writer,
        ):
            for table in _batches(parts, schema):
                writer.write_table(table, row_group_size=_ROWS)
        for file in parts:
            file.unlink()

    def files(self) -> list[Path]:
        """Every file that counts, by name."""
        found = self._named()
        merged = {unit for name, file in found.items() for unit in _units(file) if unit != name}
        # a kill may come before the files of merged units are removed
        return [file for name, file in found.items() if name.removesuffix(_PARTIAL) not in merged]

    def units(self) -> set[str]:
        """The units that have rows, if not all of them."""
        return {unit.removesuffix(_PARTIAL) for file in self.files() for unit in _units(file)}

    def digest(self) -> str:
        """Of what the files hold."""
        names = [f"{file.name} {file.stat().st_size}" for file in self.files()]
        return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]

    def parts(self, suites: Mapping[str, int], models: Mapping[str, int]) -> Iterator[pd.DataFrame]:
        """The rows of one model on one suite after the other; the next is read meanwhile.

        Args:
            suites, models: their positions in the order in which they were named.
        """
        files: dict[tuple[str, str], list[Path]] = {}
        for file in self.files():
            for key in _keys(file):
                files.setdefault(key, []).append(file)

        def rank(key: tuple[str, str]) -> tuple[int, int]:
            suite, model = key
            return suites.get(suite, len(suites)), models.get(model, len(models))

        def read(key: tuple[str, str]) -> pd.DataFrame:
            rows = self.read(files[key], compact=True)
            mine = (rows["suite"] == key[0]) & (rows["model"] == key[1])
            return rows if mine.all() else rows[mine]

        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for key in sorted(files, key=rank):
                following = pool.submit(read, key)
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()

    def read(self, files: Sequence[Path], *, compact: bool = False) -> pd.DataFrame:
        """The rows of some files; compact ones have categories for text."""
        import pyarrow.parquet as pq

        names = [str(file) for file in files]
        with _reading(*files):
            table = pq.read_table(names, read_dictionary=LABELS if compact else None)
            rows: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
        return rows_of_today(rows)

    def __bool__(self) -> bool:
        """Whether there are any, damaged ones included."""
        return self.path.exists() and (not self.path.is_dir() or bool(self._listed()))

    def _named(self) -> dict[str, Path]:
        """Every file by its name without a digest, in the order of names; the last one written
        where a kill left two of a name.
        """
        if self.path.exists() and not self.path.is_dir():
            raise damaged(self.path, "it is no folder")
        found: dict[str, Path] = {}
        for file in self._listed():
            if self.signed and not _SIGNED.fullmatch(file.name):
                raise damaged(file, "this run did not write it")
            name = _name(file)
            if name not in found or file.stat().st_mtime_ns >= found[name].stat().st_mtime_ns:
                found[name] = file
        return dict(sorted(found.items()))

    def _listed(self) -> list[Path]:
        # names with a dot belong to file managers and to what is being written
        return sorted(f for f in self.path.glob("*.parquet") if not f.name.startswith("."))


def _name(file: Path) -> str:
    """The name of a unit, of a part of one or of a stem, whose rows a file has."""
    match = _SIGNED.fullmatch(file.name)
    return match["name"] if match else file.name.removesuffix(".parquet")


def _signed(name: str, file: Path) -> str:
    """What a file of rows is called, by what it holds."""
    with file.open("rb") as stream:
        return _signed_as(name, hashlib.file_digest(stream, "sha256"))


def _signed_as(name: str, digest: "hashlib._Hash") -> str:
    return f"{name}.{digest.hexdigest()[:16]}.parquet"


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


@contextmanager
def _reading(*files: Path) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError, KeyError) as error:
        raise damaged(files[0], str(error).split(".")[0].split("\n")[0]) from None


def _units(file: Path) -> Sequence[str]:
    """The units whose rows a file has; one that holds no others is named after its own.

    Raises:
        EquibenchError: it is damaged.
    """
    with _reading(file):
        status = file.stat()
        return _checked(file, status.st_mtime_ns, status.st_size)


@cache
def _checked(file: Path, modified: int, size: int) -> Sequence[str]:
    import pyarrow.parquet as pq

    if _SIGNED.fullmatch(file.name) and _signed(_name(file), file) != file.name:
        raise ValueError("it is not what was written")
    names = (pq.read_metadata(file).metadata or {}).get(_UNITS)
    return tuple(json.loads(names)) if names else (_name(file),)


def _keys(file: Path) -> list[tuple[str, str]]:
    """The suites and models that a file has rows of."""
    import pyarrow.parquet as pq

    labels = list(LABELS[:2])
    with _reading(file):
        table = pq.read_table(file, columns=labels, read_dictionary=labels)
    found = table.group_by(labels).aggregate([]).to_pydict()
    return sorted(zip(found["suite"], found["model"], strict=True))
