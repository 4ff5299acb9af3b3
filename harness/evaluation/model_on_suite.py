"""Evaluating one model on one suite: units of work, memory, and what layers report."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import pandas as pd
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import DataError, ModelError
from equibench.evaluation.model_device import where_it_runs
from equibench.evaluation.model_in_lanes import ModelInLanes
from equibench.evidence.residue_classes import Residues, settled
from equibench.evidence.stride_probing import Probe, probe
from equibench.inference.forward_pass import out_of_memory
from equibench.inference.precision import Placed, numerics, placed, told
from equibench.measurement.conditions import Settings
from equibench.measurement.image_order import Loader, load_case
from equibench.measurement.measurement import Measured, Measurement
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
        notes: what the user should know of how the model is run; there may be more after a unit.
        probe: what its total stride was found to be, where all shifts are asked for.
    """

    measure: Callable[[Sequence[str]], Measured]
    load: Loader
    notes: Sequence[str] = ()
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
        here, notes = self._where_it_runs(probed)
        with (
            placed(self.model, here.settings.device, here.settings.precision) as forward,
            ExitStack() as stack,
            Loader(self.suite, here.settings.device) as load,
        ):
            forward.notes += notes
            yield here._in_place(forward, ModelInLanes(forward, stack), load, probed)

    def _in_place(
        self, forward: Placed, network: ModelInLanes, load: Loader, probed: Sequence[str]
    ) -> Ready:
        metrics = suite_metrics(self.suite)

        def rows(settings: Settings, cases: Sequence[str]) -> Measured:
            def measure(settings: Settings) -> Measured:
                network.start(lambda: self._image(cases), settings.batch)
                return network.unit(
                    lambda lanes, begin: Measurement(
                        lanes, self.label, self.suite, metrics, settings, load, begin
                    ).run(cases),
                    *(settings.seed, self.suite.name, cases[0]),
                )

            return self._within_memory(settings, measure)

        if not (isinstance(self.settings.plan, All) and probed):
            return Ready(lambda cases: rows(self.settings, cases), load, forward.notes)
        found = self._probe(forward, probed)
        if not found.periodic:
            return Ready(lambda cases: rows(self.settings, cases), load, forward.notes, found)
        plan = Residues(found.classes)
        short = replace(self.settings, plan=plan)

        def all_shifts(cases: Sequence[str]) -> Measured:
            measured = rows(short, cases)
            if measured.rows.empty:
                return measured
            table = settled(measured.rows, plan)
            failed = list(table.loc[~table["exact"], "case"].unique())
            if failed and self.settings.exhaustive:
                whole = rows(self.settings, failed).rows
                whole["spot_deviation"] = whole["case"].map(
                    table.groupby("case")["spot_deviation"].first()
                )
                table = pd.concat([table[table["exact"]], whole])
            return replace(measured, rows=table.reset_index(drop=True))

        return Ready(all_shifts, load, forward.notes, found)

    def probe(self, cases: Sequence[str]) -> Probe:
        """Find the model's total stride on noise and the first of some cases.

        Raises:
            DataError: none of them can be loaded.
            ModelError: the model raises, or returns what cannot be measured.
        """
        here, _ = self._where_it_runs(cases)
        with placed(self.model, here.settings.device, here.settings.precision) as forward:
            return here._probe(forward, cases)

    def _where_it_runs(self, cases: Sequence[str]) -> tuple["Evaluation", list[str]]:
        """The evaluation on a device that the model runs on, and a note where that is another."""
        settings, notes = where_it_runs(
            self.model,
            lambda: self._image(cases or list(islice(self.suite.cases(), 1))),
            self.settings,
        )
        return replace(self, settings=settings), notes

    def _probe(self, forward: Callable[[Tensor], Tensor], cases: Sequence[str]) -> Probe:
        declared = told(self.model, "total_stride", 0) or self.declared
        declared = declared if isinstance(declared, int) and declared > 0 else None
        return self._within_memory(
            self.settings,
            lambda s: probe(forward, self.label, self.suite, cases, s, declared),
        )

    def _image(self, cases: Sequence[str]) -> Tensor:
        """One image (1, C, H, W) to try the model with.

        Raises:
            DataError: no case can be loaded.
        """
        for name in cases:
            case = load_case(self.suite, name)
            if not isinstance(case, DataError):
                return case.input[:1]
        raise DataError(f"{self.suite.label}: none of {len(cases)} cases can be loaded")

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
