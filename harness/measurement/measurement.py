"""The measurement itself: one model, some cases, their shifts, one row for each.

Every image passes through the model unshifted (the reference), with shift (0, 0) in another
slot of a batch (the floor: what rounding alone makes of the same input), and with each shift.
Batches have one fixed shape and mix cases and shifts; which images share a batch follows from
the cases alone. Sums stay on the device until the last batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite, data_range, in_units
from equibench.errors import DataError, ModelError
from equibench.inference.forward_pass import align, call, roll
from equibench.inference.model_outputs import frame_of, shape
from equibench.inference.parallel_copies import Lanes
from equibench.measurement.conditions import Settings
from equibench.measurement.image_order import Item, Loader, OpenCase, items
from equibench.metrics.metric import Metric, Prepared
from equibench.registry.registries import METRICS
from equibench.transforms.shift_plans import Shifts

__all__ = ["Forward", "Measured", "Measurement", "row_columns", "suite_metrics"]

_ALWAYS = "nmse"
"""Measured whatever a suite names: the floor and outputs that are not finite are told by it."""


def suite_metrics(suite: Suite) -> list[Metric]:
    """The metrics that a suite is measured with."""
    return [METRICS.get(name).require() for name in dict.fromkeys((_ALWAYS, *suite.metrics))]


def row_columns(metrics: Sequence[Metric]) -> list[str]:
    """The columns of rows, in order: one row for each model × suite × case × shift."""
    changing = [m for m in metrics if m.delta_format]
    return [
        *("model", "suite", "group", "cluster", "case", "draw", "dy", "dx", "frame", "precision"),
        *(f"eq_{m.column}" for m in metrics),
        *(f"delta_{m.column}" for m in changing),
        *(m.column for m in metrics),
        *(f"{m.column}_shifted" for m in changing),
        *("near_ties", "floor_nmse", "covers", "evidence", "spots", "spot_deviation"),
        *("repeatability", "repeat_nmse", "batch", "padded"),
    ]


@dataclass(frozen=True, eq=False)
class _Closed:
    """What is left of a case for its rows: data ranges, and quality without a shift."""

    name: str
    group: str
    cluster: str
    shifts: Shifts
    size: tuple[int, int]
    covers: int
    ranges: Tensor
    target_ranges: Tensor
    quality: list[Tensor]
    padded: bool


@dataclass(frozen=True)
class Forward:
    """A model in its place.

    Args:
        model: (B, C, H, W) to (B, C', H, W), on its device and in its precision.
        near_ties: of the last forward pass, (B,), where the model has APS layers.
    """

    model: Callable[[Tensor], Tensor]
    near_ties: Callable[[], Tensor | None]


@dataclass(frozen=True)
class Measured:
    """Rows of a unit, and why the others of its cases have none.

    Args:
        sizes: (H, W) of the images of each case, in pixels.
    """

    rows: pd.DataFrame
    broken: dict[str, DataError]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


_Place = tuple[int, Item, OpenCase]
"""A slot of a batch, and whose image is in it."""

_Sums = list[tuple[list[tuple[str, int]], Tensor]]
"""The sums (N, K) of some outputs, with case and draw of each."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """What a forward pass gave.

    Args:
        raw: (B, C, sH, sW).
        images: (B, C, H, W), that were rolled by ``shifts`` (B, 2).
        ties: near-ties of each image, (B,).
        padded: whether the model padded them.
        added: what is to be added to outputs before they are held against a ground truth, (B, C
            or 1, 1, 1); None where nothing is.
    """

    raw: Tensor
    images: Tensor
    shifts: Tensor
    ties: Tensor
    padded: bool
    added: Tensor | None

    def aligned(self, group: Sequence[_Place]) -> Tensor:
        """Some outputs, rolled back, in float64."""
        slots = _slots(group)
        return align(self.raw[slots], self.shifts[slots], self.images).to(torch.float64)

    def corners(self, group: Sequence[_Place]) -> Tensor:
        """Where the corners of some shifted outputs lie on the unshifted ones, (N, 2)."""
        return -self.shifts[_slots(group)] * (self.raw.shape[-1] // self.images.shape[-1])


def _groups(places: Sequence[_Place], batch: _Batch) -> list[Sequence[_Place]]:
    """What is worked on at once: all on a GPU, one image in a CPU's cache."""
    size = max(1, len(places)) if batch.raw.is_cuda else 1
    return [places[first : first + size] for first in range(0, len(places), size)]


def _slots(group: Sequence[_Place]) -> slice | list[int]:
    first = group[0][0]
    return slice(first, first + 1) if len(group) == 1 else [slot for slot, _, _ in group]


class Measurement:
    """One pass over the cases of a unit.

    Args:
        lanes: the model, and its copies that work side by side.
        load: gives the cases by name.
    """

    def __init__(
        self,
        lanes: Lanes[Forward],
        label: str,
        suite: Suite,
        metrics: Sequence[Metric],
        settings: Settings,
        load: Loader,
    ) -> None:
        self.lanes = lanes
        self.label, self.suite, self.settings, self.load = label, suite, settings, load
        self.metrics = metrics
        self.changing = [m for m in metrics if m.delta_format]
        self.closed: dict[str, _Closed] = {}
        self.keys: list[tuple[str, int]] = []
        self.sums: list[Tensor] = []
        self.widths: list[int] = []

    def run(self, cases: Sequence[str]) -> Measured:
        """Measure; a case that cannot be loaded is left out.

        Raises:
            DataError: no case can be loaded, or only some have a ground truth.
            ModelError: the model raises, or returns what cannot be measured.
        """
        broken: dict[str, DataError] = {}
        for sums in self.lanes.in_order(self._tasks(cases, broken)):
            for keys, part in sums:
                self.keys += keys
                self.sums.append(part)
        if not self.closed:
            raise next(iter(broken.values()))
        sizes = {case.name: case.size for case in self.closed.values()}
        return Measured(self._table(), broken, sizes)

    def _tasks(
        self, cases: Sequence[str], broken: dict[str, DataError]
    ) -> Iterator[Callable[[Forward], _Sums]]:
        """What there is to do for each batch."""
        first: OpenCase | None = None
        for batch in self._batches(cases, broken):
            places = [(slot, i, i.case) for slot, i in enumerate(batch) if i.case is not None]
            for _, _, case in places:
                first = first or case
                if (case.target is None) != (first.target is None):
                    raise DataError(
                        f"{self.suite.label}: case {case.name} and {first.name} differ in whether "
                        "they have a ground truth; give all of them one, or none"
                    )
            if places:
                yield partial(self._batch, batch, places)

    def _batches(
        self, cases: Sequence[str], broken: dict[str, DataError]
    ) -> Iterator[Sequence[Item]]:
        """Images that pass through the model together: all of one size."""
        waiting: list[Item] = []
        for item in items(self.suite, cases, self.settings, self.load, broken):
            sizes = {each.size for each in (*waiting, item)} - {None}
            if len(waiting) == self.settings.batch or len(sizes) > 1:
                yield waiting
                waiting = []
            waiting.append(item)
        yield waiting

    def _batch(self, items: Sequence[Item], places: Sequence[_Place], forward: Forward) -> _Sums:
        """Pass one batch through the model, and compare what comes of it."""
        unshifted = [place for place in places if place[1].draw is None]
        try:
            batch = self._forward(items, places, forward)
            self._refer(batch, unshifted)
        except BaseException as error:
            for _, _, case in unshifted:
                case.fail(error)
            raise
        return self._compare(batch, [place for place in places if place[1].draw is not None])

    def _forward(self, items: Sequence[Item], places: Sequence[_Place], forward: Forward) -> _Batch:
        blank = torch.zeros_like(places[0][2].input[0])
        inputs = [blank if i.case is None else i.case.input[i.image] for i in items]
        shifts = torch.tensor([i.shift for i in items], device=self.settings.device)
        images = roll(torch.stack(inputs), shifts)
        if len(items) < self.settings.batch:
            # a last batch is filled up: another shape would give other bits
            fill = torch.arange(self.settings.batch, device=images.device) % len(items)
            images = images[fill]
        names = list(dict.fromkeys(case.name for _, _, case in places))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        place = f"{self.suite.label}, case {', '.join(names[:3])}{more}"
        raw = call(forward.model, images, self.label, place)[: len(items)]
        ties = forward.near_ties()
        if ties is None or len(ties) != self.settings.batch:
            ties = raw.new_full((len(items),), torch.nan)
        frame = frame_of(forward.model)
        added = None if frame.added is None else frame.added.double().expand(len(images), -1, 1, 1)
        return _Batch(raw, images, shifts, ties.double(), frame.padded, added)

    def _refer(self, batch: _Batch, places: Sequence[_Place]) -> None:
        """Keep unshifted outputs; the last one of a case closes it."""
        for group in _groups(places, batch):
            outputs = self._outputs(batch, group)
            moved = self._moved(outputs, batch, group)
            for (_, item, case), *pair in zip(group, outputs, moved, strict=True):
                if case.complete(item.image, *pair):
                    self._close(case, batch.padded)
                    case.closed.set_result(None)

    def _compare(self, batch: _Batch, places: Sequence[_Place]) -> _Sums:
        """Compare shifted outputs with the references of their cases."""
        for _, _, case in places:
            case.closed.result()
        return [
            ([(case.name, item.draw or 0) for _, item, case in group], self._sums(batch, group))
            for group in _groups(places, batch)
        ]

    def _outputs(self, batch: _Batch, group: Sequence[_Place]) -> Tensor:
        """Outputs (N, C, H, W) in the coordinates of the images and the units of the truth.

        Without what an adapter adds to them: errors are relative to what the model gives.
        """
        outputs = batch.aligned(group)
        if self.suite.clamp is None and not any(case.in_units for _, _, case in group):
            return outputs
        scale, offset = _units(group)
        added = 0.0 if batch.added is None else batch.added[_slots(group)]
        return in_units(outputs, self.suite.clamp, scale, offset, added)

    def _moved(self, outputs: Tensor, batch: _Batch, group: Sequence[_Place]) -> Tensor:
        """Outputs (N, C, H, W) as they are held against a ground truth."""
        if batch.added is None:
            return outputs
        return outputs + batch.added[_slots(group)] * _units(group)[0][:, None, None, None]

    def _close(self, case: OpenCase, padded: bool) -> None:
        """Make references of a case's unshifted outputs, and compare them with the truth."""
        outputs, moved = (
            torch.stack([each.pop(image) for image in range(len(case.input))])
            for each in (case.outputs, case.moved)
        )
        target, size = case.target, case.input.shape[-2:]
        if target is not None and target.shape[-2:] == size != outputs.shape[-2:]:
            target = None  # of what super-resolution makes of a whole image
        if target is not None and target.shape != outputs.shape:
            raise ModelError(
                f"{self.label} returned {shape(outputs)} on {self.suite.label}, case {case.name}, "
                f"where the ground truth is {shape(target)}: set its number of output channels, or "
                f"out.channels={target.shape[1]}, or out.channel=0"
            )
        ranges, target_ranges, quality = [], [], []
        for metric in self.metrics:
            rule = self.suite.data_range.get(metric.name, "max")
            ranges.append(data_range(rule, outputs))
            case.references.append(self._prepare(metric, outputs, ranges[-1]))
            if target is not None:
                target_ranges.append(data_range(rule, target))
                truth = self._prepare(metric, target, target_ranges[-1])
                quality.append(metric.partials(truth, moved, None).sum(dim=0))
                if metric in self.changing:
                    case.truths.append(truth)
        none = torch.empty(0)
        self.closed[case.name] = _Closed(
            case.name,
            case.group,
            case.cluster,
            case.shifts,
            (size[0], size[1]),
            self.settings.plan.covers((size[0], size[1])),
            torch.stack(ranges),
            torch.stack(target_ranges) if target_ranges else none,
            quality,
            padded,
        )

    def _prepare(self, metric: Metric, references: Tensor, data_range: Tensor) -> Prepared:
        single = metric.single and self.settings.precision != "fp64"
        references = references.to(torch.float32 if single else torch.float64)
        return metric.prepare(references, data_range.expand(len(references)))

    def _sums(self, batch: _Batch, group: Sequence[_Place]) -> Tensor:
        """Sums (N, K) of some outputs and their references."""
        outputs = self._outputs(batch, group)
        origin = None if self.settings.frame == "canonical" else batch.corners(group)
        sums: list[Tensor] = []
        known: dict[tuple[str, object], Tensor] = {}
        for number, metric in enumerate(self.metrics):
            kind = metric.sums or metric.name, type(metric).partials
            if kind not in known:
                prepared = _gather([(case.references[number], i.image) for _, i, case in group])
                known[kind] = metric.partials(prepared, outputs, origin)
            sums.append(known[kind])
        if group[0][2].truths:
            moved = self._moved(outputs, batch, group)
            for number, metric in enumerate(self.changing):
                truths = _gather([(case.truths[number], i.image) for _, i, case in group])
                sums.append(metric.partials(truths, moved, origin))
        sums.append(batch.ties[_slots(group)][:, None])
        self.widths = [part.shape[1] for part in sums]
        return torch.cat(sums, dim=1)

    def _table(self) -> pd.DataFrame:
        """One row for each case and shift, from sums that now leave the device together."""
        sums = torch.cat(self.sums).cpu()
        place = {key: number for number, key in enumerate(dict.fromkeys(self.keys))}
        index = torch.tensor([place[key] for key in self.keys])
        totals = sums.new_zeros(len(place), sums.shape[1]).index_add_(0, index, sums)
        frames = []
        for case in (self.closed[name] for name in dict.fromkeys(name for name, _ in self.keys)):
            mine = totals[[place[case.name, draw] for draw in range(len(case.shifts))]]
            constant = {"model": self.label, "suite": self.suite.label}
            constant |= {"group": case.group, "cluster": case.cluster}
            dy, dx = case.shifts.T
            shift = {"case": case.name, "draw": np.arange(len(dy)), "dy": dy, "dx": dx}
            values = {
                "frame": self.settings.frame,
                "precision": self.settings.precision,
                **self._values(case, mine),
                "covers": case.covers,
                "evidence": self.settings.plan.evidence,
                "spots": 0,
                "repeatability": "",
                "repeat_nmse": np.nan,
                "batch": self.settings.batch,
                "padded": case.padded,
            }
            frames.append(pd.DataFrame(constant | shift | values))
        return pd.concat(frames, ignore_index=True).reindex(columns=row_columns(self.metrics))

    def _values(self, case: _Closed, totals: Tensor) -> dict[str, Any]:
        """The columns of a case's rows, from their sums (shifts, K)."""
        parts = iter(torch.split(totals, self.widths, dim=1))
        columns: dict[str, Any] = {}
        for metric, r in zip(self.metrics, case.ranges.cpu(), strict=True):
            columns[f"eq_{metric.column}"] = metric.value(next(parts), r).numpy()
        for metric, r, total in zip(
            self.metrics, case.target_ranges.cpu(), case.quality, strict=False
        ):
            quality = metric.value(total.cpu(), r)
            columns[metric.column] = float(quality)
            if metric in self.changing:
                shifted = metric.value(next(parts), r)
                # two infinite values are equal: no change
                change = torch.where(shifted == quality, 0.0, (shifted - quality).abs())
                columns[f"{metric.column}_shifted"] = shifted.numpy()
                columns[f"delta_{metric.column}"] = change.numpy()
        columns["near_ties"] = next(parts)[:, 0].numpy()
        # in a batch of one there is no other slot to measure the floor in
        columns["floor_nmse"] = columns["eq_nmse"][0] if self.settings.batch > 1 else np.nan
        return columns


def _units(group: Sequence[_Place]) -> tuple[Tensor, Tensor]:
    """Scale and offset (N,) that bring outputs into the units of the truth."""
    return (
        torch.stack([case.scale[item.image] for _, item, case in group]),
        torch.stack([case.offset[item.image] for _, item, case in group]),
    )


def _gather(wanted: list[tuple[Prepared, int]]) -> Prepared:
    """The prepared references of a batch; one that all share is not copied."""
    first, image = wanted[0]
    if all(prepared is first and i == image for prepared, i in wanted):
        return tuple(tensor[image : image + 1] for tensor in first)
    return tuple(torch.stack([prepared[k][i] for prepared, i in wanted]) for k in range(len(first)))
