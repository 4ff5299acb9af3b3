"""The outputs of a run: one Parquet file for each unit of work, in float32, compressed.

Every case is a row group of its own. Pages carry checksums: what was changed since it was written
is told when it is read.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.atomic_files import replacing, writable
from equibench.measurement.kept_outputs import KeptOutput

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OutputFiles"]

_OF = b"equibench.outputs"
"""Where a file says whose outputs it holds."""

_STREAMS = {"output.list.element": "BYTE_STREAM_SPLIT"}
"""Neighbouring values share their leading bytes, which compress when they stand together."""


class OutputFiles:
    """The folder ``outputs/`` of a run.

    Args:
        run: the run folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "outputs"

    def write(self, unit: str, names: Mapping[str, str], outputs: Sequence[KeptOutput]) -> None:
        """Keep the outputs of one unit.

        Args:
            names: of the model and the suite.

        Raises:
            EquibenchError: the file cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        by_case: dict[str, list[KeptOutput]] = {}
        for each in outputs:
            by_case.setdefault(each.case, []).append(each)
        with writable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        said = {_OF: json.dumps({**names, "cases": list(by_case)}).encode()}
        schema = _schema(pa).with_metadata(said)
        with (
            replacing(self.path / f"{unit}.parquet") as temporary,
            pq.ParquetWriter(
                temporary,
                schema,
                compression="zstd",
                use_dictionary=["transform", "case", "resized"],
                column_encoding=_STREAMS,
                write_page_checksum=True,
            ) as writer,
        ):
            for case in by_case.values():
                writer.write_table(_table(case, schema))

    def of(self, unit: str) -> dict[str, Any]:
        """Of which model and suite a unit's outputs are, and of which cases.

        Raises:
            UsageError: none were kept.
            EquibenchError: the file is damaged.
        """
        import pyarrow.parquet as pq

        file = self._file(unit)
        try:
            found = json.loads((pq.read_metadata(file).metadata or {})[_OF])
        except Exception as error:
            raise _damaged(file, error) from None
        assert isinstance(found, dict)
        return found

    def read(self, unit: str, case: str) -> list[KeptOutput]:
        """The outputs of one case.

        Raises:
            UsageError: none were kept.
            EquibenchError: the file is damaged.
        """
        import pyarrow.parquet as pq

        file, number = self._file(unit), self.of(unit)["cases"].index(case)
        try:
            with pq.ParquetFile(file, page_checksum_verification=True) as opened:
                lines = opened.read_row_group(number)
            return [_kept(lines, i) for i in range(len(lines))]
        except Exception as error:
            raise _damaged(file, error) from None

    def _file(self, unit: str) -> Path:
        file = self.path / f"{unit}.parquet"
        if not file.exists():
            raise UsageError(
                f"{self.path.parent} keeps no outputs of {unit}: repeat the run with "
                "--keep-outputs into another folder"
            )
        return file


def _schema(pa: Any) -> "pa.Schema":
    return pa.schema(
        {
            "transform": pa.string(),
            "case": pa.string(),
            "image": pa.int32(),
            "draw": pa.int32(),
            "element": pa.list_(pa.float64()),
            "shape": pa.list_(pa.int32()),
            "output": pa.list_(pa.float32()),
            "padded": pa.bool_(),
            "resized": pa.string(),
            "labels": pa.bool_(),
            "added": pa.list_(pa.float64()),
        }
    )


def _table(outputs: Sequence[KeptOutput], schema: "pa.Schema") -> "pa.Table":
    """The outputs of one case, in the order of draws."""
    import pyarrow as pa

    lines = sorted(outputs, key=lambda each: (each.transform, each.draw, each.image))
    flat = np.concatenate([each.output.ravel() for each in lines])
    ends = np.cumsum([0, *(each.output.size for each in lines)])
    columns: dict[str, Any] = {
        "shape": [each.output.shape for each in lines],
        "output": pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(flat)).cast(
            schema.field("output").type
        ),
    }
    for name in schema.names:
        if name not in columns:
            columns[name] = [getattr(each, name) for each in lines]
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _kept(lines: "pa.Table", i: int) -> KeptOutput:
    """One line as what it was."""
    line = {name: lines[name][i] for name in lines.column_names}
    shape = line.pop("shape").as_py()
    output = line.pop("output").values.to_numpy().reshape(shape)
    said = {name: value.as_py() for name, value in line.items()}
    added = None if said["added"] is None else np.asarray(said["added"])
    element = np.asarray(said["element"], np.float64)
    return KeptOutput(**said | {"output": output, "element": element, "added": added})


def _damaged(file: Path, error: Exception) -> EquibenchError:
    why = str(error).split("\n")[0].split(". ")[0]
    return EquibenchError(
        f"{file} is damaged ({why}): repeat the run with --keep-outputs into another folder"
    )
