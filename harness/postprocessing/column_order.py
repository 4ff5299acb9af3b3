"""Rows in the order of columns that a run of their metrics would have written."""

from collections.abc import Iterable, Sequence

import pandas as pd

from equibench.measurement.row_table import row_columns
from equibench.metrics.chosen import metric_called
from equibench.transforms.transform import AXES, Transform

__all__ = ["in_order"]


def in_order(
    rows: pd.DataFrame, names: Iterable[str], transforms: Sequence[Transform] = ()
) -> pd.DataFrame:
    """The same rows; columns that no run writes come last.

    Args:
        names: of metrics, in their order.
    """
    metrics = [metric_called(name) for name in names]
    usual = row_columns(metrics, transforms, 3 if AXES[0] in rows else 2, screened=True)
    known = [name for name in usual if name in rows]
    return rows[[*known, *(name for name in rows.columns if name not in known)]]
