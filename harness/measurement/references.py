"""Outputs against what they are compared with: the references of their case, and its truth."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from equibench.cases.suite import Suite, data_range, in_units, per_image
from equibench.errors import ModelError
from equibench.inference.model_outputs import shape
from equibench.measurement.batch_outputs import (
    BatchOutputs,
    Slot,
    gather,
    truth_beside,
    units_of,
    worked_on_at_once,
)
from equibench.measurement.batching import OpenCase
from equibench.measurement.row_table import ClosedCase, Sums
from equibench.measurement.settings import Settings
from equibench.metrics.metric import Metric, Prepared
from equibench.transforms.transform import Region

__all__ = ["References"]

_Box: TypeAlias = Any
"""An index of outputs: ``...`` for all of them."""


class References:
    """What unshifted outputs leave behind for the shifted ones.

    Args:
        closed: the cases whose references are whole, by name.
    """

    def __init__(
        self, label: str, suite: Suite, metrics: Sequence[Metric], settings: Settings
    ) -> None:
        self.label, self.suite, self.metrics, self.settings = label, suite, metrics, settings
        self.changing = [m for m in metrics if m.delta_format]
        self.closed: dict[str, ClosedCase] = {}

    def keep(self, batch: BatchOutputs, slots: Sequence[Slot]) -> None:
        """Keep unshifted outputs; the last one of a case closes it."""
        for group in worked_on_at_once(slots, batch):
            outputs = self._outputs(batch, group)
            moved = self._moved(outputs, batch, group)
            for (_, item, case), *pair in zip(group, outputs, moved, strict=True):
                if case.complete(item.image, *pair):
                    self._close(case, batch)
                    case.closed.set_result(None)

    def sums(self, batch: BatchOutputs, slots: Sequence[Slot]) -> list[Sums]:
        """Sums over the pixels of shifted outputs against the references of their cases."""
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
