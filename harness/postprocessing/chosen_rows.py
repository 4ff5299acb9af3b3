"""Rows of a run by what users say of them: a case, a shift, and if need be a model and a suite."""

import pandas as pd

from equibench.errors import UsageError
from equibench.runs.run_folder import RunFolder
from equibench.transforms.transform import CIRCULAR

__all__ = ["rows_at"]

_SHOWN = 8
"""Names and shifts that messages list."""


def rows_at(
    folder: RunFolder,
    case: str,
    shift: tuple[int, int],
    models: list[str] | None = None,
    suites: list[str] | None = None,
) -> pd.DataFrame:
    """The rows of a case under a circular shift (dy, dx), one for each model and suite.

    Raises:
        UsageError: there is no such model, suite, case or shift; the message lists some that
            there are.
    """
    rows = folder.rows()
    rows = rows[(rows["transform"] == CIRCULAR) & (rows["draw"] > 0)]
    for column, wanted in (("model", models), ("suite", suites), ("case", [case])):
        for name in wanted or []:
            if name not in set(rows[column]):
                known = list(dict.fromkeys(rows[column]))
                raise UsageError(
                    f"{folder.path} has no {column} {name!r} of circular shifts; {_some(known)}"
                )
        if wanted:
            rows = rows[rows[column].isin(wanted)]
    found = rows[(rows["dy"] == shift[0]) & (rows["dx"] == shift[1])]
    if found.empty:
        pairs = zip(rows["dy"].astype(int), rows["dx"].astype(int), strict=True)
        known = [f"{dy} {dx}" for dy, dx in dict.fromkeys(pairs)]
        raise UsageError(f"case {case} was not measured under {shift}; {_some(known)}")
    return found.reset_index(drop=True)


def _some(known: list[str]) -> str:
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"there are {', '.join(known[:_SHOWN])}{more}" if known else "there are none"
