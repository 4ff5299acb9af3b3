"""The measurement itself: one model, some cases, their shifts, one row for each.

Every image passes through the model unshifted (the reference), with shift (0, 0) in another
slot of a batch (the floor: what rounding alone makes of the same input), and with each shift.
Batches have one fixed shape and mix cases and shifts; which images share a batch follows from
the cases alone. Sums stay on the device until the last batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import DataError, EquibenchError, ModelError
from equibench.inference.forward_pass import call
from equibench.inference.model_outputs import frame_of
from equibench.inference.parallel_copies import Lanes
from equibench.inference.precision import onto
from equibench.measurement.batch_outputs import BatchOutputs, Slot
from equibench.measurement.batching import Item, Loader, OpenCase, items, moving
from equibench.measurement.kept_outputs import KeptOutput, kept
from equibench.measurement.references import References
from equibench.measurement.row_table import Sums, row_table
from equibench.measurement.settings import Settings
from equibench.measurement.shifted_passes import filled
from equibench.metrics.metric import Metric

__all__ = ["Forward", "Measured", "Measurement", "RefusedError", "Shortcut"]


@dataclass(frozen=True)
class Forward:
    """A model in its place.

    Args:
        model: (B, C, *size) to (B, C', *size), on its device and in its precision.
        near_ties: of the last forward pass, (B,), where the model has APS layers.
    """

    model: Callable[[Tensor], Tensor]
    near_ties: Callable[[], Tensor | None]


class Shortcut(Protocol):
    """Outputs under many shifts of one image, for less than a pass each.

    Attributes:
        shape: (B, C, *size) of the batches that it was made for.
        draws: how many elements of the transform it serves, the first ones after the identity.
    """

    shape: tuple[int, ...]
    draws: int

    def __call__(self, image: Tensor, shift: Sequence[int]) -> Tensor:
        """The output (C', *size) for an image (1, C, *size); in one thread at a time."""


@dataclass(frozen=True)
class Measured:
    """Rows of a unit, and why the others of its cases have none.

    Args:
        sizes: of the images of each case, in pixels.
        outputs: what rows are made of, where that is to be kept.
    """

    rows: pd.DataFrame
    broken: dict[str, EquibenchError]
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: Sequence[KeptOutput] = ()

    @classmethod
    def together(cls, parts: "Sequence[Measured]") -> "Measured":
        """What was measured of the same cases under one transform after the other."""
        if len(parts) == 1:
            return parts[0]
        rows = [part.rows for part in parts if len(part.rows)] or [parts[0].rows]
        broken = {name: error for part in parts for name, error in part.broken.items()}
        sizes = {name: size for part in parts for name, size in part.sizes.items()}
        outputs = [output for part in parts for output in part.outputs]
        return cls(pd.concat(rows, ignore_index=True), broken, sizes, outputs)


class RefusedError(Exception):
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
        shortcut: makes one for each lane, of a model that gives the same by it.
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
        shortcut: Callable[[], Shortcut] | None = None,
    ) -> None:
        self.lanes, self.begin = lanes, begin
        self.shortcuts = {id(lane): shortcut() for lane in lanes.each} if shortcut else {}
        self.label, self.suite, self.settings, self.load = label, suite, settings, load
        self.metrics = metrics
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
            except RefusedError as refused:
                broken |= self._refused(cases, broken, refused)
                if all(isinstance(broken.get(name), ModelError) for name in cases):
                    raise broken[cases[0]] from refused
                continue
            closed, figures = self.references.closed, self.references.figures
            rows = row_table(
                self.label, self.suite, self.settings, self.metrics, figures, self.sums
            )
            if not closed:  # what is wrong with the model is one thing, not one for each case
                faults = {n: e for n, e in broken.items() if isinstance(e, ModelError)}
                broken |= {name: next(iter(faults.values())) for name in faults}
            sizes = {case.name: case.size for case in closed.values()}
            outputs = [output for output in self.outputs if output.case in closed]
            return Measured(rows, broken, sizes, outputs)

    def _forget(self) -> None:
        self.begin()
        self.references = References(self.label, self.suite, self.metrics, self.settings)
        self.sums: list[Sums] = []
        self.outputs: list[KeptOutput] = []

    def _refused(
        self, cases: Sequence[str], broken: Mapping[str, EquibenchError], first: "RefusedError"
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
        size: tuple[int, ...] | None = None
        for item in items(self.suite, cases, self.settings, self.load, broken):
            another = None not in (size, item.shape) and size != item.shape
            if len(waiting) == self.settings.batch or another:
                yield waiting
                waiting, size = [], None
            waiting.append(item)
            size = size or item.shape
        yield waiting

    def _batch(self, items: Sequence[Item], slots: Sequence[Slot], forward: Forward) -> list[Sums]:
        """Pass one batch through the model, and compare what comes of it."""
        unshifted = [slot for slot in slots if slot.item.draw is None]
        try:
            batch = self._forward(items, slots, forward)
            self.references.keep(batch, unshifted)
            if self.settings.keep_outputs:
                self.outputs += kept(batch, slots)
        except BaseException as error:
            for slot in unshifted:
                slot.case.fail(error)
            if isinstance(error, ModelError):
                told = self._refused_size(error, slots)
                raise RefusedError(told, [slot.case.name for slot in slots]) from error
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
        # a blank takes the size of the others, and holds nothing
        whole = len(slots) == len(items)
        blank = first.case.input[0] if whole else torch.zeros_like(first.case.input[0])
        inputs = [blank if i.case is None else i.case.input[i.image] for i in items]
        each = [first.item.element if i.case is None else i.element for i in items]
        elements = torch.tensor(np.array(each))
        with moving(transform):
            images = transform.apply(inputs, elements)
        if len(items) < self.settings.batch:
            filling = filled(len(items), self.settings.batch)
            images = images.index_select(0, onto(filling, images.device))
        names = list(dict.fromkeys(slot.case.name for slot in slots))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        place = f"{self.suite.label}, case {', '.join(names[:3])}{more}"
        raw = self._shortened(slots, forward)
        if raw is None:
            raw = call(forward.model, images, self.label, place)[: len(items)]
        ties = forward.near_ties()
        if ties is None or len(ties) != self.settings.batch:
            ties = raw.new_full((len(items),), torch.nan)
        frame = frame_of(forward.model)
        added = frame.added
        if added is not None:
            added = added.double().expand(len(images), *added.shape[1:])
        done = frame.padded, frame.resized, frame.labels
        given = tuple(images.shape[2:])
        return BatchOutputs(raw, given, transform, elements, ties.double(), *done, added)

    def _shortened(self, slots: Sequence[Slot], forward: Forward) -> Tensor | None:
        """What a model gives for a batch, where nothing in it has to pass through the model."""
        shortcut = self.shortcuts.get(id(forward))
        if shortcut is None or len(slots) != shortcut.shape[0]:
            return None
        for slot in slots:
            alone = tuple(slot.case.input.shape) == (1, *shortcut.shape[1:])
            if not alone or not 0 < (slot.item.draw or 0) <= shortcut.draws:
                return None
        shifts = [[int(pixels) for pixels in slot.item.element] for slot in slots]
        outputs = [shortcut(s.case.input, each) for s, each in zip(slots, shifts, strict=True)]
        return torch.stack(outputs)

    def _compare(self, batch: BatchOutputs, slots: Sequence[Slot]) -> list[Sums]:
        """Compare shifted outputs with the references of their cases."""
        for slot in slots:
            try:
                slot.case.closed.result()
            except ModelError as error:
                raise RefusedError(error, [slot.case.name]) from error
        return self.references.sums(batch, slots)
