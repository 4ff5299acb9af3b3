"""A run: models × suites, unit by unit, into a run folder that can be resumed."""

import datetime
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from equibench.cases import Suite
from equibench.config import RunConfig
from equibench.errors import DataError, EquibenchError, ModelError, UnavailableError, UsageError
from equibench.evaluation import Evaluation, units
from equibench.loading import LoadedModel, load_model, weights_file
from equibench.measurement import row_columns
from equibench.precision import resolve_device
from equibench.provenance import environment
from equibench.registry import METRICS, MODELS, SUITES
from equibench.shifts import ShiftPlan, parse_shifts
from equibench.specs import Spec, slug
from equibench.store import RunFolder
from equibench.summary import non_finite

__all__ = ["build_suite", "run"]


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


def build_suite(spec: Spec, data: Mapping[str, str]) -> Suite:
    """The suite that a spec describes.

    Args:
        data: data roots by name of the suite.

    Raises:
        UsageError: an unknown name or argument, a missing extra or data root.
    """
    entry = SUITES.get(spec.reference)
    arguments = dict(spec.arguments)
    if spec.reference in data:
        arguments["root"] = data[spec.reference]
    entry.check(arguments)
    suite = entry.object(**arguments)
    if not isinstance(suite, Suite):
        raise UsageError(f"{entry.origin} gave a {type(suite).__name__}, not an equibench Suite")
    suite.label = spec.chosen_label or suite.name
    return suite


@dataclass(frozen=True)
class _Job:
    """One suite and the units that a model has to do on it, by their names."""

    suite: Suite
    units: Mapping[str, Sequence[str]]


class _Run:
    """What a configuration comes to on this machine."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.plan: ShiftPlan = parse_shifts(config.shifts)
        self.device = resolve_device(config.device)
        self.environment = environment(self.device)
        self.failures: list[dict[str, Any]] = []
        self.specs = self._available_models()
        self.suites = self._available_suites()
        names = dict.fromkeys(name for suite, _ in self.suites for name in suite.metrics)
        self.metrics = [METRICS.get(name).require() for name in names]

    def into(self, out: Path, progress: bool | None) -> RunFolder:
        folder = RunFolder(out, create=True)
        old = folder.manifest
        fingerprint = self._fingerprint()
        _refuse_changes(old.get("fingerprint", fingerprint), fingerprint, out)
        manifest: dict[str, Any] = {
            "state": "running",
            "started": old.get("started", _now()),
            "configuration": self.config.model_dump(mode="json"),
            "fingerprint": fingerprint,
            "environment": self.environment,
            "models": old.get("models", {}),
        }
        folder.write_manifest(manifest)
        try:
            self._measure(folder, manifest, progress)
            manifest["state"] = "finished"
        except KeyboardInterrupt:
            manifest["state"] = "interrupted"
            raise
        finally:
            if manifest["state"] != "running":
                folder.write_manifest(manifest | {"stopped": _now()})
        self._conclude(folder)
        return folder

    def _available_models(self) -> list[Spec]:
        """Specs of the models that can run here; a mistyped one stops the run at once."""
        specs, reasons = [], []
        for spec in _unique([Spec.parse(text) for text in self.config.models]):
            if spec.weights is not None:
                weights_file(spec.weights, spec.label)
            try:
                MODELS.get(spec.reference).check(spec.arguments)
                specs.append(spec)
            except UnavailableError as error:
                reasons.append(error)
                self._fail(error, model=spec.label)
        if not specs:
            raise reasons[0]
        return specs

    def _available_suites(self) -> list[tuple[Suite, Sequence[str]]]:
        """Suites whose data are here, with their cases."""
        found: list[tuple[Suite, Sequence[str]]] = []
        reasons: list[EquibenchError] = []
        for spec in (Spec.parse(text) for text in self.config.suites):
            try:
                suite = build_suite(spec, self.config.data)
                cases = list(islice(suite.cases(), self.config.limit))
            except (UnavailableError, DataError) as error:
                reasons.append(error)
                self._fail(error, suite=spec.label)
                continue
            if not cases:
                raise UsageError(f"suite {suite.label!r} has no cases")
            if suite.label in {other.label for other, _ in found}:
                raise UsageError(f"two suites are called {suite.label!r}: give one a label=…")
            found.append((suite, cases))
        if not found:
            raise reasons[0]
        return found

    def _fingerprint(self) -> dict[str, Any]:
        """All that numbers depend on, but for the models, which are compared as they load."""
        config = self.config.model_dump(mode="json", exclude={"data", "device"})
        return config | {
            "plan": repr(self.plan),
            "exact": self.plan.exact,
            "frame": self.config.comparison_frame,
            "device": self.device.type,
            "suite versions": {
                s.label: {"version": s.version, **s.configuration} for s, _ in self.suites
            },
            "metric versions": {metric.name: metric.version for metric in self.metrics},
            "versions": self.environment["versions"],
        }

    def _measure(self, folder: RunFolder, manifest: dict[str, Any], progress: bool | None) -> None:
        jobs = {
            spec.label: [
                _Job(suite, self._units(spec, suite, cases)) for suite, cases in self.suites
            ]
            for spec in self.specs
        }
        total = sum(len(job.units) for of_model in jobs.values() for job in of_model)
        silent = None if progress is None else not progress
        with tqdm(total=total, unit="unit", disable=silent, dynamic_ncols=True) as bar:
            for spec in self.specs:
                try:
                    loaded = load_model(spec, self.config.seed)
                except EquibenchError as error:
                    self._fail(error, model=spec.label)
                    bar.update(sum(len(job.units) for job in jobs[spec.label]))
                    continue
                described = {
                    "spec": spec.reference,
                    "weights": loaded.weights,
                    **loaded.provenance,
                }
                before = manifest["models"].setdefault(spec.label, described)
                _refuse_changes({spec.label: before}, {spec.label: described}, folder.path)
                folder.write_manifest(manifest)
                for job in jobs[spec.label]:
                    bar.set_description(f"{spec.label} · {job.suite.label}")
                    self._evaluate(loaded, job, folder, bar)

    def _units(self, spec: Spec, suite: Suite, cases: Sequence[str]) -> dict[str, Sequence[str]]:
        """Units by the name of their row file: the labels are data and never a path."""
        digest = hashlib.sha256(f"{spec.label}\n{suite.label}".encode()).hexdigest()[:8]
        stem = f"{slug(spec.label)}_{slug(suite.label)}_{digest}"
        return {
            f"{stem}_{number:05d}": members
            for number, members in enumerate(units(suite, self.plan, cases))
        }

    def _evaluate(
        self, loaded: LoadedModel, job: _Job, folder: RunFolder, bar: "tqdm[Any]"
    ) -> None:
        todo = [name for name in job.units if not folder.finished(name)]
        bar.update(len(job.units) - len(todo))
        evaluation = Evaluation(
            loaded.model,
            label=loaded.label,
            suite=job.suite,
            plan=self.plan,
            frame=self.config.comparison_frame,
            seed=self.config.seed,
            device=self.device,
            precision=self.config.precision,
            batch=None if self.config.batch == "auto" else self.config.batch,
        )
        with evaluation.ready() as measure:
            for name in todo:
                cases = job.units[name]
                try:
                    rows = measure(cases)
                except (DataError, ModelError) as error:
                    self._fail(error, model=loaded.label, suite=job.suite.label, cases=list(cases))
                    folder.write_failures(self.failures)
                else:
                    # one schema for every file of the run, whatever its suite measures
                    folder.write_rows(name, rows.reindex(columns=row_columns(self.metrics)))
                bar.update()

    def _fail(self, error: EquibenchError, **place: object) -> None:
        self.failures.append({**place, "error": type(error).__name__, "message": str(error)})

    def _conclude(self, folder: RunFolder) -> None:
        if folder.has_rows:
            rows = folder.rows()
            folder.write_summary(folder.summary(rows))
            for row in non_finite(rows).itertuples():
                message = (
                    f"{row.model} gives a normalised error of {row.eq_nmse} on {row.suite}, case "
                    f"{row.case}, shift ({row.dy}, {row.dx}): its output is not finite there"
                )
                place = {"model": row.model, "suite": row.suite, "cases": [row.case]}
                self.failures.append({**place, "error": "NonFinite", "message": message})
        folder.write_failures(self.failures)


def _refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any], out: Path) -> None:
    """A folder holds one run: an equal configuration resumes it, another needs another folder."""
    changes = list(_changes(old, new))
    if changes:
        more = f" and {len(changes) - 3} more changes" if len(changes) > 3 else ""
        raise UsageError(
            f"{out} holds another run: {'; '.join(changes[:3])}{more}; choose another --out, or "
            "repeat the command that made it to resume it"
        )


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changes(before, after, f"{prefix}{key} ")
        elif before != after:
            yield f"{prefix}{key} was {before!r} and is {after!r}"


def _unique(specs: list[Spec]) -> list[Spec]:
    seen: set[str] = set()
    for spec in specs:
        if spec.label in seen:
            raise UsageError(f"two models are called {spec.label!r}: give one a label=…")
        seen.add(spec.label)
    return specs


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
