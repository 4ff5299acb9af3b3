"""Outputs against what they are compared with: the references of their case, and its truth."""

from collections.abc import Callable, Sequence
from itertools import accumulate, groupby
from typing import Any, TypeAlias

import torch
from torch import Tensor

from equibench.cases.suite import DataRange, Suite, data_range, in_units, per_image
from equibench.errors import ModelError
from equibench.inference.model_outputs import shape
from equibench.inference.precision import onto
from equibench.measurement.batch_outputs import (
    BatchOutputs,
    Slot,
    chosen,
    in_parts,
    index_of,
    truth_beside,
    units_of,
)
from equibench.measurement.batching import Compared, OpenCase
from equibench.measurement.row_table import Closed, ClosedCase, Sums
from equibench.measurement.settings import Settings
from equibench.metrics.metric import Metric, Prepared
from equibench.transforms.transform import Region

__all__ = ["References"]

_Box: TypeAlias = Any
"""An index of outputs: ``...`` for all of them."""

_Rows: TypeAlias = list[tuple[Compared, slice | Tensor]]
"""Which rows of references some outputs are compared with, in order."""


class References:
    """What unshifted outputs leave behind for the shifted ones.

    Args:
        closed: the cases whose references are whole, by name.
        figures: what these cases were compared by, in the order in which they were closed.
    """

    def __init__(
        self, label: str, suite: Suite, metrics: Sequence[Metric], settings: Settings
    ) -> None:
        self.label, self.suite, self.metrics, self.settings = label, suite, metrics, settings
        self.closed: dict[str, ClosedCase] = {}
        self.figures: list[Closed] = []
        # the first of those that add up the same stands for them
        kinds = [(m.sums or m.name, type(m).partials) for m in metrics]
        self.first = [kinds.index(kind) for kind in kinds]

    def keep(self, batch: BatchOutputs, slots: Sequence[Slot]) -> None:
        """Keep unshifted outputs; the last one of a case closes it."""
        for part, theirs in in_parts(batch, slots):
            outputs = self._outputs(theirs, part)
            moved = self._moved(outputs, theirs, part)
            pairs = zip(part, outputs, moved, strict=True)
            whole = [
                slot.case for slot, *pair in pairs if slot.case.complete(slot.item.image, *pair)
            ]
            if whole:
                self._close(whole, theirs)

    def sums(self, batch: BatchOutputs, slots: Sequence[Slot]) -> list[Sums]:
        """Sums over the pixels of shifted outputs against the references of their cases."""
        return [self._sums(theirs, part) for part, theirs in in_parts(batch, slots)]

    def _outputs(self, batch: BatchOutputs, slots: Sequence[Slot]) -> Tensor:
        """Outputs (N, C, *size) in the coordinates of the images and the units of the truth.

        Without what an adapter adds to them: errors are relative to what the model gives.
        """
        outputs = batch.aligned(slots[0].case.size)
        units = self.suite.clamp is not None or any(slot.case.in_units for slot in slots)
        if batch.labels or not units:
            return outputs
        scale, offset = units_of(slots, outputs.device)
        added = 0.0 if batch.added is None else batch.added
        return in_units(outputs, self.suite.clamp, scale, offset, added)

    def _moved(self, outputs: Tensor, batch: BatchOutputs, slots: Sequence[Slot]) -> Tensor:
        """Outputs (N, C, *size) as they are held against a ground truth."""
        if batch.added is None:
            return outputs
        return outputs + batch.added * per_image(units_of(slots, outputs.device)[0], outputs)

    def _close(self, cases: Sequence[OpenCase], batch: BatchOutputs) -> None:
        """Make references of the unshifted outputs of cases, and compare them with the truth."""
        images = [(case, image) for case in cases for image in range(len(case.input))]
        outputs = torch.stack([case.outputs.pop(image) for case, image in images])
        moved = [case.moved.pop(image) for case, image in images]
        targets = [self._target(case, outputs, batch) for case in cases]
        known = [onto(target, outputs.device) for target in targets if target is not None]
        truth = torch.cat(known) if known else None
        counts = [len(case.input) for case in cases]
        ranges, each = self._ranges(outputs, counts)
        prepared = self._prepared(outputs, each)
        quality: list[Tensor] = []
        truth_ranges: list[Tensor] = []
        truth_each: list[Tensor] = []
        truths: list[Prepared] = []
        if truth is not None:
            truth_ranges, truth_each = self._ranges(truth, counts)
            truths = self._prepared(truth, truth_each)
            held = outputs if batch.added is None else torch.stack(moved)
            quality = self._quality(truths, held, batch.labels)
        closed = [
            ClosedCase(c.name, c.group, c.cluster, c.elements, c.size, batch.padded, batch.resized)
            for c in cases
        ]
        compared = Compared(outputs, truth, each, truth_each, prepared, truths)
        axes = tuple(range(2, outputs.ndim))
        constant = (outputs.amax(axes) == outputs.amin(axes)).all(dim=1)
        self.figures.append(Closed(closed, counts, [*ranges, *truth_ranges], quality, constant))
        self.closed |= {case.name: case for case in closed}
        for case, first in zip(cases, accumulate(counts, initial=0), strict=False):
            case.closed.set_result((compared, first))

    def _target(self, case: OpenCase, outputs: Tensor, batch: BatchOutputs) -> Tensor | None:
        """The ground truth of a case beside its outputs, on the CPU; None where there is none.

        Raises:
            ModelError: they cannot be compared, or the outputs themselves by some metric.
        """
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
            target = truth_beside(target, outputs.shape[1], batch.labels, place)
        wanted = (len(case.input), *outputs.shape[1:])
        if target is not None and target.shape != wanted:
            raise ModelError(
                f"{self.label} returned ({', '.join(map(str, wanted))}) on {self.suite.label}, "
                f"case {case.name}, where the ground truth is {shape(target)}: set its number of "
                f"output channels, or out.channels={target.shape[1]}, or out.channel=0"
            )
        return target

    def _ranges(self, images: Tensor, counts: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
        """Data ranges of cases (cases,), and those of each image (N,), metric by metric."""
        rules = [self.suite.data_range.get(metric.name, "max") for metric in self.metrics]
        by_rule = {rule: _ranges_of(rule, images, counts) for rule in dict.fromkeys(rules)}
        pairs = [by_rule[rule] for rule in rules]
        return [ranges for ranges, _ in pairs], [each for _, each in pairs]

    def _prepared(self, images: Tensor, ranges: Sequence[Tensor]) -> list[Prepared]:
        """What metrics keep of references, or of the truth."""
        made = {n: self._prepare(self.metrics[n], images, ranges[n]) for n in {*self.first}}
        return [made[n] for n in self.first]

    def _prepare(self, metric: Metric, references: Tensor, ranges: Tensor) -> Prepared:
        single = metric.single and self.settings.precision != "fp64"
        references = references.to(torch.float32 if single else torch.float64)
        return metric.prepare(references, ranges)

    def _quality(self, truths: Sequence[Prepared], outputs: Tensor, labels: bool) -> list[Tensor]:
        """Sums (N, K) of unshifted outputs against the truth, metric by metric."""
        made = {n: self.metrics[n].partials(truths[n], outputs, None) for n in {*self.first}}
        return [
            # of what has ignored pixels a metric of images would count them
            made[n]
            if metric.unfit(outputs, labels) is None
            else torch.full_like(made[n], torch.nan)
            for metric, n in zip(self.metrics, self.first, strict=True)
        ]

    def _sums(self, batch: BatchOutputs, slots: Sequence[Slot]) -> Sums:
        """Sums of some outputs against the references of their cases, and against the truth."""
        outputs = self._outputs(batch, slots)
        origin = None if self.settings.frame == "canonical" else batch.corners()
        rows = _rows_of(slots, outputs.device)
        parts = self._observed(outputs, slots)
        box = _scaled(slots[0].item.region, batch.scale)
        known: dict[int, Tensor] = {}
        for metric, n in zip(self.metrics, self.first, strict=True):
            if n not in known:
                prepared = self._references(n, rows, box)
                known[n] = self.metrics[n].partials(prepared, outputs[box], origin)
            parts[f"eq_{metric.column}"] = known[n]
        if rows[0][0].truth is not None:
            moved = self._moved(outputs, batch, slots)[box]
            against: dict[int, Tensor] = {}
            for metric, n in zip(self.metrics, self.first, strict=True):
                if metric.delta_format:
                    if n not in against:
                        truths = self._references(n, rows, box, truth=True)
                        against[n] = self.metrics[n].partials(truths, moved, origin)
                    parts[f"{metric.column}_shifted"] = against[n]
        parts["near_ties"] = batch.ties[:, None]
        return Sums([(slot.case.name, slot.item.draw or 0) for slot in slots], parts)

    def _references(self, number: int, rows: _Rows, box: _Box, *, truth: bool = False) -> Prepared:
        """What a metric keeps of what some outputs are compared with, all of it or in a box."""
        if box is ...:
            return _gathered(rows, lambda c: (c.truths if truth else c.prepared)[number])

        def whole(compared: Compared) -> Prepared:
            images = compared.truth if truth else compared.outputs
            assert images is not None
            return images, (compared.truth_ranges if truth else compared.ranges)[number]

        images, ranges = _gathered(rows, whole)
        return self._prepare(self.metrics[number], images[box], ranges)

    def _observed(self, outputs: Tensor, slots: Sequence[Slot]) -> dict[str, Tensor]:
        """What the transform itself looks at: sums (N, K) by column."""
        transform = self.settings.transform
        if not transform.columns:
            return {}
        each = []
        for output, (_, item, case) in zip(outputs, slots, strict=True):
            compared, first = case.closed.result()
            image, reference = case.input[item.image], compared.outputs[first + item.image]
            each.append(transform.observe(image, reference, output, item.element))
        return {column: torch.stack([s[column] for s in each]) for column in each[0]}


def _rows_of(slots: Sequence[Slot], device: torch.device) -> _Rows:
    """Where the references of some outputs lie; one that all of them share is named once."""
    found = [(*slot.case.closed.result(), slot.item.image) for slot in slots]
    rows: _Rows = []
    for _, group in groupby(found, lambda each: id(each[0])):
        same = list(group)
        numbers = [first + image for _, first, image in same]
        alone = len(same) == len(found) and len(set(numbers)) == 1
        rows.append((same[0][0], index_of(numbers[:1] if alone else numbers, device)))
    return rows


def _gathered(rows: _Rows, of: Callable[[Compared], Prepared]) -> Prepared:
    """Some rows of prepared references."""
    parts = [[chosen(tensor, which) for tensor in of(compared)] for compared, which in rows]
    if len(parts) == 1:
        return tuple(parts[0])
    return tuple(torch.cat(each) for each in zip(*parts, strict=True))


def _ranges_of(rule: DataRange, images: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Data ranges of cases with so many images each, (cases,), and those of each image, (N,)."""
    if len(counts) == 1:
        one = data_range(rule, images)[None]
        return one, one.expand(len(images))
    flat = images.flatten(1).double()
    owners = [number for number, count in enumerate(counts) for _ in range(count)]
    if len(owners) == len(counts):
        high = flat.amax(dim=1)
        ranges = high - flat.amin(dim=1) if rule == "range" else high
        return ranges, ranges
    of = onto(torch.tensor(owners), images.device)

    def among(values: Tensor, how: str) -> Tensor:
        none = values.new_empty(len(counts))
        return none.scatter_reduce(0, of, values, how, include_self=False)

    high = among(flat.amax(dim=1), "amax")
    ranges = high - among(flat.amin(dim=1), "amin") if rule == "range" else high
    return ranges, ranges.index_select(0, of)


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
