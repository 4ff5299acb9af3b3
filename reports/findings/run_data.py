"""What every report starts from: one run, read once, in the order in which it was asked for."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from equibench.registry.specs import Spec, specs_of
from equibench.runs.run_folder import RunFolder
from equibench.statistics.summary import kept_apart
from equibench.transforms.transform import CIRCULAR

__all__ = ["UNTRAINED", "RunData", "short_names", "shorten"]

UNTRAINED = "untrained"
"""What a manifest says of weights that are still those of the initialisation."""


@dataclass(frozen=True, eq=False)
class RunData:
    """A run folder in memory.

    Args:
        load: reads the rows.
        summary: one line for each model × suite × group, suite by suite, and in each suite the
            models as they were named; empty where every unit failed. Groups tell transforms
            apart.
        manifest: ``run.json``.
        failures: ``failures.json``.
        shortfall: what an unfinished run does not hold, as ``RunFolder.shortfall``.
    """

    load: Callable[[], pd.DataFrame]
    summary: pd.DataFrame
    manifest: Mapping[str, Any]
    failures: Sequence[Mapping[str, Any]]
    shortfall: str = ""

    @classmethod
    def read(cls, run: RunFolder) -> "RunData":
        """Read a run folder; one without rows is no error, for its failures can be shown."""
        summary = kept_apart(run.summary()) if run.has_rows else pd.DataFrame()
        return cls(
            lambda: kept_apart(run.rows()), summary, run.manifest, run.failures, run.shortfall
        )

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One for each model × suite × case × shift, in the order of the summary.

        There may be millions: they are read when they are needed.
        """
        return self.load() if len(self.summary) else pd.DataFrame()

    @cached_property
    def shifted(self) -> pd.DataFrame:
        """The rows of shifts, without the unshifted pass of each case."""
        return self.rows[self.rows["draw"] > 0] if len(self.rows) else self.rows

    @property
    def covering(self) -> bool:
        """Whether anything was asked of all circular shifts."""
        known = len(self.summary) and (self.summary["evidence"] != "").any()
        return bool(known or self.manifest.get("probes"))

    @cached_property
    def circular(self) -> "RunData":
        """What the run says of circular shifts alone."""
        if not len(self.summary) or (self.summary["transform"] == CIRCULAR).all():
            return self
        mine = self.summary["transform"] == CIRCULAR

        def load() -> pd.DataFrame:
            return self.rows[self.rows["transform"] == CIRCULAR].reset_index(drop=True)

        return replace(self, load=load, summary=self.summary[mine].reset_index(drop=True))

    def of_models(self, models: Iterable[str]) -> "RunData":
        """The same run with some of its models only."""
        chosen = set(models)
        summary = self.summary[self.summary["model"].isin(chosen)].reset_index(drop=True)

        def load() -> pd.DataFrame:
            return self.rows[self.rows["model"].isin(chosen)].reset_index(drop=True)

        return replace(self, load=load, summary=summary)

    @cached_property
    def models(self) -> list[str]:
        return self._labels("model")

    def models_of(self, suite: str) -> list[str]:
        """The models that a suite has rows of, in the order of the run."""
        mine = set(self.summary.loc[self.summary["suite"] == suite, "model"])
        return [model for model in self.models if model in mine]

    @cached_property
    def suites(self) -> list[str]:
        return self._labels("suite")

    @property
    def weights(self) -> dict[str, str]:
        """What is known of each model's weights, by label."""
        described = self.manifest.get("models", {})
        return {label: str(entry.get("weights", "")) for label, entry in described.items()}

    @property
    def untrained(self) -> set[str]:
        """The models whose weights are those of the initialisation."""
        return {label for label, weights in self.weights.items() if weights == UNTRAINED}

    @property
    def total_stride(self) -> int:
        """The largest that a model declares; 16 where that is no power of two."""
        described = self.manifest.get("models", {}).values()
        declared = [entry.get("details", {}).get("total_stride") for entry in described]
        largest = max((stride for stride in declared if isinstance(stride, int)), default=0)
        return largest if largest > 0 and largest & (largest - 1) == 0 else 16

    @cached_property
    def suite_names(self) -> dict[str, str]:
        """The registered name of each suite, by the label that rows carry."""
        described = self.manifest.get("fingerprint", {}).get("suites", {})
        return {label: described.get(label, {}).get("name", label) for label in self.suites}

    def specs(self, field: str) -> dict[str, Spec]:
        """What was asked for as ``models`` or ``suites``, by label; further blocks included."""
        return specs_of(self.manifest.get("configuration", {}), field)

    def _labels(self, column: str) -> list[str]:
        return list(self.summary[column].drop_duplicates()) if len(self.summary) else []


def shorten(name: str, width: int) -> str:
    """A name on one line of at most ``width`` characters, cut in the middle."""
    name = " ".join(name.split())
    if len(name) <= width:
        return name
    head = (width - 1) // 2
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """Names cut by ``shorten``; those that would look alike are told apart by their position."""
    short = {name: shorten(name, width) for name in names}
    alike = Counter(short.values())
    return {
        name: f"{shorten(name, width - 4)} #{number}" if alike[short[name]] > 1 else short[name]
        for number, name in enumerate(names, start=1)
    }
