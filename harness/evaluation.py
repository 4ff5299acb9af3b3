"""Evaluating one model on one suite: units of work, batch size, and what layers report."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from equibench.cases import Suite
from equibench.errors import ModelError
from equibench.forward import out_of_memory
from equibench.measurement import Frame, Measurement
from equibench.precision import Precision, numerics, placed
from equibench.registry import METRICS
from equibench.shifts import ShiftPlan

__all__ = ["Evaluation", "units"]

FORWARDS_PER_UNIT = 64
"""About how many images a unit of work passes through the model, unless one case has more."""

AUTO_BATCH = {"cpu": 2, "cuda": 32}
"""Small batches stay in a CPU's cache; two is the least that shows the floor."""


def units(suite: Suite, plan: ShiftPlan, cases: Sequence[str]) -> list[Sequence[str]]:
    """Split cases into units of work; a longer list only adds units at its end."""
    count = plan.count()
    forwards = (2 + count) * suite.images_per_case if count else FORWARDS_PER_UNIT
    size = max(1, FORWARDS_PER_UNIT // forwards)
    return [cases[i : i + size] for i in range(0, len(cases), size)]


@dataclass
class Evaluation:
    """One model on one suite under one plan of shifts.

    Args:
        model: takes (B, C, H, W) to (B, C', H, W).
        batch: images per forward pass, None for the device's usual; halved for good when
            memory runs out.
    """

    model: Callable[[Tensor], Tensor]
    label: str
    suite: Suite
    plan: ShiftPlan
    frame: Frame
    seed: int
    device: torch.device
    precision: Precision
    batch: int | None = None

    @contextmanager
    def ready(self) -> Iterator[Callable[[Sequence[str]], pd.DataFrame]]:
        """Put the model in place; yields a function from the cases of a unit to their rows.

        Nothing global is set between two calls of that function.

        The function raises:
            DataError: a case cannot be loaded.
            ModelError: the model raises, returns what cannot be measured, or does not fit into
                memory with a single image.
        """
        with (
            placed(self.model, self.device, self.precision) as forward,
            _near_ties(self.model) as near_ties,
        ):
            yield partial(self._rows, forward, near_ties)

    def _rows(
        self,
        forward: Callable[[Tensor], Tensor],
        near_ties: Callable[[], Tensor | None],
        cases: Sequence[str],
    ) -> pd.DataFrame:
        while True:
            measurement = Measurement(
                forward,
                near_ties,
                label=self.label,
                suite=self.suite,
                metrics=[METRICS.get(name).require() for name in self.suite.metrics],
                plan=self.plan,
                frame=self.frame,
                seed=self.seed,
                batch=self.batch or AUTO_BATCH[self.device.type],
                device=self.device,
            )
            try:
                with numerics(self.precision):
                    return measurement.rows(cases)
            except Exception as error:
                if not out_of_memory(error):
                    raise
            if measurement.batch == 1:
                raise ModelError(
                    f"{self.label} runs out of memory on {self.suite.label} with one image at a "
                    "time: take a smaller model or another --device"
                )
            self.batch = measurement.batch // 2


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
