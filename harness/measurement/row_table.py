"""Rows from sums: what a pass over the cases leaves, as one table.

Outputs are compared by sums over pixels (of squared differences, of the SSIM's map), because
the images of a volume share one figure. Each sum is named after the column that it becomes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite, data_range
from equibench.measurement.settings import Settings
from equibench.metrics.chosen import metric_called
from equibench.metrics.metric import Metric
from equibench.transforms.transform import AXES, Elements, Transform

__all__ = ["ClosedCase", "Sums", "case_values", "row_columns", "row_table", "suite_metrics"]

_ALWAYS = "nmse"
"""Measured whatever a suite names: the floor and outputs that are not finite are told by it."""


def suite_metrics(suite: Suite) -> list[Metric]:
    """The metrics that a suite is measured with."""
    return [metric_called(name) for name in dict.fromkeys((_ALWAYS, *suite.metrics))]


def case_values(
    suite: Suite, metrics: Iterable[Metric], outputs: Tensor, truth: Tensor
) -> Iterator[tuple[Metric, Tensor]]:
    """Each metric of a case's outputs (N, C, *S) against the truth, in whose units they are."""
    for metric in metrics:
        r = data_range(suite.data_range.get(metric.name, "max"), truth)
        prepared = metric.prepare(truth, r.expand(len(truth)))
        yield metric, metric.value(metric.partials(prepared, outputs, None).sum(dim=0), r)


def row_columns(
    metrics: Sequence[Metric], transforms: Sequence[Transform] = (), axes: int = 2
) -> list[str]:
    """The columns of rows, in order: one row for each model × suite × case × element.

    Args:
        axes: the largest number of spatial axes that images have.
    """
    changing = [m for m in metrics if m.delta_format]
    return [
        *("model", "suite", "group", "cluster", "case", "draw"),
        *("transform", "element", *AXES[-max(2, axes) :], "frame", "precision"),
        *(f"eq_{m.column}" for m in metrics),
        *(f"delta_{m.column}" for m in changing),
        *(m.column for m in metrics),
        *(f"{m.column}_shifted" for m in changing),
        *("near_ties", "floor_nmse", "covers", "evidence", "spots", "spot_deviation"),
        *("repeatability", "repeat_nmse", "batch", "padded", "resized"),
        *dict.fromkeys(column for transform in transforms for column in transform.columns),
    ]


@dataclass(frozen=True, eq=False)
class ClosedCase:
    """What is left of a case for its rows once its references are made.

    Args:
        elements: of its draws, the first is the identity, (draws, K).
        size: of its images, in pixels.
        ranges: data range of the references for each metric, (M,).
        target_ranges: that of the ground truth for each metric, (M,); empty without one.
        quality: for each metric the sums (K,) of the unshifted outputs against the truth.
        padded: whether the model padded its images.
        resized: how its outputs were brought to their grid; empty where they were not.
    """

    name: str
    group: str
    cluster: str
    elements: Elements
    size: tuple[int, ...]
    ranges: Tensor
    target_ranges: Tensor
    quality: list[Tensor]
    padded: bool
    resized: str


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of some outputs, on the device where they were made.

    Args:
        of: case and draw of each output.
        parts: (N, K) for each column of the rows that they become.
    """

    of: list[tuple[str, int]]
    parts: Mapping[str, Tensor]


def row_table(
    label: str,
    suite: Suite,
    settings: Settings,
    metrics: Sequence[Metric],
    cases: Mapping[str, ClosedCase],
    sums: Sequence[Sums],
) -> pd.DataFrame:
    """One row for each case and shift, from sums that now leave the device together."""
    transform = settings.transform
    axes = max((len(case.size) for case in cases.values()), default=2)
    columns = row_columns(metrics, settings.transforms, axes)
    if not sums:
        return pd.DataFrame(columns=columns)
    widths = {column: part.shape[1] for column, part in sums[0].parts.items()}
    every = torch.cat([torch.cat(list(each.parts.values()), dim=1) for each in sums]).cpu()
    keys = [key for each in sums for key in each.of]
    number = {key: line for line, key in enumerate(dict.fromkeys(keys))}
    lines = torch.tensor([number[key] for key in keys])
    totals = every.new_zeros(len(number), every.shape[1]).index_add_(0, lines, every)
    frames = []
    for case in (cases[name] for name in dict.fromkeys(name for name, _ in keys)):
        mine = totals[[number[case.name, draw] for draw in range(len(case.elements))]]
        parts = dict(zip(widths, torch.split(mine, list(widths.values()), dim=1), strict=True))
        values = _figures(case, metrics, parts)
        # in a batch of one there is no other slot to measure the floor in
        floor = values["eq_nmse"][0] if settings.batch > 1 else np.nan
        named = [transform.element(element) for element in case.elements.tolist()]
        frame: dict[str, Any] = {
            "model": label,
            "suite": suite.label,
            "group": case.group,
            "cluster": case.cluster,
            "case": case.name,
            "draw": np.arange(len(case.elements)),
            "transform": transform.label,
            "element": named,
            **_shifts(transform.shifts(case.elements), len(case.size)),
            "frame": settings.frame,
            "precision": settings.precision,
            **values,
            "near_ties": parts["near_ties"][:, 0].numpy(),
            "floor_nmse": floor,
            "covers": transform.covers(case.size),
            "evidence": transform.evidence,
            "spots": 0,
            "repeatability": "",
            "repeat_nmse": np.nan,
            "batch": settings.batch,
            "padded": case.padded,
            "resized": case.resized,
        }
        for column in transform.columns:
            if column in parts:
                frame[column] = transform.observed(column, parts[column])
        frames.append(pd.DataFrame(frame))
    rows = pd.concat(frames, ignore_index=True).reindex(columns=columns)
    return transform.settle(rows)


def _shifts(shifts: Elements | None, axes: int) -> dict[str, Any]:
    """The shift along each axis, by column; NaN along the axes that there are not."""
    own = AXES[-axes:]
    by_axis = {} if shifts is None else dict(zip(own, shifts.T, strict=True))
    return {axis: by_axis.get(axis, np.nan) for axis in dict.fromkeys((*own, *AXES[-2:]))}


def _figures(
    case: ClosedCase, metrics: Iterable[Metric], parts: Mapping[str, Tensor]
) -> dict[str, Any]:
    """What a case's sums (shifts, K) come to, by column."""
    figures: dict[str, Any] = {}
    for metric, r in zip(metrics, case.ranges.cpu(), strict=True):
        column = f"eq_{metric.column}"
        figures[column] = metric.value(parts[column], r).numpy()
    for metric, r, total in zip(metrics, case.target_ranges.cpu(), case.quality, strict=False):
        quality = metric.value(total.cpu(), r)
        figures[metric.column] = float(quality)
        if metric.delta_format:
            column = f"{metric.column}_shifted"
            shifted = metric.value(parts[column], r)
            # two infinite values are equal: no change
            change = torch.where(shifted == quality, 0.0, (shifted - quality).abs())
            figures[column] = shifted.numpy()
            figures[f"delta_{metric.column}"] = change.numpy()
    return figures
