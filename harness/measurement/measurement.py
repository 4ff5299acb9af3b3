"""The measurement itself: one model, some cases, their shifts, one row for each.

Every image passes through the model unshifted (the reference), with shift (0, 0) in another
slot of a batch (the floor: what rounding alone makes of the same input), and with each shift.
Batches have one fixed shape and mix cases and shifts; which images share a batch follows from
the cases alone. Sums stay on the device until the last batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite, data_range, in_units
from equibench.errors import DataError, EquibenchError, ModelError
from equibench.inference.forward_pass import call
from equibench.inference.model_outputs import frame_of, shape
from equibench.inference.parallel_copies import Lanes
from equibench.measurement.batch_outputs import (
    BatchOutputs,
    Slot,
    gather,
    truth_beside,
    units_of,
    worked_on_at_once,
)
from equibench.measurement.batching import Item, Loader, OpenCase, items
from equibench.measurement.row_table import ClosedCase, Sums, row_table
from equibench.measurement.settings import Settings
from equibench.measurement.shifted_passes import filled
from equibench.metrics.metric import Metric, Prepared
from equibench.transforms.circular_shift import roll

__all__ = ["Forward", "Measured", "Measurement"]


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
    broken: dict[str, EquibenchError]
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class _RefusedError(Exception):
    """A model cannot take a batch with images of some cases."""

    def __init__(self, error: ModelError, cases: Sequence[str]) -> None:
        super().__init__(str(error))
        self.error, self.cases = error, cases


class Measurement:
    """One pass over the cases of a unit.

    Args:
        lanes: the model, and its copies that work side by side.
        load: gives the cases by name.
        begin: brings the model and all random numbers back to where a unit begins.
    """

    def __init__(
        self,
        lanes: Lanes[Forward],
        label: str,
        suite: Suite,
        metrics: Sequence[Metric],
        settings: Settings,
        load: Loader,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self.lanes, self.begin = lanes, begin
        self.label, self.suite, self.settings, self.load = label, suite, settings, load
        self.metrics = metrics
        self.changing = [m for m in metrics if m.delta_format]
        self._forget()

    def run(self, cases: Sequence[str]) -> Measured:
        """Measure; a case that cannot be loaded, or that the model refuses, is left out.

        The others pass through the model in the same batches as if it were whole.

        Raises:
            DataError: only some cases have a ground truth.
            ModelError: the model refuses every case.
        """
        broken: dict[str, EquibenchError] = {}
        while True:
            self._forget()
            try:
                for sums in self.lanes.in_order(self._tasks(cases, broken)):
                    self.sums += sums
            except _RefusedError as refused:
                broken |= self._refused(cases, broken, refused)
                if all(isinstance(broken.get(name), ModelError) for name in cases):
                    raise broken[cases[0]] from refused
                continue
            rows = row_table(
                self.label, self.suite, self.settings, self.metrics, self.closed, self.sums
            )
            if not self.closed:  # what is wrong with the model is one thing, not one for each case
                faults = {n: e for n, e in broken.items() if isinstance(e, ModelError)}
                broken |= {name: next(iter(faults.values())) for name in faults}
            sizes = {case.name: case.size for case in self.closed.values()}
            return Measured(rows, broken, sizes)

    def _forget(self) -> None:
        self.begin()
        self.closed: dict[str, ClosedCase] = {}
        self.sums: list[Sums] = []

    def _refused(
        self, cases: Sequence[str], broken: Mapping[str, EquibenchError], first: "_RefusedError"
    ) -> dict[str, EquibenchError]:
        """Which cases a model refuses, each by itself; if none, all that were refused together."""
        self.begin()
        found: dict[str, EquibenchError] = {}
        for name in (name for name in cases if name not in broken):
            case = self.load(name)
            if isinstance(case, DataError):
                continue  # the next pass tells
            alone = OpenCase(case, np.empty((0, 2), dtype=np.int64), self.settings.device)
            part = list(alone.items(self.settings.batch))[: self.settings.batch]
            try:
                slots = [Slot(k, i, alone) for k, i in enumerate(part)]
                self._forward(part, slots, self.lanes.each[0])
            except ModelError as error:
                found[name] = error
        return found or dict.fromkeys(first.cases, first.error)

    def _tasks(
        self, cases: Sequence[str], broken: dict[str, EquibenchError]
    ) -> Iterator[Callable[[Forward], list[Sums]]]:
        """What there is to do for each batch."""
        first: OpenCase | None = None
        for batch in self._batches(cases, broken):
            slots = [Slot(k, i, i.case) for k, i in enumerate(batch) if i.case is not None]
            for case in (slot.case for slot in slots):
                first = first or case
                if (case.target is None) != (first.target is None):
                    raise DataError(
                        f"{self.suite.label}: case {case.name} and {first.name} differ in whether "
                        "they have a ground truth; give all of them one, or none"
                    )
            if slots:
                yield partial(self._batch, batch, slots)

    def _batches(
        self, cases: Sequence[str], broken: dict[str, EquibenchError]
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

    def _batch(self, items: Sequence[Item], slots: Sequence[Slot], forward: Forward) -> list[Sums]:
        """Pass one batch through the model, and compare what comes of it."""
        unshifted = [slot for slot in slots if slot.item.draw is None]
        try:
            batch = self._forward(items, slots, forward)
            self._refer(batch, unshifted)
        except BaseException as error:
            for slot in unshifted:
                slot.case.fail(error)
            if isinstance(error, ModelError):
                raise _RefusedError(error, [slot.case.name for slot in slots]) from error
            raise
        return self._compare(batch, [slot for slot in slots if slot.item.draw is not None])

    def _forward(
        self, items: Sequence[Item], slots: Sequence[Slot], forward: Forward
    ) -> BatchOutputs:
        blank = torch.zeros_like(slots[0].case.input[0])
        inputs = [blank if i.case is None else i.case.input[i.image] for i in items]
        shifts = torch.tensor([i.shift for i in items], device=self.settings.device)
        images = roll(torch.stack(inputs), shifts)
        if len(items) < self.settings.batch:
            images = images[filled(len(items), self.settings.batch).to(images.device)]
        names = list(dict.fromkeys(slot.case.name for slot in slots))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        place = f"{self.suite.label}, case {', '.join(names[:3])}{more}"
        raw = call(forward.model, images, self.label, place)[: len(items)]
        ties = forward.near_ties()
        if ties is None or len(ties) != self.settings.batch:
            ties = raw.new_full((len(items),), torch.nan)
        frame = frame_of(forward.model)
        added = None if frame.added is None else frame.added.double().expand(len(images), -1, 1, 1)
        done = frame.padded, frame.resized, frame.labels
        return BatchOutputs(raw, images, shifts, ties.double(), *done, added)

    def _refer(self, batch: BatchOutputs, slots: Sequence[Slot]) -> None:
        """Keep unshifted outputs; the last one of a case closes it."""
        for group in worked_on_at_once(slots, batch):
            outputs = self._outputs(batch, group)
            moved = self._moved(outputs, batch, group)
            for (_, item, case), *pair in zip(group, outputs, moved, strict=True):
                if case.complete(item.image, *pair):
                    self._close(case, batch)
                    case.closed.set_result(None)

    def _compare(self, batch: BatchOutputs, slots: Sequence[Slot]) -> list[Sums]:
        """Compare shifted outputs with the references of their cases."""
        for slot in slots:
            try:
                slot.case.closed.result()
            except ModelError as error:
                raise _RefusedError(error, [slot.case.name]) from error
        return [self._sums(batch, group) for group in worked_on_at_once(slots, batch)]

    def _outputs(self, batch: BatchOutputs, slots: Sequence[Slot]) -> Tensor:
        """Outputs (N, C, H, W) in the coordinates of the images and the units of the truth.

        Without what an adapter adds to them: errors are relative to what the model gives.
        """
        outputs = batch.aligned(slots)
        units = self.suite.clamp is not None or any(slot.case.in_units for slot in slots)
        if batch.labels or not units:
            return outputs
        scale, offset = units_of(slots)
        return in_units(outputs, self.suite.clamp, scale, offset, batch.added_to(slots))

    def _moved(self, outputs: Tensor, batch: BatchOutputs, slots: Sequence[Slot]) -> Tensor:
        """Outputs (N, C, H, W) as they are held against a ground truth."""
        if batch.added is None:
            return outputs
        return outputs + batch.added_to(slots) * units_of(slots)[0][:, None, None, None]

    def _close(self, case: OpenCase, batch: BatchOutputs) -> None:
        """Make references of a case's unshifted outputs, and compare them with the truth."""
        outputs, moved = (
            torch.stack([each.pop(image) for image in range(len(case.input))])
            for each in (case.outputs, case.moved)
        )
        place = f"{self.label} on {self.suite.label}, case {case.name}"
        for metric in self.metrics:
            if (why := metric.unfit(outputs, batch.labels)) and metric.name in self.suite.metrics:
                raise ModelError(f"{place}: {why}")
        target, size = case.target, case.input.shape[-2:]
        if target is not None:
            target = truth_beside(target, outputs, batch.labels, place)
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
                sums = metric.partials(truth, moved, None).sum(dim=0)
                # of what has ignored pixels a metric of images would count them
                unfit = metric.unfit(outputs, batch.labels) is not None
                quality.append(torch.full_like(sums, torch.nan) if unfit else sums)
                if metric in self.changing:
                    case.truths.append(truth)
        none = torch.empty(0)
        self.closed[case.name] = ClosedCase(
            case.name,
            case.group,
            case.cluster,
            case.shifts,
            (size[0], size[1]),
            self.settings.plan.covers((size[0], size[1])),
            torch.stack(ranges),
            torch.stack(target_ranges) if target_ranges else none,
            quality,
            batch.padded,
            batch.resized,
        )

    def _prepare(self, metric: Metric, references: Tensor, data_range: Tensor) -> Prepared:
        single = metric.single and self.settings.precision != "fp64"
        references = references.to(torch.float32 if single else torch.float64)
        return metric.prepare(references, data_range.expand(len(references)))

    def _sums(self, batch: BatchOutputs, slots: Sequence[Slot]) -> Sums:
        """Sums of some outputs against the references of their cases, and against the truth."""
        outputs = self._outputs(batch, slots)
        origin = None if self.settings.frame == "canonical" else batch.corners(slots)
        parts: dict[str, Tensor] = {}
        known: dict[tuple[str, object], Tensor] = {}
        for number, metric in enumerate(self.metrics):
            kind = metric.sums or metric.name, type(metric).partials
            if kind not in known:
                prepared = gather([(case.references[number], i.image) for _, i, case in slots])
                known[kind] = metric.partials(prepared, outputs, origin)
            parts[f"eq_{metric.column}"] = known[kind]
        if slots[0].case.truths:
            moved = self._moved(outputs, batch, slots)
            for number, metric in enumerate(self.changing):
                truths = gather([(case.truths[number], i.image) for _, i, case in slots])
                parts[f"{metric.column}_shifted"] = metric.partials(truths, moved, origin)
        parts["near_ties"] = batch.near_ties(slots)[:, None]
        return Sums([(slot.case.name, slot.item.draw or 0) for slot in slots], parts)
