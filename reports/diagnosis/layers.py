"""What attribution and forensics found, layer by layer in network order: tables and a figure."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from math import ceil, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from equibench.layers.index_flips import Flips
from equibench.reports.figures.figure_files import write
from equibench.reports.figures.log_axis import Floats, LogAxis
from equibench.reports.figures.style import BLUE, FONT, ORANGE, PAGE, new_figure, plain, style
from equibench.reports.findings.run_data import shorten
from equibench.reports.tables.markup import escape_markdown
from equibench.reports.tables.values import NONE, number
from equibench.transforms.transform import as_shift, shift_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_layers", "findings", "flip_table", "layer_figure", "layer_table"]

_ERROR = ".1e"
_NAME = 20
_LABELS = 48
"""So many names find room below a page-wide figure."""


def layer_table(layers: pd.DataFrame) -> str:
    """An attribution as Markdown: one line for each call of a layer, then what follows from it.

    Args:
        layers: as :func:`equibench.layers.attribution.attribute` returns it.
    """
    reasons = list(dict.fromkeys(filter(None, layers["reason"])))
    lines = []
    for line in _records(layers):
        breaks = "breaks at borders" if _only_pads(line) else "breaks"
        marks = [word for word, on in ((breaks, line["breaks"]), ("lost", line["lost"])) if on]
        marks += [f"[{reasons.index(line['reason']) + 1}]"] if line["reason"] else []
        lines.append(
            [
                _name(line),
                str(line["kind"]),
                str(line["shape"]) or NONE,
                _stride(line),
                *(_error(line[column]) for column in ("local", "cumulative", "floor")),
                ", ".join(marks),
            ]
        )
    headings = ["layer", "kind", "output", "stride", "local", "cumulative", "floor", ""]
    notes = [*findings(layers), *(f"[{i}] {reason}" for i, reason in enumerate(reasons, 1))]
    return _markdown(headings, lines, left=(0, 1, 7), notes=notes)


def findings(layers: pd.DataFrame) -> list[str]:
    """What an attribution comes to, in sentences: what breaks, and where positions are lost."""
    measured = layers[layers["local"].notna()]
    breaking = layers[layers["breaks"]]
    if breaking.empty:
        said = [f"Every one of the {len(measured)} layers measured is equivariant by itself."]
    else:
        names = _list([_name(line) for line in _records(breaking)])
        said = [f"{len(breaking)} of {len(measured)} layers break equivariance: {names}."]
        padding = [_name(line) for line in _records(breaking) if _only_pads(line)]
        if len(padding) == len(breaking):
            said.append("All of them do at their borders alone, as padding does.")
        elif padding:
            said.append(
                f"{len(padding)} of them do at their borders alone, as padding does: "
                f"{_list(padding)}."
            )
    lost = np.flatnonzero(layers["lost"])
    if not len(lost):
        return [*said, "Every activation follows the image."]
    first = layers.iloc[lost[0]]
    where = f"The first activation that does not follow the image is that of {_name(first)}"
    if first["breaks"]:
        cause = ""
    elif any(stride < 1 for stride in _strides(first)):
        cause = ", which upsamples: the position that downsampling chose is lost before it"
    else:
        cause = ", which does not break it: what does lies between it and the layers before"
    return [*said, f"{where}{cause}."]


def flip_table(found: Flips) -> str:
    """The choices of adaptive layers as Markdown, then what flips come to."""
    lines = [
        [
            str(line["name"]),
            *(_error(line[column]) for column in ("smallest_gap", "median_gap")),
            *(_percent(line[column]) for column in ("near_ties", "flip_rate")),
            str(line["judged"]),
        ]
        for line in _records(found.layers)
    ]
    headings = ["layer", "smallest gap", "median gap", "near-ties", "flips", "of comparisons"]
    return _markdown(headings, lines, left=(0,), notes=_on_flips(found))


def _on_flips(found: Flips) -> list[str]:
    """How many samples flipped, what they weigh, and the worst of them."""
    flipped = found.samples[found.samples["flipped"] != ""]
    count = f"{len(flipped)} of {len(found.samples)} samples (image × shift) flipped"
    if flipped.empty:
        return [f"{count}."]
    weight = "" if isnan(found.share) else f"; they make {_percent(found.share)} of the mean NMSE"
    worst = flipped.sort_values("eq_nmse").iloc[-1]  # NaN comes last
    layers = str(worst["flipped"]).replace(" ", ", ")
    return [
        f"{count}{weight}.",
        f"The worst of them: case {worst['case']}, image {worst['image']}, shift "
        f"{as_shift(shift_of(worst))}, NMSE {_error(worst['eq_nmse'])}, at {layers}.",
    ]


def layer_figure(layers: pd.DataFrame, path: Path) -> list[Path]:
    """Draw an attribution and save it as PNG and PDF; ``path`` is without a suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(draw_layers(layers), path)


def draw_layers(layers: pd.DataFrame) -> "Figure":
    """Local and cumulative errors against network order, on one logarithmic axis."""
    local, cumulative = (
        layers[name].to_numpy(dtype=np.float64) for name in ("local", "cumulative")
    )
    both = np.concatenate((local, cumulative))
    axis = LogAxis.of(both[np.isfinite(both)])
    x = np.arange(len(layers))
    with style():
        blocks = _blocks(layers)
        longest = max((len(name) for name, _ in blocks), default=0)
        figure = new_figure(PAGE, 2.6 + 0.055 * longest)
        panel = figure.subplots()
        _name_blocks(panel, blocks)
        panel.plot(x, _on(cumulative, axis), color=BLUE, marker="o", markersize=2.5, linewidth=1,
                   label="cumulative: the activation against the moved one")  # fmt: skip
        panel.scatter(x, _on(local, axis), s=9, marker="D", color="0.45", linewidths=0, zorder=3,
                      label="local: the layer alone")  # fmt: skip
        breaks = layers["breaks"].to_numpy(dtype=bool)
        if breaks.any():
            panel.scatter(x[breaks], _on(local, axis)[breaks], s=32, marker="D", color=ORANGE,
                          edgecolors="white", linewidths=0.6, zorder=4,
                          label="local, above rounding")  # fmt: skip
        if axis.has_zero:
            panel.axhline(axis.low, color="0.6", linewidth=0.8, linestyle=":")
        panel.set_yticks(*axis.ticks(2.0, 0.25))
        panel.set_ylim(axis.zero - 0.06 * axis.span, axis.high + 0.06 * axis.span)
        panel.set_xlim(-0.8, len(layers) - 0.2)
        panel.set_ylabel("worst NMSE")
        panel.grid(axis="x", visible=False)
        infinite = int(np.isinf(both).sum())
        note = f"; {infinite} infinite errors not drawn" if infinite else ""
        panel.set_xlabel(f"layers in network order; worst of images and shifts{note}")
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def _blocks(layers: pd.DataFrame) -> list[tuple[str, int]]:
    """Neighbouring layers of one module: its name, or their only one's, and how many they are."""
    blocks = []
    for parent, run in groupby(
        layers["name"], key=lambda name: str(name).rpartition(".")[0] or name
    ):
        names = list(run)
        blocks.append((shorten(parent if len(names) > 1 else names[0], _NAME), len(names)))
    return blocks


def _name_blocks(panel: "Axes", blocks: Sequence[tuple[str, int]]) -> None:
    """Names below the axis, and neighbours told apart by shade."""
    ends = np.cumsum([0, *(count for _, count in blocks)])
    for start, end in zip(ends[1:-1:2], ends[2::2], strict=False):
        panel.axvspan(start - 0.5, end - 0.5, color="0.95", linewidth=0)
    every = ceil(len(blocks) / _LABELS)
    middles = (ends[:-1] + ends[1:] - 1) / 2
    labels = [plain(name) for name, _ in blocks]
    panel.set_xticks(middles[::every], labels[::every], rotation=90)
    panel.tick_params(axis="x", labelsize=FONT - 1, pad=1)


def _on(errors: Floats, axis: LogAxis) -> Floats:
    """Positions; what is missing or infinite has none."""
    finite = np.isfinite(errors)
    placed: Floats = np.where(finite, axis.place(np.where(finite, errors, 1.0)), np.nan)
    return placed


def _records(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    return cast("list[Mapping[str, Any]]", table.to_dict("records"))


def _name(line: Mapping[str, Any]) -> str:
    """A layer's name, and which call of it where there are several."""
    return f"{line['name']} (call {line['call']})" if line["call"] > 1 else str(line["name"])


def _stride(line: Mapping[str, Any]) -> str:
    """2, or 1/2 where a layer upsamples; all axes where they differ."""
    axes = [f"{s:g}" if s >= 1 else f"1/{1 / s:g}" for s in _strides(line)]
    return "×".join(axes if len(set(axes)) > 1 else axes[:1]) or NONE


def _only_pads(line: Mapping[str, Any]) -> bool:
    """Whether a layer that breaks does not with its borders left out."""
    return bool(line["breaks"]) and line["inside"] == 0


def _strides(line: "Mapping[str, Any] | pd.Series[Any]") -> list[float]:
    """Along each axis that there is."""
    every = (float(line.get(f"stride_{axis}", np.nan)) for axis in "zyx")
    return [stride for stride in every if not isnan(stride)]


def _error(value: float) -> str:
    return NONE if isnan(value) else number(value, _ERROR)


def _percent(value: float) -> str:
    return NONE if isnan(value) else number(value, ".2%")


def _list(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _markdown(
    headings: Sequence[str],
    lines: Sequence[Sequence[str]],
    left: Sequence[int],
    notes: Sequence[str],
) -> str:
    from tabulate import tabulate

    table: str = tabulate(
        [[escape_markdown(cell) for cell in line] for line in lines],
        headers=headings,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left" if i in left else "right" for i in range(len(headings))],
    )
    return "\n".join([table, *(f"\n{escape_markdown(note)}" for note in notes)]) + "\n"
