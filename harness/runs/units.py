"""Units of work: what a run is split into, and who measures them.

A unit is a few cases of one suite under one model. In one batch size and on one kind of device,
what comes of it depends on nothing else: not on the order of units, nor on who measures them.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import DataError, EquibenchError
from equibench.evaluation.batch_tuning import fitting, tuned, worth_tuning
from equibench.evaluation.model_on_suite import Evaluation, Ready
from equibench.evaluation.optimized_models import optimized
from equibench.evidence.stride_probing import PROBED
from equibench.loading.load import load_spec
from equibench.loading.models import LoadedModel
from equibench.loading.suites import build_suite
from equibench.measurement.batching import load_case
from equibench.measurement.measurement import Measured
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.measurement.work_units import forwards_per_case, units
from equibench.registry.specs import Spec, slug
from equibench.runs.row_files import unit_name

__all__ = ["Job", "Outcome", "Say", "Unit", "Worker", "described", "split", "stem_of"]

Say = Callable[[str], None]
"""Takes a line for the user."""


@dataclass(frozen=True)
class Job:
    """One model on one suite.

    Args:
        stem: what the row files of its units begin with.
        label: of the suite, in rows.
        probed: the cases that the model is probed with.
        cases: how many there are in all.
    """

    stem: str
    model: Spec
    suite: Spec
    label: str
    probed: tuple[str, ...]
    cases: int

    @property
    def names(self) -> dict[str, str]:
        """Model and suite, as rows and failures name them."""
        return {"model": self.model.label, "suite": self.label}


@dataclass(frozen=True)
class Unit:
    """A few cases of a job, and the name of the file for their rows.

    Args:
        batch: what others of the job were measured with, where it was tuned.
    """

    job: Job
    name: str
    cases: tuple[str, ...]
    batch: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a unit: rows, or why there are none.

    Args:
        broken: what is to blame where nothing of the job, or of the model, can be measured.
        model: what identifies the model, for the manifest.
        probe: what its total stride was found to be, where all shifts are asked for.
        repeatability: what it does with the same image once more.
        proof: of its stride, or why there is none.
        batch: what it was measured with, where it was tuned.
    """

    unit: Unit
    error: EquibenchError | None = None
    measured: Measured | None = None
    broken: Literal["model", "job"] | None = None
    model: Mapping[str, Any] | None = None
    probe: Mapping[str, Any] | None = None
    repeatability: Mapping[str, Any] | None = None
    proof: Mapping[str, Any] | None = None
    batch: int | None = None


def split(
    model: Spec, spec: Spec, suite: Suite, settings: Settings, cases: Sequence[str]
) -> list[Unit]:
    """The units of one model on one suite; a longer list of cases keeps those of a shorter one."""
    stem = stem_of(model.label, suite.label)
    job = Job(stem, model, spec, suite.label, tuple(cases[:PROBED]), len(cases))
    parts = units(suite, settings.transforms, cases, settings.device.type)
    return [Unit(job, unit_name(stem, number), tuple(part)) for number, part in enumerate(parts)]


def stem_of(model: str, suite: str) -> str:
    """What the row files of a model on a suite begin with: labels are data and never a path."""
    digest = hashlib.sha256(f"{model}\n{suite}".encode()).hexdigest()[:8]
    return f"{slug(model)}_{slug(suite)}_{digest}"


def described(spec: Spec, loaded: LoadedModel) -> dict[str, Any]:
    """What identifies a model, for the manifest."""
    return {"spec": spec.reference, "weights": loaded.weights, **loaded.provenance}


class Worker:
    """Measures units, one after the other; keeps model and suite in place between two of a job.

    Args:
        say: told what all shifts cost, before they begin.
        suites: those that are built already, by the labels of their specs.
    """

    def __init__(
        self, config: RunConfig, say: Say, suites: Mapping[str, Suite] | None = None
    ) -> None:
        self.config, self.say = config, say
        settings = Settings.of(config, remote=config.scheduler is not None)
        self.settings = replace(settings, keep_outputs=config.keep_outputs)
        self._suites = dict(suites or {})
        self._model: tuple[str, LoadedModel | EquibenchError] | None = None
        self._ready: tuple[str, Ready | EquibenchError] | None = None
        self._batch: int | None = None
        self._said: set[str] = set()
        self._in_place = ExitStack()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._leave()

    def __call__(self, unit: Unit, following: Sequence[str] = ()) -> Outcome:
        """Measure a unit.

        Args:
            following: cases of the next one, to be loaded meanwhile.
        """
        job = unit.job
        loaded = self._load(job.model)
        if isinstance(loaded, EquibenchError):
            return Outcome(unit, loaded, broken="model")
        outcome = Outcome(unit, model=described(job.model, loaded))
        ready = self._put_in_place(loaded, unit)
        outcome = replace(outcome, batch=self._batch)
        if isinstance(ready, EquibenchError):
            return replace(outcome, error=ready, broken="job")
        if ready.probe is not None:
            outcome = replace(outcome, probe=ready.probe.described)
        if ready.repeatability is not None:
            outcome = replace(outcome, repeatability=ready.repeatability.described)
        if ready.proof is not None:
            outcome = replace(outcome, proof=ready.proof.brief)
        try:
            return replace(outcome, measured=ready(unit.cases, following))
        except EquibenchError as error:
            return replace(outcome, error=error)
        finally:
            self._tell(job.model.label, ready.notes)

    def _tell(self, label: str, notes: Sequence[str]) -> None:
        """Say what has not been said of a model yet."""
        for line in (f"{label}: {note}" for note in notes):
            if line not in self._said:
                self._said.add(line)
                self.say(line)

    def _leave(self) -> None:
        """Take the model out of its place; what it holds against that stops no other one."""
        try:
            self._in_place.close()
        except EquibenchError as error:
            self.say(str(error))

    def _load(self, spec: Spec) -> LoadedModel | EquibenchError:
        if self._model is None or self._model[0] != spec.label:
            self._leave()
            self._model = self._ready = None  # not two models in memory
            try:
                loaded = load_spec(spec, self.config.seed, **self.config.loading)
                self._model = spec.label, loaded
                self._tell(spec.label, loaded.notes)
            except EquibenchError as error:
                self._model = spec.label, error
        return self._model[1]

    def _put_in_place(self, loaded: LoadedModel, unit: Unit) -> Ready | EquibenchError:
        job = unit.job
        as_before = self._ready is not None and self._ready[0] == job.stem
        if self._ready is None or not as_before or unit.batch not in (None, self._batch):
            self._leave()
            self._batch = unit.batch
            try:
                ready = self._in_place.enter_context(self._evaluation(loaded, job))
                self._ready = job.stem, ready
            except EquibenchError as error:  # what cannot be probed cannot be measured
                self._ready = job.stem, error
        return self._ready[1]

    @contextmanager
    def _evaluation(self, loaded: LoadedModel, job: Job) -> Iterator[Ready]:
        if job.suite.label not in self._suites:
            self._suites[job.suite.label] = build_suite(
                job.suite, self.config.data, self.config.metrics
            )
        suite = self._suites[job.suite.label]
        declared = loaded.provenance["details"].get("total_stride")
        model, settings = loaded.model, self.settings
        if self.config.optimize:
            image = self._image(suite, job)
            model = optimized(model, self.config.optimize, image, settings, loaded.label)
        forwards = job.cases * (forwards_per_case(suite, settings.transforms) or 0)
        if self.config.batch == "auto":
            tunes = worth_tuning(settings.device, forwards)
            if self._batch is None and tunes:
                conditions = described(job.model, loaded) | {"optimize": self.config.optimize}
                image = self._image(suite, job)
                self._batch = tuned(model, image, settings, str(conditions))
            elif self._batch is None and settings.device.type == "cuda":
                self._batch = fitting(model, self._image(suite, job), settings)
            settings = replace(settings, batch=self._batch or settings.batch)
        evaluation = Evaluation(model, loaded.label, suite, settings, declared)
        with evaluation.ready(job.probed) as ready:
            for line in ready.remarks(loaded.label, suite, job.cases):
                self.say(line)
            yield ready

    def _image(self, suite: Suite, job: Job) -> Tensor:
        """One image (1, C, H, W) to try the model with."""
        case = load_case(suite, job.probed[0])
        if isinstance(case, DataError):
            raise case
        return case.input[:1]
