"""Evaluating one model on one suite: units of work, memory, and what layers report."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from equibench.cases import Suite
from equibench.errors import ModelError
from equibench.forward import out_of_memory
from equibench.measurement import Measured, Measurement, suite_metrics
from equibench.precision import numerics, placed
from equibench.settings import Settings
from equibench.shifts import ShiftPlan

__all__ = ["Evaluation", "units"]

FORWARDS_PER_UNIT = 64
"""About how many images a unit of work passes through the model, unless one case has more."""


def units(suite: Suite, plan: ShiftPlan, cases: Sequence[str]) -> list[Sequence[str]]:
    """Split cases into units of work; a longer list fills the last one and adds others."""
    count = plan.count()
    forwards = (2 + count) * suite.images_per_case if count else FORWARDS_PER_UNIT
    size = max(1, FORWARDS_PER_UNIT // forwards)
    return [cases[i : i + size] for i in range(0, len(cases), size)]


@dataclass(frozen=True)
class Evaluation:
    """One model, (B, C, H, W) to (B, C', H, W), on one suite."""

    model: Callable[[Tensor], Tensor]
    label: str
    suite: Suite
    settings: Settings

    @contextmanager
    def ready(self) -> Iterator[Callable[[Sequence[str]], Measured]]:
        """Put the model in place; yields a function from the cases of a unit to their rows.

        Nothing global is set between two calls of that function.

        The function raises:
            DataError: none of the cases can be loaded.
            ModelError: the model raises, returns what cannot be measured, or does not fit into
                memory with a single image.
        """
        metrics = suite_metrics(self.suite)
        with (
            placed(self.model, self.settings.device, self.settings.precision) as forward,
            _near_ties(self.model) as near_ties,
        ):
            yield lambda cases: self._measure(
                cases,
                lambda settings: Measurement(
                    forward, near_ties, self.label, self.suite, metrics, settings
                ),
            )

    def _measure(self, cases: Sequence[str], start: Callable[[Settings], Measurement]) -> Measured:
        """Measure a unit; the batch is halved while memory runs out, for this unit alone."""
        batch = self.settings.batch
        while True:
            try:
                with numerics(self.settings.precision):
                    return start(replace(self.settings, batch=batch)).run(cases)
            except Exception as error:
                if not out_of_memory(error):
                    raise
            if batch == 1:
                raise ModelError(
                    f"{self.label} runs out of memory on {self.suite.label} with one image at a "
                    "time: take a smaller model or another --device"
                )
            batch //= 2


@contextmanager
def _near_ties(model: object) -> Iterator[Callable[[], Tensor | None]]:
    """Let APS layers count near-ties; yields a function for those of the last pass, (B,).

    A layer takes part by having ``count_near_ties`` and ``near_ties``, whoever wrote it.
    """
    modules = model.modules() if isinstance(model, nn.Module) else ()
    layers: list[Any] = [m for m in modules if hasattr(m, "count_near_ties")]

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
