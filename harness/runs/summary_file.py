"""``summary.csv``: a summary as a file, to the last bit."""

from csv import reader
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.runs.row_files import LABELS

__all__ = ["as_csv", "read_csv"]


def as_csv(summary: pd.DataFrame) -> bytes:
    """Every digit of a summary, whatever print options a library has set for NumPy."""
    return summary.to_csv(index=False, float_format=_every_digit).encode()


def read_csv(file: Path) -> pd.DataFrame:
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


def _every_digit(value: Any) -> str:
    return repr(float(value))
