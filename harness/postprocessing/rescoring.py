"""Other metrics for a run whose outputs were kept, into a folder of its own."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.cases.suite import Suite, suite_conditions
from equibench.errors import UsageError
from equibench.foundation.validation import checked
from equibench.inference.precision import numerics
from equibench.loading.suites import case_names
from equibench.measurement.batching import Loader
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.metrics.chosen import metric_called
from equibench.postprocessing.column_order import in_order
from equibench.postprocessing.replay import Replay
from equibench.postprocessing.rerun import Rerun
from equibench.registry.provenance import version_of
from equibench.runs.fingerprint import changes
from equibench.runs.outputs.output_files import OutputFiles
from equibench.runs.run_folder import RunFolder

__all__ = ["rescore"]

_KEYS = ["transform", "case", "draw"]
"""What tells the rows of a model on a suite apart."""


def rescore(folder: RunFolder, metrics: Sequence[str], out: Path | str) -> RunFolder:
    """Compute metrics from the outputs that a run kept, beside those that it has.

    No network is loaded, but the suites are, for ground truths and units. Outputs are in float32:
    metrics of a run in that precision or a lower one, on a CPU, are those that it would have
    measured, to the last bit.

    Args:
        metrics: their names; the values of those that the run has already are replaced.
        out: the new run folder.

    Raises:
        UsageError: a metric that there is not, a run without outputs, data that are not those of
            the run, or a folder with something in it.
        EquibenchError: a file is damaged, a case cannot be loaded, or a metric does not fit.
    """
    if not metrics:
        raise UsageError("no metric is named: --metrics agreement,iou")
    wanted = [metric_called(name) for name in metrics]
    if folder.shortfall:
        raise UsageError(f"{folder.path} {folder.shortfall}: its command resumes it")
    target = RunFolder(out, create=True)
    if target.manifest:
        raise UsageError(f"{out} is a run already: choose another --out")
    manifest = folder.manifest
    try:
        with target.lock():
            target.write_manifest(_rescored(manifest, wanted, folder.path))
            for unit, rows in _units(folder, manifest, [metric.name for metric in wanted]):
                target.write_rows(unit, rows)
            target.conclude(folder.failures, state="finished")
    except BaseException:
        shutil.rmtree(target.path, ignore_errors=True)  # half of it is of no use
        raise
    return target


def _units(
    folder: RunFolder, manifest: Mapping[str, Any], metrics: Sequence[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every unit that has rows, with the new columns beside the old ones."""
    rerun, files = Rerun(manifest), OutputFiles(folder.path)
    rows = dict(list(folder.rows().groupby(["model", "suite"], sort=False)))
    settings = _settings(manifest)
    suites: dict[str, Suite] = {}
    names = list(dict.fromkeys([*manifest["fingerprint"]["metric versions"], *metrics]))
    for unit in folder.measured:
        said = files.of(unit)
        model, label = said["model"], said["suite"]
        if label not in suites:
            suites[label] = _suite(rerun, label, manifest, metrics)
        mine = rows[model, label]
        mine = mine[mine["case"].isin(said["cases"])].reset_index(drop=True)
        cases = list(dict.fromkeys(mine["case"]))
        new = _measured(files, unit, model, suites[label], settings, cases)
        known = set(_columns(metrics))
        columns = [name for name in new.columns if name in known]
        before = mine.drop(columns=[name for name in columns if name in mine])
        joined = before.merge(new[[*_KEYS, *columns]], on=_KEYS, how="left", validate="1:1")
        yield unit, in_order(joined, names, settings.transforms)


def _measured(
    files: OutputFiles,
    unit: str,
    model: str,
    suite: Suite,
    settings: Settings,
    cases: Sequence[str],
) -> pd.DataFrame:
    """Rows of a unit, from what was kept of it.

    Raises:
        EquibenchError: a case cannot be loaded, or cannot be compared by a metric.
    """
    parts = []
    with Loader(suite, settings.device) as load, numerics(settings.precision):
        for transform in settings.transforms:
            replay = Replay(
                lambda case: files.read(unit, case), model, suite, settings.under(transform), load
            )
            load.expect(cases)
            measured = replay.run(cases)
            for error in measured.broken.values():
                raise error
            parts.append(measured.rows)
    return pd.concat(parts, ignore_index=True)


def _columns(metrics: Sequence[str]) -> Iterator[str]:
    """Every column that rows may have of some metrics."""
    for name in metrics:
        column = metric_called(name).column
        yield from (f"eq_{column}", column, f"{column}_shifted", f"delta_{column}")


def _settings(manifest: Mapping[str, Any]) -> Settings:
    """How the run was measured, on the CPU."""
    given = {**manifest["configuration"], "device": "cpu"}
    settings = Settings.of(checked(RunConfig, given, "run.json"))
    return replace(settings, batch=1)


def _suite(rerun: Rerun, label: str, manifest: Mapping[str, Any], metrics: Sequence[str]) -> Suite:
    """A suite of the run, measured by other metrics.

    Raises:
        UsageError: its data are not those of the run.
    """
    suite = copy(rerun.suite(label))
    names = case_names(suite, manifest["configuration"].get("limit"))
    now, before = suite_conditions(suite, names), manifest["fingerprint"]["suites"][label]
    found = list(changes({key: before.get(key) for key in now}, now))
    if found:
        raise UsageError(f"the data of suite {label} are not those of the run: {found[0]}")
    suite.metrics = tuple(metrics)
    return suite


def _rescored(manifest: Mapping[str, Any], metrics: Sequence[Any], run: Path) -> dict[str, Any]:
    """The manifest of the new folder."""
    left = ("files", "summarized", "unmeasured", "shards", "schema")
    new = {name: value for name, value in manifest.items() if name not in left}
    versions = new["fingerprint"]["metric versions"] | {m.name: m.version for m in metrics}
    new["fingerprint"] = {**new["fingerprint"], "metric versions": versions}
    new["configuration"] = {**new["configuration"], "metrics": list(versions)}
    new["fingerprint"] |= {
        "metrics": list(versions),
        # nothing is resumed there
        "rescored": [metric.name for metric in metrics],
    }
    new["rescored"] = {
        "from": str(run.resolve()),
        "metrics": [metric.name for metric in metrics],
        "equibench": version_of("equibench"),
    }
    new["state"] = "running"
    return new
