"""A model in place, in as many lanes as are shown to give what it gives; each unit begins alike."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from equibench.errors import EquibenchError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.foundation.seeds import generator
from equibench.inference.parallel_copies import ONE_LANE, Lanes, agree, side_by_side
from equibench.inference.placement import Placed
from equibench.inference.precision import Precision
from equibench.measurement.measurement import Forward
from equibench.state.model_state import ModelState, modules_of
from equibench.state.process_state import seed_everything
from equibench.transforms.circular_shift import roll

__all__ = ["ModelInLanes", "warm_up"]

T = TypeVar("T")

_KEEPS = "it keeps something from one batch to the next"


class ModelInLanes:
    """A model, and copies of it for the other cores where they are the model over again.

    Args:
        forward: the model in its place; its notes say why there are no lanes.
        stack: holds what must be taken off the model in the end.
    """

    def __init__(self, forward: Placed, stack: ExitStack) -> None:
        self.forward, self.stack = forward, stack
        self.started = False
        self.models = [forward]
        self.lanes: Lanes[Forward]
        self.states: list[ModelState] = []

    def start(self, image: Callable[[], Tensor], batch: int) -> None:
        """Give lazy parameters their shape, and choose lanes that agree on a first batch.

        Args:
            image: gives (1, C, *size) to try; it may raise.
        """
        if self.started:
            return
        self.started = True
        warm_up(self.forward, image, batch)
        models = [self.forward]
        with suppress(EquibenchError), guarded(kind_and_reason):
            copies = side_by_side(self.forward)
            if len(copies) > 1 and self._agree(copies, _rolled(self.forward, image(), batch)):
                models = copies
        self._take(models)

    def unit(self, work: Callable[[Lanes[Forward], Callable[[], None]], T], *names: object) -> T:
        """Do a unit of work, once more with the model alone if lanes have kept something.

        Args:
            work: is given lanes, and what brings them to where they begin.
            names: what random numbers follow from.
        """

        def begin() -> None:
            for state in self.states:
                state.put_back()
            seed_everything("unit", *names)

        result = work(self.lanes, begin)
        if len(self.models) > 1 and any(state.changed for state in self.states):
            self._note(_KEEPS)
            for state in self.states:
                state.put_back()
            self._take([self.forward])
            result = work(self.lanes, begin)
        return result

    @contextmanager
    def working_in(self, precision: Precision) -> Iterator[None]:
        """Let the model, and its copies, work in another precision of float32 meanwhile."""
        models = list(self.models)
        before = [model.precision for model in models]
        for model in models:
            model.precision = precision
        try:
            yield
        finally:
            for model, own in zip(models, before, strict=True):
                model.precision = own

    def _agree(self, models: list[Placed], images: Tensor) -> bool:
        """Whether copies give what the model gives, and it keeps nothing of what it was given."""
        before = self.forward.state()
        alike, kept = agree(models, images), before.changed
        before.put_back()
        if kept or not alike:
            self._note(_KEEPS if kept else "copies give something else")
        return alike and not kept

    def _note(self, why: str) -> None:
        self.forward.notes.append(f"{ONE_LANE}: {why}")

    def _take(self, models: list[Placed]) -> None:
        self.stack.close()
        self.models = models
        self.lanes = Lanes(
            [Forward(each, self.stack.enter_context(_near_ties(each.model))) for each in models]
        )
        own = models[0].state()
        self.states = [own, *(ModelState(each.model, beside=own) for each in models[1:])]


def warm_up(forward: Placed, image: Callable[[], Tensor], batch: int) -> None:
    """Give lazy parameters their shape.

    Args:
        image: gives (1, C, *size) to try; it may raise.
    """
    if forward.uninitialised:
        with suppress(EquibenchError), guarded(kind_and_reason):  # the first unit tells what it is
            forward(_rolled(forward, image(), batch))


def _rolled(forward: Placed, image: Tensor, batch: int) -> Tensor:
    """A batch of an image under different shifts."""
    moves = [
        generator("lanes", axis).integers(n, size=batch) for axis, n in enumerate(image.shape[2:])
    ]
    shifts = torch.from_numpy(np.stack(moves, axis=1)).to(forward.device)
    return roll(image.to(forward.device).expand(batch, *image.shape[1:]), shifts)


@contextmanager
def _near_ties(model: object) -> Iterator[Callable[[], Tensor | None]]:
    """Let APS layers count near-ties; yields a function for those of the last pass, (B,).

    A layer takes part by having ``count_near_ties`` and ``near_ties``, whoever wrote it.
    """
    layers: list[Any] = [m for m in modules_of(model) if "count_near_ties" in vars(m)]

    def total() -> Tensor | None:
        counts = [layer.near_ties for layer in layers if layer.near_ties is not None]
        return torch.stack(counts).sum(dim=0) if counts else None

    for layer in layers:
        layer.count_near_ties = True
    try:
        yield total
    finally:
        for layer in layers:
            layer.count_near_ties, layer.near_ties = False, None
