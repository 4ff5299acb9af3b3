"""The measurement itself: one model, some cases, their shifts, one row for each.

Every image passes through the model unshifted (the reference), with shift (0, 0) in another
slot of a batch (the floor: what rounding alone makes of the same input), and with each shift.
Batches have one fixed shape and mix cases and shifts; which images share a batch follows from
the cases alone. Sums stay on the device until the last batch.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases import Case, Suite, data_range
from equibench.errors import DataError, EquibenchError, ModelError
from equibench.forward import call, roll, shape
from equibench.metrics import Metric, Prepared
from equibench.shifts import ShiftPlan, Shifts

__all__ = ["Frame", "Measurement", "row_columns"]

Frame = Literal["canonical", "reference"]
"""Whether y is compared with T₋ₖ G(Tₖ x), or Tₖ y with G(Tₖ x)."""


def row_columns(metrics: Sequence[Metric]) -> list[str]:
    """The columns of rows, in order: one row for each model × suite × case × shift."""
    changing = [m for m in metrics if m.delta_format]
    return [
        *("model", "suite", "group", "case", "draw", "dy", "dx", "frame"),
        *(f"eq_{m.column}" for m in metrics),
        *(f"delta_{m.column}" for m in changing),
        *(m.column for m in metrics),
        *(f"{m.column}_shifted" for m in changing),
        *("near_ties", "floor_nmse", "batch"),
    ]


class _Open:
    """A case while its images pass through the model."""

    def __init__(self, case: Case, shifts: Shifts, device: torch.device) -> None:
        self.name, self.group = case.name, case.group
        self.shifts = np.concatenate((np.zeros((1, 2), dtype=np.int64), shifts))
        self.input = case.input.to(device)
        self.target = None if case.target is None else case.target.to(device)
        ones = torch.ones(len(self.input), dtype=torch.float64, device=device)
        self.scale = ones if case.scale is None else case.scale.to(ones)
        self.offset = 0 * ones if case.offset is None else case.offset.to(ones)
        self.outputs: dict[int, Tensor] = {}
        self.references: list[Prepared] = []
        self.truths: list[Prepared] = []

    def items(self, batch: int) -> Iterator["_Item"]:
        """First every image unshifted, then (0, 0) once more, then the shifts."""
        count = len(self.input)
        for image in range(count):
            yield _Item(self, image, None)
        # the floor must not meet its reference's slot of a batch
        turn = int(count % batch == 0)
        for draw in range(len(self.shifts)):
            for image in range(count):
                yield _Item(self, (image + turn) % count if draw == 0 else image, draw)


@dataclass(frozen=True, eq=False)
class _Item:
    """One image to be passed through the model: unshifted (no draw) or with a shift."""

    case: _Open
    image: int
    draw: int | None

    @property
    def shift(self) -> tuple[int, int]:
        dy, dx = self.case.shifts[self.draw or 0]
        return int(dy), int(dx)


@dataclass(frozen=True, eq=False)
class _Closed:
    """What is left of a case for its rows: data ranges, and quality without a shift."""

    name: str
    group: str
    shifts: Shifts
    ranges: Tensor
    target_ranges: Tensor
    quality: list[Tensor]


class Measurement:
    """One pass over the cases of a unit.

    Args:
        model: (B, C, H, W) to (B, C', H, W), on ``device`` and in its precision.
        near_ties: of the last forward pass, (B,), where the model has APS layers.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        near_ties: Callable[[], Tensor | None],
        *,
        label: str,
        suite: Suite,
        metrics: Sequence[Metric],
        plan: ShiftPlan,
        frame: Frame,
        seed: int,
        batch: int,
        device: torch.device,
    ) -> None:
        self.model, self.near_ties = model, near_ties
        self.label, self.suite, self.metrics = label, suite, metrics
        self.changing = [m for m in metrics if m.delta_format]
        self.plan, self.frame, self.seed = plan, frame, seed
        self.batch, self.device = batch, device
        self.closed: dict[str, _Closed] = {}
        self.keys: list[tuple[str, int]] = []
        self.sums: list[Tensor] = []
        self.widths: list[int] = []

    def rows(self, cases: Sequence[str]) -> pd.DataFrame:
        """Measure.

        Raises:
            DataError: a case cannot be loaded.
            ModelError: the model raises, or returns what cannot be measured.
        """
        waiting: list[_Item] = []
        for item in self._items(cases):
            full = len(waiting) == self.batch
            if full or (waiting and _size(waiting[0]) != _size(item)):
                self._forward(waiting)
                waiting = []
            waiting.append(item)
        self._forward(waiting)
        return self._table()

    def _items(self, cases: Sequence[str]) -> Iterator[_Item]:
        for case in _loaded(self.suite, cases):
            height, width = case.input.shape[-2:]
            shifts = self.plan.shifts(self.seed, self.suite.name, case.name, (height, width))
            yield from _Open(case, shifts, self.device).items(self.batch)

    def _forward(self, items: list[_Item]) -> None:
        """Pass one batch through the model, and compare what has a reference."""
        shifts = torch.tensor([item.shift for item in items], device=self.device)
        images = roll(torch.stack([i.case.input[i.image] for i in items]), shifts)
        # a last batch is filled up: another shape would give other bits
        slots = torch.arange(self.batch, device=self.device) % len(items)
        names = list(dict.fromkeys(item.case.name for item in items))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        place = f"{self.suite.label}, case {', '.join(names[:3])}{more}"
        raw = call(self.model, images[slots], self.label, place)[: len(items)]
        near_ties = self.near_ties()
        outputs = roll(raw, -shifts).to(torch.float64)
        if self.suite.clamp is not None:
            outputs = outputs.clamp(-self.suite.clamp, self.suite.clamp)
        outputs = outputs * _per_image([i.case.scale[i.image] for i in items])
        outputs = outputs + _per_image([i.case.offset[i.image] for i in items])
        for item, output in zip(items, outputs, strict=True):
            if item.draw is None:
                item.case.outputs[item.image] = output
                if len(item.case.outputs) == len(item.case.input):
                    self._close(item.case)
        chosen = [slot for slot, item in enumerate(items) if item.draw is not None]
        if chosen:
            ties = torch.zeros(len(items)) if near_ties is None else near_ties[: len(items)]
            self._compare(
                [items[slot] for slot in chosen],
                outputs[chosen],
                None if self.frame == "canonical" else -shifts[chosen],
                ties[chosen].to(outputs),
            )

    def _close(self, case: _Open) -> None:
        """Make references of a case's unshifted outputs, and compare them with the truth."""
        outputs = torch.stack([case.outputs.pop(image) for image in range(len(case.input))])
        target = case.target
        if target is not None and target.shape != outputs.shape:
            raise ModelError(
                f"{self.label} returned {shape(outputs)} on {self.suite.label}, case {case.name}, "
                f"where the ground truth is {shape(target)}: set its number of output channels"
            )
        ranges, target_ranges, quality = [], [], []
        for metric in self.metrics:
            rule = self.suite.data_range.get(metric.name, "max")
            ranges.append(data_range(rule, outputs))
            case.references.append(metric.prepare(outputs, ranges[-1].expand(len(outputs))))
            if target is not None:
                target_ranges.append(data_range(rule, target))
                truth = metric.prepare(target, target_ranges[-1].expand(len(target)))
                quality.append(metric.partials(truth, outputs, None).sum(dim=0))
                if metric in self.changing:
                    case.truths.append(truth)
        none = torch.empty(0)
        self.closed[case.name] = _Closed(
            case.name,
            case.group,
            case.shifts,
            torch.stack(ranges),
            torch.stack(target_ranges) if target_ranges else none,
            quality,
        )

    def _compare(
        self, items: list[_Item], outputs: Tensor, origin: Tensor | None, near_ties: Tensor
    ) -> None:
        sums = []
        for number, metric in enumerate(self.metrics):
            prepared = _gather([(i.case.references[number], i.image) for i in items])
            sums.append(metric.partials(prepared, outputs, origin))
        if items[0].case.truths:
            for number, metric in enumerate(self.changing):
                truths = _gather([(i.case.truths[number], i.image) for i in items])
                sums.append(metric.partials(truths, outputs, origin))
        sums.append(near_ties[:, None])
        self.widths = [part.shape[1] for part in sums]
        self.sums.append(torch.cat(sums, dim=1))
        self.keys += [(i.case.name, i.draw or 0) for i in items]

    def _table(self) -> pd.DataFrame:
        """One row for each case and shift, from sums that now leave the device together."""
        sums = torch.cat(self.sums).cpu()
        place = {key: number for number, key in enumerate(dict.fromkeys(self.keys))}
        index = torch.tensor([place[key] for key in self.keys])
        totals = sums.new_zeros(len(place), sums.shape[1]).index_add_(0, index, sums)
        frames = []
        for case in self.closed.values():
            mine = totals[[place[case.name, draw] for draw in range(len(case.shifts))]]
            constant = {"model": self.label, "suite": self.suite.label, "group": case.group}
            dy, dx = case.shifts.T
            shift = {"case": case.name, "draw": np.arange(len(dy)), "dy": dy, "dx": dx}
            values = {"frame": self.frame, **self._values(case, mine), "batch": self.batch}
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
        columns["near_ties"] = next(parts)[:, 0].numpy().astype(np.int64)
        if "eq_nmse" in columns:
            columns["floor_nmse"] = columns["eq_nmse"][0]
        return columns


def _loaded(suite: Suite, names: Sequence[str]) -> Iterator[Case]:
    """Load cases one ahead of their use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(_load, suite, names[0])
        for name in [*names[1:], None]:
            case = following.result()
            if name is not None:
                following = pool.submit(_load, suite, name)
            yield case


def _load(suite: Suite, name: str) -> Case:
    try:
        case = suite.load(name)
    except EquibenchError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise DataError(f"{suite.name} cannot load case {name}: {reason}") from error
    if case.input.ndim != 4 or not case.input.is_floating_point():
        raise DataError(
            f"{suite.name}, case {name}: the input is {case.input.dtype} {shape(case.input)}, "
            "not a float tensor (N, C, H, W)"
        )
    return case


def _gather(wanted: list[tuple[Prepared, int]]) -> Prepared:
    """The prepared references of a batch; one that all share is not copied."""
    first, image = wanted[0]
    if all(prepared is first and i == image for prepared, i in wanted):
        return tuple(tensor[image : image + 1] for tensor in first)
    return tuple(torch.stack([prepared[k][i] for prepared, i in wanted]) for k in range(len(first)))


def _per_image(values: list[Tensor]) -> Tensor:
    return torch.stack(values)[:, None, None, None]


def _size(item: _Item) -> torch.Size:
    return item.case.input.shape[1:]
