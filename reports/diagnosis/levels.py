"""Which levels of a network its output depends on, as a table for a terminal."""

from collections.abc import Sequence

import pandas as pd

from equibench.metrics.metric import Metric
from equibench.reports.tables.values import number

__all__ = ["levels_text"]


def levels_text(levels: pd.DataFrame, metrics: Sequence[Metric], label: str, suite: str) -> str:
    """A line for the network as it is, and for what is left without each level.

    Args:
        levels: as ``eb.ablate_levels`` returns it.
        metrics: the suite's; those that were measured against a ground truth are shown.
    """
    from tabulate import tabulate

    shown = [metric for metric in metrics if metric.column in levels]
    headings = [
        "without",
        "maps",
        "NMSE of outputs",
        *(f"{m.title} with the truth" for m in shown),
        "dead channels",
    ]
    lines = [
        [
            "nothing" if line["stride"] == 1 else f"stride {line['stride']} and deeper",
            line["maps"],
            number(line["change"], ".1e"),
            *(f"{number(line[m.column], m.format)} {m.unit}".strip() for m in shown),
            "" if pd.isna(line["dead"]) else f"{line['dead']:.0%}",
        ]
        for line in levels.to_dict("records")
    ]
    right = ["right"] * (len(headings) - 2)
    table = tabulate(
        lines, headings, "simple", disable_numparse=True, colalign=["left"] * 2 + right
    )
    return f"{label} on {suite}\n{table}"
