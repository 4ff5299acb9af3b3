"""One row of a run again: input, both outputs and their difference, as a figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.postprocessing.rerun import Rerun
from equibench.reports.figures.figure_files import write
from equibench.reports.figures.style import PAGE, new_figure, plain, style
from equibench.reports.findings.leaderboard import shown_names
from equibench.reports.findings.run_data import RunData
from equibench.statistics.summary import columns
from equibench.transforms.circular_shift import align, roll

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["row_figure", "row_text"]

_TITLES = ("input", "output", "shifted, aligned", "difference")


def row_text(row: Mapping[Any, Any]) -> str:
    """What was measured: a line."""
    found = []
    for column in columns(list(row)):
        if column.shifted and not pd.isna(row[column.name]):
            unit = f" {column.unit}" if column.unit else ""
            found.append(f"{column.full_title} {row[column.name]:{column.format}}{unit}")
    place = f"{row['model']} on {row['suite']}, case {row['case']}"
    return f"{place}, shift ({row['dy']:.0f}, {row['dx']:.0f}): {', '.join(found)}"


def row_figure(data: RunData, rows: pd.DataFrame, out: Path) -> list[Path]:
    """Run the networks of some rows again, and draw a line of images for each.

    Args:
        rows: of circular shifts.
        out: the files' name, without a suffix.

    Raises:
        EquibenchError: a network cannot be loaded, or is not what it was.
    """
    rerun, names = Rerun(data.manifest), shown_names(data, 24)
    with style():
        figure = new_figure(PAGE, 2.0 * len(rows) + 0.2)
        axes = figure.subplots(len(rows), len(_TITLES), squeeze=False)
        for line, (_, row) in zip(axes, rows.iterrows(), strict=True):
            _draw(line, row, rerun)
            line[0].set_ylabel(plain(names[str(row["model"])]))
        for ax, title in zip(axes[0], _TITLES, strict=True):
            ax.set_title(title)
        out.parent.mkdir(parents=True, exist_ok=True)
        return write(figure, out)


def _draw(line: "list[Axes]", row: "pd.Series[Any]", rerun: Rerun) -> None:
    """A row's images, in one range of grey for both outputs."""
    model, suite = str(row["model"]), rerun.suite(str(row["suite"]))
    case = rerun.case(str(row["suite"]), str(row["case"]))
    forward = rerun.forward(model, suite, case)
    shifts = torch.tensor([[int(row["dy"]), int(row["dx"])]]).expand(len(case.input), 2)
    output = forward(case.input)
    aligned = align(forward(roll(case.input, shifts)), shifts, case.input)
    i = int((output - aligned).square().sum(dim=(1, 2, 3)).argmax())  # of a volume, the worst slice
    labels = rerun.labels(model)
    first, second = (_shown(each[i], labels) for each in (output, aligned))
    error = (first != second).astype(float) if labels else np.abs(first - second)
    span = {"vmin": min(first.min(), second.min()), "vmax": max(first.max(), second.max())}
    top = float(error.max())
    looks: list[tuple[Any, dict[str, Any]]] = [
        (_grey(case.input[i]), {}),
        (first, span),
        (second, span),
        (error, {"vmin": 0, "vmax": top or 1, "cmap": "magma"}),
    ]
    for ax, (image, options) in zip(line, looks, strict=True):
        ax.imshow(image, **{"cmap": "grey", "interpolation": "nearest", **options})
        ax.set_xticks([])
        ax.set_yticks([])
    largest = f"up to {top:.2g}" if top else "no pixel changes"
    line[2].set_xlabel(f"up to {span['vmax']:.2g}")
    line[3].set_xlabel(f"{largest}\nNMSE {row['eq_nmse']:.1e}")


def _grey(image: Tensor) -> Any:
    """The mean over channels of (C, H, W)."""
    return image.double().mean(dim=0).numpy()


def _shown(output: Tensor, labels: bool) -> Any:
    """An output (C, H, W) as a picture (H, W)."""
    return output.argmax(dim=0).numpy() if labels else _grey(output)
