"""What runs have measured of the paper's networks, and in which setting."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pandas as pd

from equibench.evidence.words import weakest
from equibench.registry.specs import Spec
from equibench.reports.findings.published_results import AUGMENTATION, original, paper_name
from equibench.reports.findings.run_data import UNTRAINED, RunData
from equibench.reports.paper.definitions import Quantity

__all__ = ["ELSEWHERE", "Measured", "Setting", "measurements"]

ELSEWHERE = "with weights from elsewhere"


@dataclass(frozen=True)
class Setting:
    """What the measurements of one table share.

    Args:
        suite: its registered name.
        data: the suite's version, arguments and cases.
        cases: how many the suite has.
        training: how the networks came to their weights.
    """

    suite: str
    data: str
    cases: int
    shifts: str
    frame: str
    seed: int
    precision: str
    width: float
    training: str

    @property
    def network(self) -> tuple[float, str, str]:
        """What a network brings with it to every suite."""
        return self.width, self.training, self.precision

    @property
    def but_for_shifts(self) -> "Setting":
        return replace(self, shifts="")

    @property
    def name(self) -> str:
        """Data and width, for a title."""
        return f"{self.suite}, width {Fraction(self.width).limit_denominator(1024)}"

    @property
    def text(self) -> str:
        """What else it is."""
        seed = f", seed {self.seed}" if self.seed else ""
        return (
            f"networks {self.training}, {self.precision}; "
            f"shifts {self.shifts}{seed}, {self.frame} frame"
        )


@dataclass(frozen=True, eq=False)
class Measured:
    """One of the paper's networks on one suite.

    Args:
        name: as the paper calls it.
        label, suite, run: what its run calls the two, and which run that is.
        domain: the original of the suite that it was trained on; empty where that is not known.
        recipe: what it was trained with, but for random shifts, which its name tells.
        groups: its lines of the run's summary, by group.
    """

    name: str
    label: str
    suite: str
    run: str
    domain: str
    setting: Setting
    recipe: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Any]]

    @property
    def cases(self) -> int:
        return sum(int(line["cases"]) for line in self.groups.values())

    @property
    def comparisons(self) -> int:
        """Cases × shifts."""
        return sum(int(line["shifts"]) for line in self.groups.values())

    @property
    def evidence(self) -> str:
        """How the worst of all circular shifts is known; empty where it is not."""
        return weakest(str(line["evidence"]) for line in self.groups.values())

    def value(self, quantity: Quantity, group: str) -> float | None:
        """A quantity in one group, or over all cases (``all``); None where it was not measured."""
        lines = list(self.groups.values()) if group == "all" else [self.groups.get(group, {})]
        lines = [line for line in lines if pd.notna(line.get(f"{quantity.column}_worst_case"))]
        if not lines:
            return None
        found = np.array([line[f"{quantity.column}_{quantity.statistic}"] for line in lines])
        if quantity.statistic == "worst":
            return float(found.max())
        return float(np.average(found, weights=[line["cases"] for line in lines]))


def measurements(run: str, data: RunData) -> Iterator[Measured]:
    """The paper's networks in a run, suite by suite."""
    data = data.circular
    if data.summary.empty:
        return
    described: Mapping[str, Mapping[str, Any]] = data.manifest.get("models", {})
    specs = data.specs("models")
    for (label, suite), part in data.summary.groupby(["model", "suite"], sort=False):
        entry = described.get(str(label), {})
        name = paper_name(entry)
        if name is None:
            continue
        trained = entry.get("trained") or {}
        first = part.iloc[0]
        yield Measured(
            name=name,
            label=str(label),
            suite=str(suite),
            run=run,
            domain=original(str(trained.get("suite", ""))),
            setting=Setting(
                **_suite(data, str(suite), int(part["cases"].sum())),
                shifts=str(data.manifest.get("configuration", {}).get("shifts", "")),
                frame=str(first["frame"]),
                seed=int(data.manifest.get("configuration", {}).get("seed", 0)),
                precision=str(first["precision"]),
                width=float(specs.get(str(label), Spec("")).arguments.get("width", 1)),
                training=_training(entry),
            ),
            recipe={k: v for k, v in trained.get("recipe", {}).items() if k != AUGMENTATION},
            groups={
                str(line["group"]): cast("Mapping[str, Any]", line)
                for line in part.to_dict("records")
            },
        )


def _suite(data: RunData, label: str, measured: int) -> dict[str, Any]:
    described = data.manifest.get("fingerprint", {}).get("suites", {}).get(label, {})
    arguments = "".join(f", {k}={v}" for k, v in described.get("arguments", {}).items())
    cases = str(described.get("cases", measured))
    return {
        "suite": data.suite_names[label],
        "data": f"version {described.get('version')}{arguments}, {cases} cases",
        "cases": int(cases.split()[0]),
    }


def _training(entry: Mapping[str, Any]) -> str:
    trained = entry.get("trained")
    if trained:
        preset = f" (preset {trained['preset']})" if trained.get("preset") else ""
        return f"trained on {trained.get('suite')}{preset}"
    return UNTRAINED if entry.get("weights") == UNTRAINED else ELSEWHERE
