"""Evaluating one model on one suite: units of work, memory, and what layers report."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from equibench.cases.suite import Suite
from equibench.errors import ModelError
from equibench.evidence.residue_classes import Residues, settled
from equibench.evidence.stride_probing import Probe, probe
from equibench.inference.forward_pass import out_of_memory
from equibench.inference.parallel_copies import Lanes, side_by_side
from equibench.inference.precision import Placed, numerics, placed
from equibench.measurement.conditions import Settings
from equibench.measurement.image_order import Loader
from equibench.measurement.measurement import Forward, Measured, Measurement
from equibench.measurement.row_table import suite_metrics
from equibench.transforms.shift_plans import All, ShiftPlan

__all__ = ["Evaluation", "Ready", "forwards_per_case", "units"]

T = TypeVar("T")

FORWARDS_PER_UNIT = {"cpu": 64, "cuda": 4096}
"""About how many images a unit of work passes through the model, unless one case has more."""


def units(
    suite: Suite, plan: ShiftPlan, cases: Sequence[str], device: str = "cpu"
) -> list[Sequence[str]]:
    """Split cases into units of work; a longer list fills the last one and adds others."""
    wanted = FORWARDS_PER_UNIT[device]
    forwards = forwards_per_case(suite, plan) or wanted
    size = max(1, wanted // forwards)
    return [cases[i : i + size] for i in range(0, len(cases), size)]


def forwards_per_case(suite: Suite, plan: ShiftPlan) -> int | None:
    """About how many images a case passes through the model; None where its size decides."""
    count = plan.count()
    return (2 + count) * suite.images_per_case if count else None


@dataclass(frozen=True)
class Ready:
    """A model in place: call it with the cases of a unit.

    Args:
        probe: what its total stride was found to be, where all shifts are asked for.
    """

    measure: Callable[[Sequence[str]], Measured]
    load: Loader
    probe: Probe | None = None

    def __call__(self, cases: Sequence[str], following: Sequence[str] = ()) -> Measured:
        """Rows of the cases.

        Args:
            following: cases that will be asked for next, to be loaded meanwhile.

        Raises:
            DataError: none of the cases can be loaded.
            ModelError: the model raises, returns what cannot be measured, or does not fit into
                memory with a single image.
        """
        self.load.expect([*cases, *following])
        return self.measure(cases)


@dataclass(frozen=True)
class Evaluation:
    """One model, (B, C, H, W) to (B, C', H, W), on one suite.

    Args:
        declared: the total stride that the model's registration names.
    """

    model: Callable[[Tensor], Tensor]
    label: str
    suite: Suite
    settings: Settings
    declared: int | None = None

    @contextmanager
    def ready(self, probed: Sequence[str] = ()) -> Iterator[Ready]:
        """Put the model in place; nothing global is set between two calls of what is yielded.

        Args:
            probed: where all shifts are asked for, the cases that the model is probed with for
                a short way.
        """
        metrics = suite_metrics(self.suite)
        with (
            placed(self.model, self.settings.device, self.settings.precision) as forward,
            _lanes(forward) as lanes,
            Loader(self.suite, self.settings.device) as load,
        ):

            def rows(settings: Settings, cases: Sequence[str]) -> Measured:
                return self._within_memory(
                    settings,
                    lambda s: Measurement(lanes, self.label, self.suite, metrics, s, load).run(
                        cases
                    ),
                )

            if not (isinstance(self.settings.plan, All) and probed):
                yield Ready(lambda cases: rows(self.settings, cases), load)
                return
            found = self._probe(forward, probed)
            if not found.periodic:
                yield Ready(lambda cases: rows(self.settings, cases), load, found)
                return
            plan = Residues(found.classes)
            short = replace(self.settings, plan=plan)

            def all_shifts(cases: Sequence[str]) -> Measured:
                measured = rows(short, cases)
                table = settled(measured.rows, plan)
                failed = list(table.loc[~table["exact"], "case"].unique())
                if failed and self.settings.exhaustive:
                    whole = rows(self.settings, failed).rows
                    whole["spot_deviation"] = whole["case"].map(
                        table.groupby("case")["spot_deviation"].first()
                    )
                    table = pd.concat([table[table["exact"]], whole])
                return replace(measured, rows=table.reset_index(drop=True))

            yield Ready(all_shifts, load, found)

    def probe(self, cases: Sequence[str]) -> Probe:
        """Find the model's total stride on noise and the first of some cases.

        Raises:
            DataError: none of them can be loaded.
            ModelError: the model raises, or returns what cannot be measured.
        """
        with placed(self.model, self.settings.device, self.settings.precision) as forward:
            return self._probe(forward, cases)

    def _probe(self, forward: Callable[[Tensor], Tensor], cases: Sequence[str]) -> Probe:
        declared = getattr(self.model, "total_stride", self.declared)
        declared = declared if isinstance(declared, int) and declared > 0 else None
        return self._within_memory(
            self.settings,
            lambda s: probe(forward, self.label, self.suite, cases, s, declared),
        )

    def _within_memory(self, settings: Settings, work: Callable[[Settings], T]) -> T:
        """Do a piece of work; the batch is halved while memory runs out, for this piece alone."""
        batch = settings.batch
        while True:
            try:
                with numerics(settings.precision):
                    return work(replace(settings, batch=batch))
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
def _lanes(forward: Placed) -> Iterator[Lanes[Forward]]:
    with ExitStack() as stack:
        models = side_by_side(forward)
        yield Lanes([Forward(m, stack.enter_context(_near_ties(m.model))) for m in models])


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
