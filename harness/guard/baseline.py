"""A baseline: the figures that later measurements are held against, as a small JSON file.

Sorted, rounded to six digits and one line for each metric, so that a change reads well in a diff.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equibench.errors import EquibenchError, UsageError
from equibench.evidence.words import rows_of_today
from equibench.runs.manifest import damaged_manifest, newer
from equibench.transforms.transform import element_name

if TYPE_CHECKING:
    import pandas as pd

    from equibench.runs.run_folder import RunFolder
    from equibench.statistics.summary import Column

__all__ = [
    "SCHEMA",
    "STATISTICS",
    "SUITE",
    "Baseline",
    "Key",
    "Line",
    "over_shifts",
    "shift_conditions",
]

SCHEMA = 1
STATISTICS = ("mean", "median", "worst")
SUITE = ("name", "version", "arguments", "cases")
"""What is kept of a suite."""
DIGITS = 6

Key = tuple[str, str, str]
"""Model, suite, group."""

Line = Mapping[str, Mapping[str, Any]]
"""By column: mean, median and worst, where the worst is, and the spread."""


@dataclass(frozen=True)
class Baseline:
    """What was measured, and all that must be equal for a comparison to mean anything.

    Args:
        conditions: frame, precision, shifts and seed; ``transforms`` by label where there are
            others than circular shifts.
        metrics: version, direction and best value of each column.
        suites: name, version, arguments and cases of each suite, by label.
        lines: the figures of each model × suite × group.
        outputs: a sketch of the unshifted outputs; empty for a run folder, which keeps none.
    """

    conditions: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    suites: Mapping[str, Mapping[str, Any]]
    lines: Mapping[Key, Line]
    outputs: Sequence[float] = ()

    @classmethod
    def of_rows(
        cls,
        rows: "pd.DataFrame | Iterable[pd.DataFrame]",
        conditions: Mapping[str, Any],
        suites: Mapping[str, Mapping[str, Any]],
        outputs: Sequence[float] = (),
    ) -> "Baseline":
        """The figures of rows as a run folder holds them, or of parts for a model and suite each.

        A metric whose best value is infinite (PSNR) is left out: there is no distance to it, and
        NMSE says the same.
        """
        import pandas as pd

        from equibench.statistics.summary import columns

        parts = [rows] if isinstance(rows, pd.DataFrame) else rows
        kinds: list[Column] = []
        lines: dict[Key, Line] = {}
        for part in parts:
            kinds = [c for c in columns(list(part.columns)) if math.isfinite(c.best)]
            lines |= _lines(part, kinds)
        used = {column for line in lines.values() for column in line}
        metrics = {
            kind.name: {
                "best": kind.best,
                "higher_is_better": kind.higher_is_better,
                "version": kind.version,
            }
            for kind in kinds
            if kind.name in used
        }
        return cls(conditions, metrics, suites, lines, outputs)

    @classmethod
    def of_run(cls, folder: "RunFolder") -> "Baseline":
        """The figures of a run that has finished.

        Raises:
            UsageError: it has not.
        """
        if folder.shortfall:
            raise UsageError(
                f"{folder.path} {folder.shortfall}: the command that made it resumes it"
            )
        try:
            same = folder.manifest["fingerprint"]
            suites = {
                label: {name: described[name] for name in SUITE}
                for label, described in same["suites"].items()
            }
            chosen = shift_conditions(same["shifts"], same["plan"], same["seed"])
            if "transforms" in same:
                chosen |= {"transforms": dict(same["transforms"]), "seed": same["seed"]}
            asked = {"frame": same["frame"], "precision": same["precision"], **chosen}
        except (KeyError, TypeError) as error:
            raise damaged_manifest(folder.path / "run.json", f"it lacks {error}") from None
        return cls.of_rows(folder.parts(), asked, suites)

    @classmethod
    def read(cls, path: Path, rewrite: str = "--update") -> "Baseline":
        """Read a baseline file, or take the figures of a run folder.

        Args:
            rewrite: the option that writes a baseline, for messages.

        Raises:
            UsageError: there is none, it is damaged, or it has another schema version.
        """
        if path.is_dir():
            from equibench.runs.run_folder import RunFolder

            return cls.of_run(RunFolder(path))
        remedy = f"restore it, or write it anew with {rewrite}"
        try:
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        except FileNotFoundError:
            raise UsageError(f"there is no baseline {path} yet: write it with {rewrite}") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"the baseline {path} is damaged ({error}): {remedy}") from None
        if isinstance(content, dict) and content.get("schema", SCHEMA) != SCHEMA:
            version = content["schema"]
            said = f"the baseline {path} has schema version {version}"
            said += f", this equibench reads version {SCHEMA}"
            if isinstance(version, int) and version > SCHEMA:
                raise UsageError(newer(said))
            raise UsageError(f"not comparable: {said}: write it anew with {rewrite}")
        try:
            lines = {
                (model, suite, group): line
                for model, suites in content["lines"].items()
                for suite, groups in suites.items()
                for group, line in groups.items()
            }
            found = cls(
                dict(content["conditions"]),
                dict(content["metrics"]),
                dict(content["suites"]),
                lines,
                [float(number) for number in content["outputs"]],
            )
            _check(found)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UsageError(f"the baseline {path} is damaged ({reason}): {remedy}") from None
        return found

    def write(self, path: Path) -> None:
        """Write a baseline, all of it or nothing.

        Raises:
            UsageError: a figure is NaN or infinite: nothing could be held against it.
            EquibenchError: it cannot be written.
        """
        for (model, suite, _), line in self.lines.items():
            for column, figures in line.items():
                for statistic in set(STATISTICS) & set(figures):
                    if not math.isfinite(figures[statistic]):
                        raise UsageError(
                            f"no baseline is written: {model} has a {statistic} {column} of "
                            f"{figures[statistic]} on {suite}; mend the model first"
                        )
        nested: dict[str, Any] = {}
        for (model, suite, group), line in self.lines.items():
            nested.setdefault(model, {}).setdefault(suite, {})[group] = line
        content = {
            "schema": SCHEMA,
            "conditions": self.conditions,
            "metrics": self.metrics,
            "suites": self.suites,
            "lines": nested,
            "outputs": list(self.outputs),
        }
        temporary = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(f"{_pretty(content)}\n", encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise EquibenchError(
                f"cannot write the baseline {path}: {error.strerror}; mend that and repeat"
            ) from error


def shift_conditions(shifts: str, plan: str, seed: int) -> dict[str, Any]:
    """How shifts were chosen; the seed only where it matters.

    Args:
        shifts: the plan as the user wrote it.
        plan: the plan in full: the shifts of a file may change under its name.
    """
    from equibench.transforms.shift_plans import parse_shifts

    if shifts.startswith("file:"):
        digest = hashlib.sha256(plan.encode()).hexdigest()[:12]
        return {"shifts": f"{shifts} ({digest})", "seed": None}
    seeded = bool(shifts) and parse_shifts(shifts).seeded
    return {"shifts": shifts, "seed": seed if seeded else None}


def over_shifts(figures: Mapping[str, Any]) -> bool:
    """Whether figures are over shifts: those have a spread; quality has one value for each case."""
    return "sd" in figures


def _lines(rows: "pd.DataFrame", kinds: Sequence["Column"]) -> dict[Key, Line]:
    """The figures of each model × suite × group."""
    from equibench.statistics.summary import KEYS, kept_apart, summarize

    lines: dict[Key, Line] = {}
    rows = kept_apart(rows_of_today(rows))
    parts = dict(list(rows.groupby(KEYS[:3], sort=False)))
    for _, summary in summarize(rows).iterrows():
        model, suite, group = (str(summary[key]) for key in KEYS[:3])
        part = parts[model, suite, group]
        line: dict[str, Mapping[str, Any]] = {}
        for kind in kinds:
            over = part[(part["draw"] > 0) == kind.shifted][kind.name]
            # a model that returns nothing but NaN still has an error
            if kind.name != "eq_nmse" and over.isna().all():
                continue
            figures = {name: float(summary[f"{kind.name}_{name}"]) for name in STATISTICS}
            at = str(summary[f"{kind.name}_worst_case"])
            if kind.shifted:
                at += f" {element_name(summary, f'{kind.name}_worst_')}"
                finite = math.isfinite(figures["worst"])
                # rounded to what is no rounding error, which would show in every diff
                figures["sd"] = round(float(over.std(ddof=0)), 12) if finite else math.nan
            line[kind.name] = figures | {"at": at, "rows": len(over)}
        line["floor"] = {"nmse": float(summary["floor_nmse"])}
        if summary["repeatability"]:
            own = float(summary["repeat_nmse"])
            said = {"repeatability": str(summary["repeatability"]), "repeat_nmse": own}
            line["floor"] = {**line["floor"], **said}
        lines[model, suite, group] = line
    return lines


def _check(baseline: Baseline) -> None:
    """See that the figures which a gate reads are there, as numbers."""
    for condition in ("frame", "precision", "seed", "shifts"):
        baseline.conditions[condition]
    for metric in baseline.metrics.values():
        metric["best"], metric["higher_is_better"], metric["version"]
    for (_, suite, _), line in baseline.lines.items():
        baseline.suites[suite]
        for column, figures in line.items():
            if column == "floor":
                figures["nmse"]
                continue
            baseline.metrics[column]
            for figure in (*STATISTICS, "rows"):
                if not isinstance(figures[figure], int | float):
                    raise TypeError(f"{column} {figure} is no number")


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _pretty(value: object, indent: str = "") -> str:
    """JSON with sorted keys in which what holds no further mapping takes one line."""
    if not isinstance(value, Mapping) or not any(
        isinstance(v, Mapping | list) for v in value.values()
    ):
        return json.dumps(_rounded(value), sort_keys=True, ensure_ascii=False)
    deeper = f"{indent}  "
    members = (
        f"{deeper}{json.dumps(key, ensure_ascii=False)}: {_pretty(value[key], deeper)}"
        for key in sorted(value)
    )
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, float):
        if math.isnan(value):
            return None  # a floor that was not measured
        short = float(f"{value:.{DIGITS}g}")
        return int(short) if short.is_integer() else short
    return value
