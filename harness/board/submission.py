"""From a run to an entry: the run is held to the board's settings, and its network looked into."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from equibench.board.conditions import differences, expected
from equibench.board.definition import Board, Group
from equibench.board.entry import CaseErrors, Entry
from equibench.board.network_facts import network_facts, variation
from equibench.cases.suite import Suite
from equibench.errors import UsageError
from equibench.loading.models import LoadedModel
from equibench.loading.suites import case_names
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.metrics.chosen import metrics_of
from equibench.postprocessing.rerun import Rerun
from equibench.registry.specs import Spec
from equibench.runs.manifest import expected as units_of
from equibench.runs.run_folder import RunFolder
from equibench.transforms.transform import element_name

__all__ = ["case_errors", "entry_of", "only_model", "with_variation"]

_CONDITIONS = ("models", "also")
"""Of a run's fingerprint: what an entry does not repeat."""


def only_model(folder: RunFolder, label: str | None) -> str:
    """The model of a run that is meant.

    Raises:
        UsageError: it has several and none is named, or no such one.
    """
    known = list(folder.manifest["models"])
    if label is None and len(known) == 1:
        return str(known[0])
    if label is None or label not in known:
        if not known:
            raise UsageError(f"{folder.path} has nothing measured yet: its command goes on")
        raise UsageError(f"{folder.path} has {', '.join(known)}: name one of its models: -m LABEL")
    return label


def entry_of(
    folder: RunFolder,
    board: Board,
    label: str,
    *,
    trained: str | None = None,
    source: str = "",
    licence: str = "",
) -> Entry:
    """Check a run, look into its network, and put all of it into an entry.

    Args:
        label: the model's.
        trained: on what; empty for untrained. None where the run says it.

    Raises:
        UsageError: the run is not whole, was not measured with the board's settings, or does not
            say whether the network is trained.
        ModelError: the network cannot be built any more, or is another.
    """
    _refuse_shortfall(folder)
    manifest = folder.manifest
    text = _text_of(manifest, label)
    planned = board.planned_as(label, text)
    rows = folder.rows()
    errors = case_errors(rows[rows["model"] == label])
    suites = board.suites_called(dict.fromkeys(each.suite for each in errors), folder.path)
    config = board.run(text, suites, device=manifest["fingerprint"]["device"])
    _refuse_conditions(folder, manifest, config)
    rerun = Rerun(manifest)
    loaded = rerun.model(label)
    identity = manifest["models"][label]
    suite = rerun.suite(errors[0].suite)
    group = planned.group if planned else None
    errors = with_variation(errors, loaded, rerun.suite, Settings.of(config))
    facts = network_facts(
        loaded, suite, case_names(suite, 1), Settings.of(config), _reference(board, suites, group)
    )
    kept = {k: v for k, v in manifest["fingerprint"].items() if k not in _CONDITIONS}
    entry = Entry(
        label=label,
        model=text,
        trained=_trained(folder, label, identity, trained, group),
        source=source or (group.source if group else ""),
        licence=licence or _licence(identity, group),
        identity=identity,
        facts=facts.described,
        conditions=kept,
        environment=manifest["environment"],
        measured=str(manifest.get("stopped", "")),
        refused=_refused(folder, label, errors, kept),
        errors=errors,
    )
    if gap := next(entry.gaps(), ""):
        raise UsageError(
            f"{folder.path} has {gap}, and an entry is whole: see its failures.json, and run the "
            "same command again"
        )
    return entry


def case_errors(rows: pd.DataFrame) -> list[CaseErrors]:
    """A model's rows, a line for each case and motion, in their order."""
    found = []
    keys = ["suite", "transform", "case"]
    quality = [m.column for m in metrics_of(list(rows.columns)) if m.column in rows]
    for (suite, motion, case), part in rows.groupby(keys, sort=False, observed=True):
        first, moved = part.iloc[0], part[part["draw"] > 0]
        labels = "eq_agreement" in moved and bool(moved["eq_agreement"].notna().any())
        found.append(
            CaseErrors(
                suite=str(suite),
                motion=str(motion),
                case=str(case),
                cluster=str(first["cluster"]),
                floor=float(first["floor_nmse"]),
                at=[element_name(row) for row in moved.to_dict("records")],
                nmse=[float(value) for value in moved["eq_nmse"]],
                agreement=[float(value) for value in moved["eq_agreement"]] if labels else [],
                quality={name: float(first[name]) for name in quality if pd.notna(first[name])},
            )
        )
    return found


def with_variation(
    errors: list[CaseErrors],
    loaded: LoadedModel,
    suite_of: Callable[[str], Suite],
    settings: Settings,
) -> list[CaseErrors]:
    """Lines that know how much of the output varies.

    Args:
        suite_of: gives the suites by their labels.
    """
    cases: dict[str, dict[str, None]] = {}
    for each in errors:
        cases.setdefault(each.suite, {})[each.case] = None
    found = {
        suite: variation(loaded, suite_of(suite), list(names), settings)
        for suite, names in cases.items()
    }
    return [replace(each, variation=found[each.suite][each.case]) for each in errors]


def _refuse_shortfall(folder: RunFolder) -> None:
    if folder.shortfall:
        raise UsageError(f"{folder.path} {folder.shortfall}: its command resumes it")
    absent = sorted(set(units_of(folder.manifest)) - set(folder.measured))
    if absent or not folder.has_rows:
        reason = next((f"; {each['message']}" for each in folder.failures), "")
        raise UsageError(
            f"{folder.path} lacks {len(absent)} of {len(folder.units)} units, and an entry is "
            f"whole{reason}"
        )


def _text_of(manifest: Mapping[str, Any], label: str) -> str:
    """A model as it was named on the command line."""
    configuration = manifest["configuration"]
    blocks = [configuration, *(configuration.get("also") or ())]
    for text in (text for block in blocks for text in block.get("models", ())):
        if Spec.parse(text).label == label:
            return str(text)
    raise UsageError(f"the configuration of this run names no model {label!r}: repeat the run")


def _refuse_conditions(folder: RunFolder, manifest: Mapping[str, Any], config: RunConfig) -> None:
    now = expected(config)
    mine = {**manifest["fingerprint"]}
    mine["suites"] = {k: v for k, v in mine["suites"].items() if k in now["suites"]}
    found = list(differences(mine, now))
    if found:
        more = f" and {len(found) - 3} more differences" if len(found) > 3 else ""
        raise UsageError(
            f"{folder.path} was not measured as the board measures: {'; '.join(found[:3])}{more}; "
            f"measure it anew: equibench board measure -m {config.models[0]} --out DIR"
        )


def _reference(board: Board, suites: tuple[str, ...], group: Group | None) -> str:
    """Whose pass is the unit of time on these suites."""
    if group is not None and group.reference:
        return group.reference
    alike = (g.reference for g in board.groups if g.reference and set(suites) & set(g.suites))
    return next(alike, board.reference)


def _trained(
    folder: RunFolder,
    label: str,
    identity: Mapping[str, Any],
    said: str | None,
    group: Group | None,
) -> str:
    weights = str(identity.get("weights", ""))
    if said is not None:
        if not said and weights not in ("", "untrained"):
            raise UsageError(
                f"{label} has the weights {weights}, so it is trained: say on what, with --trained"
            )
        return said
    if group is not None:
        return group.trained
    if weights == "untrained":
        return ""
    if trained := identity.get("trained"):
        return str(trained.get("suite", weights))
    raise UsageError(
        f"{folder.path} does not say whether {label} is trained: add --trained 'on what', or "
        "--untrained"
    )


def _licence(identity: Mapping[str, Any], group: Group | None) -> str:
    said = group.licence if group else ""
    return said or str(identity.get("details", {}).get("licence", ""))


def _refused(
    folder: RunFolder, label: str, errors: list[CaseErrors], conditions: Mapping[str, Any]
) -> dict[str, str]:
    """Motions that the network takes no images of, and why."""
    asked = ["circular", *conditions.get("transforms", {})]
    reasons: dict[str, list[str]] = {}
    for failure in folder.failures:
        if failure.get("model") == label:
            messages = reasons.setdefault(str(failure.get("suite", "")), [])
            messages += [failure["message"]] if failure["message"] not in messages else []
    has = {(each.suite, each.motion) for each in errors}
    return {
        f"{suite} · {motion}": "; ".join(reasons.get(suite, ["no reason was written"])[:1])
        for suite in dict.fromkeys(each.suite for each in errors)
        for motion in asked
        if (suite, motion) not in has
    }
