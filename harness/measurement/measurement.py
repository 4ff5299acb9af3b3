"""The measurement itself: one model, some cases, their shifts, one row for each.

Every image passes through the model unshifted (the reference), with shift (0, 0) in another
slot of a batch (the floor: what rounding alone makes of the same input), and with each shift.
Batches have one fixed shape and mix cases and shifts; which images share a batch follows from
the cases alone. Sums stay on the device until the last batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite, data_range, in_units, per_image
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
from equibench.measurement.batching import Item, Loader, OpenCase, items, moving
from equibench.measurement.row_table import ClosedCase, Sums, row_table
from equibench.measurement.settings import Settings
from equibench.measurement.shifted_passes import filled
from equibench.metrics.metric import Metric, Prepared
from equibench.transforms.transform import Region

__all__ = ["Forward", "Measured", "Measurement"]

_Box: TypeAlias = Any
"""An index of outputs: ``...`` for all of them."""


@dataclass(frozen=True)
class Forward:
    """A model in its place.

    Args:
        model: (B, C, *size) to (B, C', *size), on its device and in its precision.
        near_ties: of the last forward pass, (B,), where the model has APS layers.
    """

    model: Callable[[Tensor], Tensor]
    near_ties: Callable[[], Tensor | None]


@dataclass(frozen=True)
class Measured:
    """Rows of a unit, and why the others of its cases have none.

    Args:
        sizes: of the images of each case, in pixels.
    """

    rows: pd.DataFrame
    broken: dict[str, EquibenchError]
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


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
            identity = np.array(self.settings.transform.identity(tuple(case.input.shape[2:])))
            none = np.empty((0, len(identity)), identity.dtype)
            alone = OpenCase(case, self.settings.transform, none, self.settings.device)
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
            sizes = {each.shape for each in (*waiting, item)} - {None}
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
                told = self._refused_size(error, slots)
                raise _RefusedError(told, [slot.case.name for slot in slots]) from error
            raise
        return self._compare(batch, [slot for slot in slots if slot.item.draw is not None])

    def _refused_size(self, error: ModelError, slots: Sequence[Slot]) -> ModelError:
        """An error that may have come of another size than the images have."""
        for _, item, case in slots:
            size = (item.shape or ())[1:]
            if size != case.size and item.draw:
                sizes = ("×".join(map(str, n)) for n in (size, case.size))
                label = self.settings.transform.label
                return ModelError(
                    f"{error}; transform {label} gave it images of {' in place of '.join(sizes)}: "
                    f"take images whose size it takes both ways, or leave --transform {label} out"
                )
        return error

    def _forward(
        self, items: Sequence[Item], slots: Sequence[Slot], forward: Forward
    ) -> BatchOutputs:
        transform, first = self.settings.transform, slots[0]
        blank = torch.zeros_like(first.case.input[0])
        inputs = [blank if i.case is None else i.case.input[i.image] for i in items]
        # a blank takes the size of the others
        each = [first.item.element if i.case is None else i.element for i in items]
        elements = torch.from_numpy(np.array(each)).to(self.settings.device)
        with moving(transform):
            images = transform.apply(inputs, elements)
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
        added = frame.added
        if added is not None:
            added = added.double().expand(len(images), *added.shape[1:])
        done = frame.padded, frame.resized, frame.labels
        return BatchOutputs(raw, images, transform, elements, ties.double(), *done, added)

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
        """Outputs (N, C, *size) in the coordinates of the images and the units of the truth.

        Without what an adapter adds to them: errors are relative to what the model gives.
        """
        outputs = batch.aligned(slots)
        units = self.suite.clamp is not None or any(slot.case.in_units for slot in slots)
        if batch.labels or not units:
            return outputs
        scale, offset = units_of(slots)
        return in_units(outputs, self.suite.clamp, scale, offset, batch.added_to(slots))

    def _moved(self, outputs: Tensor, batch: BatchOutputs, slots: Sequence[Slot]) -> Tensor:
        """Outputs (N, C, *size) as they are held against a ground truth."""
        if batch.added is None:
            return outputs
        return outputs + batch.added_to(slots) * per_image(units_of(slots)[0], outputs)

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
        if batch.labels and not batch.transform.lossless:
            raise ModelError(
                f"{place}: {batch.transform.label} changes values, and labels have none: take "
                "another --transform (circular, crop, tile or d4), or leave out.labels out"
            )
        target = _as_reference(case, batch.scale)
        if target is not None:
            target = truth_beside(target, outputs, batch.labels, place)
        if target is not None and target.shape != outputs.shape:
            raise ModelError(
                f"{self.label} returned {shape(outputs)} on {self.suite.label}, case {case.name}, "
                f"where the ground truth is {shape(target)}: set its number of output channels, or "
                f"out.channels={target.shape[1]}, or out.channel=0"
            )
        case.whole, case.truth, quality = outputs, target, []
        for metric in self.metrics:
            rule = self.suite.data_range.get(metric.name, "max")
            case.ranges.append(data_range(rule, outputs))
            case.references.append(self._prepare(metric, outputs, case.ranges[-1]))
            if target is not None:
                case.truth_ranges.append(data_range(rule, target))
                case.truths.append(self._prepare(metric, target, case.truth_ranges[-1]))
                sums = metric.partials(case.truths[-1], moved, None).sum(dim=0)
                # of what has ignored pixels a metric of images would count them
                unfit = metric.unfit(outputs, batch.labels) is not None
                quality.append(torch.full_like(sums, torch.nan) if unfit else sums)
        none = torch.empty(0)
        self.closed[case.name] = ClosedCase(
            case.name,
            case.group,
            case.cluster,
            case.elements,
            case.size,
            torch.stack(case.ranges),
            torch.stack(case.truth_ranges) if case.truth_ranges else none,
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
        parts = self._observed(outputs, slots)
        box = _scaled(slots[0].item.region, batch.scale)
        known: dict[tuple[str, object], Tensor] = {}
        for number, metric in enumerate(self.metrics):
            kind = metric.sums or metric.name, type(metric).partials
            if kind not in known:
                prepared = self._references(number, slots, box)
                known[kind] = metric.partials(prepared, outputs[box], origin)
            parts[f"eq_{metric.column}"] = known[kind]
        if slots[0].case.truths:
            moved = self._moved(outputs, batch, slots)[box]
            for number, metric in enumerate(self.metrics):
                if metric in self.changing:
                    truths = self._references(number, slots, box, truth=True)
                    parts[f"{metric.column}_shifted"] = metric.partials(truths, moved, origin)
        parts["near_ties"] = batch.near_ties(slots)[:, None]
        return Sums([(slot.case.name, slot.item.draw or 0) for slot in slots], parts)

    def _references(
        self, number: int, slots: Sequence[Slot], box: _Box, *, truth: bool = False
    ) -> Prepared:
        """What a metric keeps of what some outputs are compared with, all of it or in a box."""
        if box is ...:
            known = [(case.truths if truth else case.references, i) for _, i, case in slots]
            return gather([(each[number], item.image) for each, item in known])
        wholes = [case.truth if truth else case.whole for _, _, case in slots]
        ranges = [(c.truth_ranges if truth else c.ranges)[number] for _, _, c in slots]
        parts = [w[s.item.image][box] for w, s in zip(wholes, slots, strict=True) if w is not None]
        return self._prepare(self.metrics[number], torch.stack(parts), torch.stack(ranges))

    def _observed(self, outputs: Tensor, slots: Sequence[Slot]) -> dict[str, Tensor]:
        """What the transform itself looks at: sums (N, K) by column."""
        transform = self.settings.transform
        if not transform.columns:
            return {}
        each = []
        for output, (_, item, case) in zip(outputs, slots, strict=True):
            assert case.whole is not None
            image, reference = case.input[item.image], case.whole[item.image]
            each.append(transform.observe(image, reference, output, item.element))
        return {column: torch.stack([s[column] for s in each]) for column in each[0]}


def _scaled(region: Region | None, scale: int) -> _Box:
    """A region in pixels of the output, as an index."""
    if region is None:
        return ...
    return (..., *(slice(each.start * scale, each.stop * scale) for each in region))


def _as_reference(case: OpenCase, scale: int) -> Tensor | None:
    """The ground truth (N, C', *size) of what passes as the reference; None where there is none."""
    target = case.target
    if target is None:
        return None
    size = tuple(target.shape[2:])
    if size == case.size and scale != 1:
        return None  # of another grid than the output's
    identity = case.transform.identity(case.size)
    if case.transform.moved_size(identity, case.size) == case.size:
        return target
    if size != case.size:
        return None
    return torch.stack([case.transform.move(image, identity) for image in target])
