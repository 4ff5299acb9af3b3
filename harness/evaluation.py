"""Evaluating one model on one suite: units of work, batch size, and what layers report."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from equibench.cases import Suite
from equibench.errors import ModelError
from equibench.forward import out_of_memory
from equibench.measurement import Frame, Measurement
from equibench.precision import Precision, prepared
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

    def rows(self, units: Sequence[Sequence[str]]) -> Iterator["pd.DataFrame | Exception"]:
        """Measure unit after unit; a unit that fails yields its error and the next goes on."""
        metrics = [METRICS.get(name).require() for name in self.suite.metrics]
        batch = self.batch or AUTO_BATCH[self.device.type]
        with (
            prepared(self.model, self.device, self.precision) as forward,
            _near_ties(self.model) as near_ties,
        ):
            for cases in units:
                while True:
                    measurement = Measurement(
                        forward,
                        near_ties,
                        label=self.label,
                        suite=self.suite,
                        metrics=metrics,
                        plan=self.plan,
                        frame=self.frame,
                        seed=self.seed,
                        batch=batch,
                        device=self.device,
                    )
                    try:
                        result: pd.DataFrame | Exception = measurement.rows(cases)
                    except Exception as error:
                        if out_of_memory(error) and batch > 1:
                            batch //= 2
                            continue
                        result = self._explained(error)
                    yield result
                    break

    def _explained(self, error: Exception) -> Exception:
        if not out_of_memory(error):
            return error
        return ModelError(
            f"{self.label} runs out of memory on {self.suite.name} with one image at a time: "
            "take a smaller model or another --device"
        )


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
