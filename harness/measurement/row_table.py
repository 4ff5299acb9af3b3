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
from numpy.typing import NDArray
from torch import Tensor

from equibench.cases.suite import Suite, data_range
from equibench.measurement.settings import Settings
from equibench.metrics.chosen import metric_called
from equibench.metrics.metric import Metric
from equibench.transforms.transform import AXES, Elements, Transform

__all__ = [
    "Closed",
    "ClosedCase",
    "Sums",
    "case_values",
    "row_columns",
    "row_table",
    "suite_metrics",
]

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
    metrics: Sequence[Metric],
    transforms: Sequence[Transform] = (),
    axes: int = 2,
    *,
    screened: bool = False,
) -> list[str]:
    """The columns of rows, in order: one row for each model × suite × case × element.

    Args:
        axes: the largest number of spatial axes that images have.
        screened: whether the worst shifts were found in another precision.
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
        *("repeatability", "repeat_nmse", "batch", "padded", "resized", "constant"),
        *(["screen_nmse"] if screened else []),
        *dict.fromkeys(column for transform in transforms for column in transform.columns),
    ]


@dataclass(frozen=True, eq=False)
class ClosedCase:
    """What is left of a case for its rows once its references are made.

    Args:
        elements: of its draws, the first is the identity, (draws, K).
        size: of its images, in pixels.
        padded: whether the model padded its images.
        resized: how its outputs were brought to their grid; empty where they were not.
    """

    name: str
    group: str
    cluster: str
    elements: Elements
    size: tuple[int, ...]
    padded: bool
    resized: str


@dataclass(frozen=True, eq=False)
class Closed:
    """Cases that were closed together, with what is on the device where they were.

    Args:
        counts: of images, case by case.
        ranges: data ranges of the references (cases,), metric by metric, then those of the ground
            truth, where there is one.
        quality: sums (images, K) of the unshifted outputs against the truth, metric by metric;
            empty without one.
        constant: whether an unshifted output is one value throughout each channel, (images,).
    """

    cases: Sequence[ClosedCase]
    counts: Sequence[int]
    ranges: Sequence[Tensor]
    quality: Sequence[Tensor]
    constant: Tensor


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
    closed: Sequence[Closed],
    sums: Sequence[Sums],
) -> pd.DataFrame:
    """One row for each case and shift, from sums that now leave the device together."""
    transform = settings.transform
    known = {case.name: case for together in closed for case in together.cases}
    axes = max((len(case.size) for case in known.values()), default=2)
    columns = row_columns(metrics, settings.transforms, axes)
    if not sums:
        return pd.DataFrame(columns=columns)
    cases = [known[name] for name in dict.fromkeys(name for each in sums for name, _ in each.of)]
    draws = np.array([len(case.elements) for case in cases])
    starts = np.cumsum(draws) - draws
    parts = _totals(cases, starts, sums, int(draws.sum()))
    ranges, quality, constant = _of_cases(closed, cases, len(metrics))
    values = _figures(metrics, parts, ranges, quality, torch.from_numpy(draws))
    # in a batch of one there is no other slot to measure the floor in
    floor = values["eq_nmse"][starts] if settings.batch > 1 else np.full(len(cases), np.nan)
    each: dict[str, Any] = {
        "group": [case.group for case in cases],
        "cluster": [case.cluster for case in cases],
        "case": [case.name for case in cases],
        "floor_nmse": floor,
        "covers": [transform.covers(case.size) for case in cases],
        "padded": [case.padded for case in cases],
        "resized": [case.resized for case in cases],
        "constant": constant,
    }
    named = [transform.element(element) for c in cases for element in c.elements.tolist()]
    table: dict[str, Any] = {
        "model": label,
        "suite": suite.label,
        "draw": np.arange(len(named)) - np.repeat(starts, draws),
        "transform": transform.label,
        "element": named,
        **_shifts([(transform.shifts(c.elements), len(c.size), len(c.elements)) for c in cases]),
        "frame": settings.frame,
        "precision": settings.precision,
        **{column: pd.Series(each[column]).repeat(draws.tolist()).array for column in each},
        **values,
        "near_ties": parts["near_ties"][:, 0].numpy(),
        "evidence": transform.evidence,
        "spots": 0,
        "repeatability": "",
        "repeat_nmse": np.nan,
        "batch": settings.batch,
    }
    for column in transform.columns:
        if column in parts:
            table[column] = transform.observed(column, parts[column])
    return transform.settle(pd.DataFrame(table).reindex(columns=columns))


def _totals(
    cases: Sequence[ClosedCase], starts: NDArray[np.int64], sums: Sequence[Sums], rows: int
) -> dict[str, Tensor]:
    """Sums over the images of each case under each element, (rows, K) by column, on the CPU."""
    widths = {column: part.shape[1] for column, part in sums[0].parts.items()}
    every = torch.cat([torch.cat(list(each.parts.values()), dim=1) for each in sums]).cpu()
    first = dict(zip((case.name for case in cases), starts.tolist(), strict=True))
    lines = torch.tensor([first[name] + draw for each in sums for name, draw in each.of])
    totals = every.new_zeros(rows, every.shape[1]).index_add_(0, lines, every)
    return dict(zip(widths, torch.split(totals, list(widths.values()), dim=1), strict=True))


def _of_cases(
    closed: Sequence[Closed], cases: Sequence[ClosedCase], metrics: int
) -> tuple[Tensor, list[Tensor], list[bool]]:
    """Data ranges (cases, metrics or twice as many), sums of the quality (cases, K) by metric, and
    whether all outputs of a case are constant.

    All are on the CPU.
    """
    ranges = torch.cat([torch.stack(list(each.ranges), dim=1) for each in closed]).cpu()
    counts = [count for each in closed for count in each.counts]
    numbers = {c.name: n for n, c in enumerate(c for each in closed for c in each.cases)}
    order = [numbers[case.name] for case in cases]
    still = torch.cat([each.constant for each in closed]).cpu()
    constant = [bool(images.all()) for images in torch.split(still, counts)]
    constant = [constant[number] for number in order]
    if ranges.shape[1] == metrics:
        return ranges[order], [], constant
    widths = [part.shape[1] for part in closed[0].quality]
    every = torch.cat([torch.cat(list(each.quality), dim=1) for each in closed]).cpu()
    quality = []
    for part in torch.split(every, widths, dim=1):
        images = torch.split(part.contiguous(), counts)
        quality.append(torch.stack([images[number].sum(dim=0) for number in order]))
    return ranges[order], quality, constant


def _shifts(of: Sequence[tuple[Elements | None, int, int]]) -> dict[str, Any]:
    """The shift along each axis, by column; NaN along the axes that there are not.

    Args:
        of: shifts (n, axes), axes and n of each case.
    """
    most = max(axes for _, axes, _ in of)
    found: dict[str, Any] = {}
    for axis in dict.fromkeys((*AXES[-most:], *AXES[-2:])):
        values = []
        for shifts, axes, count in of:
            own = AXES[-axes:]
            if shifts is None or axis not in own:
                values.append(np.full(count, np.nan))
            else:
                values.append(shifts[:, own.index(axis)])
        found[axis] = np.concatenate(values)
    return found


def _figures(
    metrics: Sequence[Metric],
    parts: Mapping[str, Tensor],
    ranges: Tensor,
    quality: Sequence[Tensor],
    draws: Tensor,
) -> dict[str, Any]:
    """What the sums of cases come to, by column.

    Args:
        parts: (rows, K), as many rows for each case as it has ``draws``.
        ranges, quality: of cases, metric by metric.
    """
    figures: dict[str, Any] = {}
    for metric, r in zip(metrics, ranges.unbind(1), strict=False):
        column = f"eq_{metric.column}"
        figures[column] = metric.value(parts[column], r.repeat_interleave(draws)).numpy()
    for metric, r, totals in zip(metrics, ranges.unbind(1)[len(metrics) :], quality, strict=False):
        value = metric.value(totals, r).repeat_interleave(draws)
        figures[metric.column] = value.numpy()
        if metric.delta_format:
            column = f"{metric.column}_shifted"
            shifted = metric.value(parts[column], r.repeat_interleave(draws))
            # two infinite values are equal: no change
            change = torch.where(shifted == value, 0.0, (shifted - value).abs())
            figures[column] = shifted.numpy()
            figures[f"delta_{metric.column}"] = change.numpy()
    return figures
