"""A run: models × suites, unit by unit, into a run folder that can be resumed."""

import datetime
import sys
from collections import Counter
from collections.abc import Generator, Mapping, Sequence, Set
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from equibench.cases.suite import Suite
from equibench.errors import EquibenchError, UnavailableError, UsageError
from equibench.inference.adapter_keys import AdapterKeys
from equibench.loading.load import load_spec
from equibench.loading.models import seeded
from equibench.loading.suites import build_suite, case_names
from equibench.loading.weights import weights_file
from equibench.measurement.row_table import row_columns, suite_metrics
from equibench.measurement.run_config import SPLITTING, RunConfig
from equibench.measurement.settings import Settings
from equibench.metrics.chosen import metric_called
from equibench.registry.plugin_files import repository_of
from equibench.registry.provenance import environment
from equibench.registry.registries import MODELS, SUITES
from equibench.registry.specs import Spec
from equibench.runs.engines.shared_batch_size import Batches, in_turn
from equibench.runs.fingerprint import fingerprint, refuse_changes
from equibench.runs.manifest import begin, ended
from equibench.runs.outputs.output_files import OutputFiles
from equibench.runs.outputs.output_sizes import announced
from equibench.runs.run_folder import RunFolder
from equibench.runs.trackers import TrackedRun, TrackedUnit, trackers_of
from equibench.runs.units import Outcome, Unit, Worker, described, split

__all__ = ["run"]


def run(config: RunConfig, out: Path | str, *, progress: bool | None = None) -> RunFolder:
    """Measure, or go on where an equal run stopped.

    Args:
        config: what to measure.
        out: the run folder.
        progress: show a progress bar; None shows it on a terminal.

    Returns:
        The folder; its ``failures`` are empty if all went well.

    Raises:
        UsageError: nothing can be run as asked, or the folder holds another run.
        EquibenchError: the folder cannot be written.
    """
    return _Run(config).into(Path(out), progress)


class _Run:
    """What a configuration comes to on this machine."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.shard = config.shard
        self.settings = Settings.of(config, remote=config.scheduler is not None)
        self.environment = environment(self.settings.device)
        self.failures: list[dict[str, Any]] = []
        self.specs = self._available_models()
        self.suite_specs = _specs("suites", [block.suites for block in config.blocks])
        self.suites = self._available_suites()
        metrics = {m.name: m for suite, _ in self.suites.values() for m in suite_metrics(suite)}
        self.metrics = list(metrics.values())
        self.described: set[str] = set()
        self.trackers = trackers_of(config.track, _say)

    def into(self, out: Path, progress: bool | None) -> RunFolder:
        folder = RunFolder(out, create=True)
        with folder.lock(self.shard):
            folder.verify(resuming=True)
            before = folder.manifest
            units = self._units()
            folder.update_manifest(lambda manifest: self._begin(manifest, units, out))
            self.tracked = TrackedRun(folder, self.shard, len(self._mine(units)))
            self.trackers.start(self.tracked)
            try:
                self._measure(folder, units, progress)
            except BaseException as error:
                folder.write_failures(self.failures, shard=self.shard)
                # a refused run changes nothing of what the folder says of its own
                refused = self._state(before) if isinstance(error, UsageError) else None
                state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
                self._end(folder, refused or state)
                self.trackers.end(self.tracked, state)
                raise
            mine = None if self.shard is None else [unit.name for unit in self._mine(units)]
            folder.conclude(self.failures, shard=self.shard, units=mine)
            self._end(folder, "finished")
            self.trackers.end(self.tracked, "finished")
        return folder

    def _begin(self, manifest: dict[str, Any], units: Sequence[Unit], out: Path) -> None:
        identity = fingerprint(
            self.config, self.settings, self.suites.values(), self.metrics, self.environment
        )
        refuse_changes(manifest.get("fingerprint", identity), identity, out)
        manifest.setdefault("started", _now())
        begin(manifest, self.shard)
        manifest |= {
            "configuration": self.config.model_dump(mode="json", exclude=set(SPLITTING)),
            "fingerprint": identity,
            "environment": self.environment,
            "models": manifest.get("models", {}),
            "probes": manifest.get("probes", {}),
            # what a suite whose data are gone has rows of is still part of the run
            "units": manifest.get("units", {}) | dict(Counter(unit.job.stem for unit in units)),
        }

    def _end(self, folder: RunFolder, state: str) -> None:
        def change(manifest: dict[str, Any]) -> None:
            manifest["stopped"] = _now()
            ended(manifest, self.shard, state, lacking=lacking)

        lacking = self.shard is not None and bool(folder.lacking)
        folder.update_manifest(change)

    def _state(self, manifest: Mapping[str, Any]) -> str | None:
        """Of the run, or of this shard of it."""
        known = manifest.get("shards", {}) if self.shard else manifest
        found: str | None = known.get(self.shard or "state")
        return found

    def _available_models(self) -> list[Spec]:
        """Specs of the models that can run here; a mistyped one stops the run at once."""
        specs, reasons = [], []
        for spec in _specs("models", [block.models for block in self.config.blocks]).values():
            if MODELS.get(spec.reference).file is None:  # inputs in a file have any name
                AdapterKeys.of(spec.adapters, spec.label)
            if self.config.isolate and repository_of(spec.reference):
                specs.append(spec)  # it is looked at in its own process, and nowhere else
                continue
            if spec.weights is not None:
                weights_file(spec)
            try:
                with seeded(self.config.seed):
                    MODELS.get(spec.reference).check(spec.arguments)
                specs.append(spec)
            except UnavailableError as error:
                reasons.append(error)
                self._fail(error, model=spec.label)
        if not specs:
            raise reasons[0]
        return specs

    def _available_suites(self) -> dict[str, tuple[Suite, Sequence[str]]]:
        """Suites whose data are here, with their cases, by the labels of their specs."""
        for name in self.config.data:
            if name not in {spec.reference for spec in self.suite_specs.values()}:
                raise UsageError(f"--data {name}=…: no suite of this run is called {name!r}")
        found: dict[str, tuple[Suite, Sequence[str]]] = {}
        reasons: list[EquibenchError] = []
        for label, spec in self.suite_specs.items():
            for metric in (*self.config.metrics, *spec.metrics):
                metric_called(metric)
            with suppress(UnavailableError):  # told below
                SUITES.get(spec.reference).check(_given(spec, self.config.data))
            try:
                suite = build_suite(spec, self.config.data, self.config.metrics)
                cases = case_names(suite, self.config.limit)
            except EquibenchError as error:  # of the suite, whose name and arguments are right
                reasons.append(error)
                self._fail(error, suite=spec.label)
                continue
            if suite.label in (other.label for other, _ in found.values()):
                raise UsageError(f"two suites are called {suite.label!r}: give one a label=…")
            found[label] = suite, cases
        if not found:
            raise reasons[0]
        return found

    def _units(self) -> list[Unit]:
        """Every model on the suites of all blocks that name it, suite by suite."""
        units = []
        for model in self.specs:
            wanted = dict.fromkeys(
                label
                for block in self.config.blocks
                if model.label in _specs("models", [block.models])
                for label in _specs("suites", [block.suites])
            )
            for label in wanted:
                if label in self.suites:
                    suite, cases = self.suites[label]
                    units += split(model, self.suite_specs[label], suite, self.settings, cases)
        return units

    def _shard(self) -> tuple[int, int]:
        first, _, count = (self.shard or "1/1").partition("/")
        return int(first), int(count)

    def _mine(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """Those of this shard: every n-th, so that each has some of every job."""
        first, count = self._shard()
        return units[first - 1 :: count]

    def _measure(self, folder: RunFolder, units: Sequence[Unit], progress: bool | None) -> None:
        mine = self._mine(units)
        finished = folder.finished([unit.name for unit in mine])
        todo = [unit for unit in mine if unit.name not in finished]
        if self.config.keep_outputs and todo:
            suites = {label: suite for label, (suite, _) in self.suites.items()}
            _say(announced(todo, suites, self.settings, folder.path))
        self._recognise(folder, {unit.job.model.label for unit in todo})
        jobs: dict[str, list[str]] = {}
        for unit in units:
            jobs.setdefault(unit.job.stem, []).append(unit.name)
        left = Counter(unit.job.stem for unit in todo)
        silent, done = None if progress is None else not progress, len(mine) - len(todo)
        with ExitStack() as stack, tqdm(
            total=len(mine), initial=done, unit="unit", disable=silent,
            dynamic_ncols=True,
        ) as bar:  # fmt: skip
            outcomes = stack.enter_context(closing(self._outcomes(todo, Batches(folder))))
            for outcome in outcomes:
                job = outcome.unit.job
                bar.set_description(f"{job.model.label} · {job.label}")
                self._settle(folder, outcome)
                bar.update()
                done += 1
                self.trackers.unit(self.tracked, self._told(outcome, done))
                left[job.stem] -= 1
                if not left[job.stem]:
                    folder.consolidate(job.stem, jobs[job.stem])

    def _recognise(self, folder: RunFolder, busy: Set[str]) -> None:
        """Models with nothing left to do must be those that the folder's rows are of."""
        known = folder.manifest["models"]
        for spec in self.specs:
            if spec.label in known and spec.label not in busy:
                try:
                    found = described(
                        spec, load_spec(spec, self.config.seed, **self.config.loading)
                    )
                except EquibenchError as error:
                    self._fail(error, model=spec.label)
                    continue
                refuse_changes({spec.label: known[spec.label]}, {spec.label: found}, folder.path)

    def _outcomes(self, units: Sequence[Unit], batches: Batches) -> Generator[Outcome, None, None]:
        if self.config.engine == "dask":
            from equibench.runs.engines.dask_cluster import on_cluster

            return on_cluster(self.config, self.settings.device, units, _say, batches)
        suites = {label: suite for label, (suite, _) in self.suites.items()}
        return in_turn(Worker(self.config, _say, suites), units, batches)

    def _settle(self, folder: RunFolder, outcome: Outcome) -> None:
        """Keep what came of a unit."""
        job = outcome.unit.job
        if outcome.model is not None:
            self._describe(folder, outcome)
        if outcome.measured is not None:
            rows = outcome.measured.rows.reindex(columns=self._columns())
            if self.config.keep_outputs and outcome.measured.outputs:
                OutputFiles(folder.path).write(
                    outcome.unit.name, job.names, outcome.measured.outputs
                )
            if len(rows):
                folder.write_rows(outcome.unit.name, rows, complete=not outcome.measured.broken)
            reasons: dict[str, list[str]] = {}
            for case, reason in outcome.measured.broken.items():
                reasons.setdefault(str(reason), []).append(case)
            for cases in reasons.values():
                self._fail(outcome.measured.broken[cases[0]], **job.names, cases=cases)
        elif outcome.error is not None:
            missing = {} if outcome.broken else {"cases": list(outcome.unit.cases)}
            names = job.names if outcome.broken != "model" else {"model": job.model.label}
            self._fail(outcome.error, **names, **missing)

    def _columns(self) -> list[str]:
        """One schema for every file of the run, whatever its suite measures."""
        axes = max(suite.axes for suite, _ in self.suites.values())
        screened = self.settings.screen is not None
        return row_columns(self.metrics, self.settings.transforms, axes, screened=screened)

    def _told(self, outcome: Outcome, done: int) -> TrackedUnit:
        """What trackers are told of a unit."""
        unit, measured = outcome.unit, outcome.measured
        rows = pd.DataFrame(columns=self._columns()) if measured is None else measured.rows
        broken = () if measured is None else measured.broken.values()
        failure = str(next(iter(broken), outcome.error) or "")
        return TrackedUnit(unit.name, unit.job.model.label, unit.job.label, rows, failure, done)

    def _describe(self, folder: RunFolder, outcome: Outcome) -> None:
        """Note what identifies the model, or refuse it where the folder knows another."""
        job = outcome.unit.job
        if job.stem in self.described:
            return
        self.described.add(job.stem)
        label = job.model.label

        def change(manifest: dict[str, Any]) -> None:
            before = manifest["models"].setdefault(label, outcome.model)
            refuse_changes({label: before}, {label: outcome.model}, folder.path)
            # in the order of the configuration, whoever came first
            order = dict.fromkeys([*(spec.label for spec in self.specs), *manifest["models"]])
            manifest["models"] = {
                name: manifest["models"][name] for name in order if name in manifest["models"]
            }
            found = {
                "probes": outcome.probe,
                "repeatability": outcome.repeatability,
                "proofs": outcome.proof,
            }
            for kind, each in found.items():
                if each is not None:
                    manifest.setdefault(kind, {}).setdefault(label, {})[job.label] = each

        folder.update_manifest(change)

    def _fail(self, error: EquibenchError, **names: object) -> None:
        failure = {**names, "error": type(error).__name__, "message": str(error)}
        failure |= {"topic": error.topic} if error.topic else {}
        if failure not in self.failures:
            self.failures.append(failure)


def _specs(kind: str, lists: Sequence[Sequence[str]]) -> dict[str, Spec]:
    """What lists of models or of suites name, by label; several lists may name the same."""
    found: dict[str, Spec] = {}
    for texts in lists:
        specs = [Spec.parse(text) for text in texts]
        labels = Counter(spec.label for spec in specs)
        for spec in specs:
            if found.setdefault(spec.label, spec) != spec or labels[spec.label] > 1:
                raise UsageError(f"two {kind} are called {spec.label!r}: give one a label=…")
    return found


def _given(spec: Spec, data: Mapping[str, str]) -> dict[str, Any]:
    """The arguments that a suite is built with."""
    root = {"root": data[spec.reference]} if spec.reference in data else {}
    return {**spec.arguments, **root}


def _say(line: str) -> None:
    tqdm.write(line, sys.stderr)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
