"""A run: models × suites, unit by unit, into a run folder that can be resumed."""

import datetime
import hashlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from equibench.cases import Suite
from equibench.config import RunConfig
from equibench.errors import DataError, EquibenchError, UnavailableError, UsageError
from equibench.evaluation import Evaluation, Ready, units
from equibench.fingerprint import fingerprint, refuse_changes
from equibench.loading import LoadedModel, build_suite, case_names, load_model, seeded
from equibench.measurement import row_columns, suite_metrics
from equibench.provenance import environment
from equibench.registry import MODELS
from equibench.rowfiles import unit_name
from equibench.settings import Settings
from equibench.specs import Spec, slug
from equibench.store import RunFolder
from equibench.summary import non_finite
from equibench.weights import weights_file

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


@dataclass(frozen=True)
class _Job:
    """One model on one suite: the cases of its units, by the names of their row files."""

    suite: Suite
    units: Mapping[str, Sequence[str]]


class _Run:
    """What a configuration comes to on this machine."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.settings = Settings.of(config)
        self.environment = environment(self.settings.device)
        self.failures: list[dict[str, Any]] = []
        self.specs = self._available_models()
        self.suites = self._available_suites()
        metrics = {m.name: m for suite, _ in self.suites.values() for m in suite_metrics(suite)}
        self.metrics = list(metrics.values())

    def into(self, out: Path, progress: bool | None) -> RunFolder:
        folder = RunFolder(out, create=True)
        old = folder.manifest
        identity = fingerprint(
            self.config, self.settings, self.suites.values(), self.metrics, self.environment
        )
        refuse_changes(old.get("fingerprint", identity), identity, out)
        manifest: dict[str, Any] = {
            "state": "running",
            "started": old.get("started", _now()),
            "configuration": self.config.model_dump(mode="json"),
            "fingerprint": identity,
            "environment": self.environment,
            "models": dict(old.get("models", {})),
            "probes": dict(old.get("probes", {})),
        }
        folder.write_manifest(manifest)
        state = "failed"
        try:
            self._measure(folder, manifest, progress)
            state = "finished"
        except KeyboardInterrupt:
            state = "interrupted"
            raise
        except UsageError:
            # refused: what the folder says of its own run stays true
            manifest, state = (old or manifest), old.get("state", state)
            raise
        finally:
            folder.write_manifest(manifest | {"state": state, "stopped": _now()})
            folder.write_failures(self.failures)
        self._conclude(folder)
        return folder

    def _available_models(self) -> list[Spec]:
        """Specs of the models that can run here; a mistyped one stops the run at once."""
        specs, reasons = [], []
        for spec in _specs("models", [block.models for block in self.config.blocks]).values():
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
        specs = _specs("suites", [block.suites for block in self.config.blocks])
        for name in self.config.data:
            if name not in {spec.reference for spec in specs.values()}:
                raise UsageError(f"--data {name}=…: no suite of this run is called {name!r}")
        found: dict[str, tuple[Suite, Sequence[str]]] = {}
        reasons: list[EquibenchError] = []
        for label, spec in specs.items():
            try:
                suite = build_suite(spec, self.config.data)
                cases = case_names(suite, self.config.limit)
            except (UnavailableError, DataError) as error:
                reasons.append(error)
                self._fail(error, suite=spec.label)
                continue
            if suite.label in (other.label for other, _ in found.values()):
                raise UsageError(f"two suites are called {suite.label!r}: give one a label=…")
            found[label] = suite, cases
        if not found:
            raise reasons[0]
        return found

    def _jobs(self, model: str) -> list[_Job]:
        """A model, by its label, on the suites of every block that names it."""
        wanted = dict.fromkeys(
            suite
            for block in self.config.blocks
            if model in _specs("models", [block.models])
            for suite in _specs("suites", [block.suites])
        )
        return [self._job(model, *self.suites[suite]) for suite in wanted if suite in self.suites]

    def _measure(self, folder: RunFolder, manifest: dict[str, Any], progress: bool | None) -> None:
        jobs = {spec.label: self._jobs(spec.label) for spec in self.specs}
        counts = {label: sum(len(job.units) for job in mine) for label, mine in jobs.items()}
        silent = None if progress is None else not progress
        with tqdm(
            total=sum(counts.values()), unit="unit", disable=silent, dynamic_ncols=True
        ) as bar:
            for spec in self.specs:
                try:
                    loaded = load_model(spec, self.config.seed)
                except EquibenchError as error:
                    self._fail(error, model=spec.label)
                    bar.update(counts[spec.label])
                    continue
                described = {
                    "spec": spec.reference,
                    "weights": loaded.weights,
                    **loaded.provenance,
                }
                before = manifest["models"].setdefault(spec.label, described)
                refuse_changes({spec.label: before}, {spec.label: described}, folder.path)
                folder.write_manifest(manifest)
                for job in jobs[spec.label]:
                    bar.set_description(f"{spec.label} · {job.suite.label}")
                    found = self._evaluate(loaded, job, folder, bar)
                    if found is not None:
                        manifest["probes"].setdefault(spec.label, {})[job.suite.label] = found
                        folder.write_manifest(manifest)

    def _job(self, model: str, suite: Suite, cases: Sequence[str]) -> _Job:
        """Row files have slugs and digests for names: labels are data and never a path."""
        digest = hashlib.sha256(f"{model}\n{suite.label}".encode()).hexdigest()[:8]
        stem = f"{slug(model)}_{slug(suite.label)}_{digest}"
        members = enumerate(units(suite, self.settings.plan, cases))
        return _Job(suite, {unit_name(stem, number): each for number, each in members})

    def _evaluate(
        self, loaded: LoadedModel, job: _Job, folder: RunFolder, bar: "tqdm[Any]"
    ) -> dict[str, Any] | None:
        """Measure the units that are not finished; returns what a probe found, if one was made."""
        todo = [name for name in job.units if not folder.finished(name)]
        bar.update(len(job.units) - len(todo))
        place = {"model": loaded.label, "suite": job.suite.label}
        declared = loaded.provenance["details"].get("total_stride")
        evaluation = Evaluation(loaded.model, loaded.label, job.suite, self.settings, declared)
        cases = [case for name in todo for case in job.units[name]]
        with ExitStack() as stack:
            try:
                measure = stack.enter_context(evaluation.ready(cases))
            except EquibenchError as error:  # what cannot be probed cannot be measured
                self._fail(error, **place, cases=cases)
                bar.update(len(todo))
                return None
            if measure.probe is not None:
                tqdm.write(measure.probe.cost(loaded.label, job.suite, len(cases)), sys.stderr)
            for name in todo:
                self._unit(measure, name, job.units[name], folder, place)
                bar.update()
        return measure.probe.described if measure.probe else None

    def _unit(
        self,
        measure: Ready,
        name: str,
        cases: Sequence[str],
        folder: RunFolder,
        place: Mapping[str, object],
    ) -> None:
        try:
            measured = measure(cases)
        except EquibenchError as error:
            self._fail(error, **place, cases=list(cases))
            return
        # one schema for every file of the run, whatever its suite measures
        rows = measured.rows.reindex(columns=row_columns(self.metrics))
        folder.write_rows(name, rows, complete=not measured.broken)
        for case, reason in measured.broken.items():
            self._fail(reason, **place, cases=[case])

    def _fail(self, error: EquibenchError, **place: object) -> None:
        self.failures.append({**place, "error": type(error).__name__, "message": str(error)})

    def _conclude(self, folder: RunFolder) -> None:
        if folder.has_rows:
            rows = folder.rows()
            folder.write_summary(folder.summary(rows))
            self.failures += non_finite(rows)
        folder.write_failures(self.failures)


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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
