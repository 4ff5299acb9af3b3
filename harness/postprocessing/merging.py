"""Several runs as one: models and suites side by side that were measured under equal conditions."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from equibench.errors import UsageError
from equibench.postprocessing.column_order import in_order
from equibench.runs.fingerprint import changes
from equibench.runs.row_files import unit_name
from equibench.runs.run_folder import RunFolder
from equibench.runs.units import stem_of

__all__ = ["merge"]

_SUBJECTS = ("models", "suites", "also", "metrics", "metric versions")
"""Of a fingerprint: what runs that are merged may differ in."""

_BY_MODEL = ("probes", "repeatability", "proofs")
"""Of a manifest: what is said of each model on each suite."""


def merge(folders: Sequence[RunFolder], out: Path | str) -> RunFolder:
    """Put the rows of several finished runs into one folder.

    What two of the runs have both measured must be the same in both, and is taken once. A metric
    that a suite was not measured by in one of them stays empty there.

    Args:
        out: the new run folder.

    Raises:
        UsageError: fewer than two runs, one that has not finished, conditions that differ, or
            numbers that do; a folder with something in it.
        EquibenchError: a file is damaged.
    """
    if len(folders) < 2:
        raise UsageError("one run is merged already: name two or more")
    for folder in folders:
        if folder.shortfall:
            raise UsageError(f"{folder.path} {folder.shortfall}: its command resumes it")
    for one, other in combinations(folders, 2):
        _refuse(one, other)
    target = RunFolder(out, create=True)
    if target.manifest:
        raise UsageError(f"{out} is a run already: choose another --out")
    try:
        with target.lock():
            rows = _rows(folders)
            manifest = _merged(folders, rows)
            target.write_manifest(manifest)
            every = list(dict.fromkeys(name for part in rows.values() for name in part.columns))
            for (model, suite), part in rows.items():
                metrics = manifest["fingerprint"]["metric versions"]
                whole = in_order(part.reindex(columns=every), metrics)
                target.write_rows(unit_name(stem_of(model, suite), 0), whole)
            failures = [failure for folder in folders for failure in folder.failures]
            target.conclude(failures, state="finished")
    except BaseException:
        shutil.rmtree(target.path, ignore_errors=True)
        raise
    return target


def _refuse(one: RunFolder, other: RunFolder) -> None:
    """Two runs are merged where all that their numbers depend on is equal."""
    sides = [folder.manifest for folder in (one, other)]
    prints = [side["fingerprint"] for side in sides]
    before, after = ({k: v for k, v in p.items() if k not in _SUBJECTS} for p in prints)
    found = list(changes(before, after))
    for kind, known in (
        ("model", [side["models"] for side in sides]),
        ("suite", [each["suites"] for each in prints]),
        ("metric", [each["metric versions"] for each in prints]),
    ):
        for label in (label for label in known[0] if label in known[1]):
            first, second = ({label: each[label]} for each in known)
            found += [f"{kind} {change}" for change in changes(first, second)]
    if found:
        more = f" and {len(found) - 3} more differences" if len(found) > 3 else ""
        raise UsageError(
            f"{one.path} and {other.path} are no parts of one run: {'; '.join(found[:3])}{more}; "
            "measure both alike, or show them side by side: equibench report RUN RUN"
        )


def _rows(folders: Sequence[RunFolder]) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of every model on every suite."""
    found: dict[tuple[str, str], tuple[Path, pd.DataFrame]] = {}
    for folder, key, part in _parts(folders):
        if key not in found:
            found[key] = folder.path, part
            continue
        first, known = found[key]
        if not _equal(known, part):
            raise UsageError(
                f"{first} and {folder.path} have other numbers of {key[0]} on {key[1]}: leave one "
                "of them out"
            )
    return {key: part for key, (_, part) in found.items()}


def _parts(
    folders: Sequence[RunFolder],
) -> Iterator[tuple[RunFolder, tuple[str, str], pd.DataFrame]]:
    for folder in folders:
        if not folder.has_rows:
            continue
        for (model, suite), part in folder.rows().groupby(["model", "suite"], sort=False):
            yield folder, (str(model), str(suite)), part.reset_index(drop=True)


def _equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether rows are the same; columns that are empty in one may be missing in the other."""
    names = list(dict.fromkeys([*one.columns, *other.columns]))
    return one.reindex(columns=names).equals(other.reindex(columns=names))


def _merged(
    folders: Sequence[RunFolder], rows: Mapping[tuple[str, str], pd.DataFrame]
) -> dict[str, Any]:
    """The manifest of the new folder."""
    parts = [folder.manifest for folder in folders]
    new = dict(parts[0])
    for name in ("files", "summarized", "unmeasured", "shards", "batches", "schema"):
        new.pop(name, None)
    for name in ("models", *_BY_MODEL):
        new[name] = {}
        for part in parts:
            for label, said in part.get(name, {}).items():
                known = new[name].get(label, {})
                new[name][label] = said if name == "models" else {**known, **said}
    configurations = [part["configuration"] for part in parts]
    first, *others = configurations
    blocks = [*first.get("also", ())]
    for each in others:
        blocks += [{field: each[field] for field in ("models", "suites")}, *each.get("also", ())]
    data = {suite: root for each in configurations for suite, root in each.get("data", {}).items()}
    new["configuration"] = {**first, "also": blocks, "data": data}
    suites = {k: v for part in parts for k, v in part["fingerprint"]["suites"].items()}
    versions = {k: v for part in parts for k, v in part["fingerprint"]["metric versions"].items()}
    paths = [str(folder.path.resolve()) for folder in folders]
    new["fingerprint"] = {
        **new["fingerprint"],
        "suites": suites,
        "metric versions": versions,
        "also": blocks,
        "merged": len(folders),  # nothing is resumed there
    }
    new["units"] = {stem_of(*key): 1 for key in rows}
    return {**new, "merged": paths, "state": "running"}
