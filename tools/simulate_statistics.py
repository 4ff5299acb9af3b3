"""Simulate what the intervals cover and how often the tests raise a false alarm.

python tools/simulate_statistics.py [REPETITIONS]

Writes ``results/simulations/*.csv`` and the two tables of ``docs/measurement.md``. Every setting
has a seed of its own name.
"""

import re
import sys
from collections.abc import Callable
from math import exp
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from equibench.foundation.seeds import generator
from equibench.statistics.confidence_intervals import interval
from equibench.statistics.paired_tests import SIGNIFICANCE, by_cluster, could_be_significant, paired

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results/simulations"
DOCS = ROOT / "docs/measurement.md"

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

CLUSTERS = (8, 12, 20, 50, 200)
ROUNDING = 1e-15


def normal(random: np.random.Generator, n: int) -> Floats:
    return 10 + random.standard_normal(n)


def lognormal(spread: float) -> Draw:
    return lambda random, n: random.lognormal(0, spread, n)


def flips(share: float, spread: float = 0.5) -> Draw:
    """A share of clusters flips, by about 1e-3; the others are rounding."""

    def draw(random: np.random.Generator, n: int) -> Floats:
        large = 1e-3 * random.lognormal(0, spread, n)
        return np.where(random.random(n) < share, large, ROUNDING * random.lognormal(0, 0.3, n))

    return draw


POPULATIONS: dict[str, tuple[Draw, float, int]] = {
    "normal": (normal, 10.0, 1),
    "lognormal, σ 0.5": (lognormal(0.5), exp(0.125), 1),
    "lognormal, σ 1": (lognormal(1.0), exp(0.5), 1),
    "lognormal, σ 1.5": (lognormal(1.5), exp(1.125), 1),
    "lognormal, σ 1.5, patients of 1 to 8 cases": (lognormal(1.5), exp(1.125), 8),
    "exponential": (lambda random, n: random.exponential(1, n), 1.0, 1),
    "rare flips, 1 %": (flips(0.01), 0.01e-3 * exp(0.125), 1),
    "rare flips, 5 %": (flips(0.05), 0.05e-3 * exp(0.125), 1),
    "rare flips, 20 %": (flips(0.2), 0.2e-3 * exp(0.125), 1),
    "flips, 50 %": (flips(0.5), 0.5e-3 * exp(0.125), 1),
    "flips, 80 %": (flips(0.8), 0.8e-3 * exp(0.125), 1),
}
"""How a cluster's mean is drawn, its expectation, and how many cases a cluster has at most."""


def coverage(population: str, clusters: int, repetitions: int) -> dict[str, object]:
    """How many samples have an interval, and how many of those cover the mean."""
    draw, mean, most = POPULATIONS[population]
    random = generator("coverage", population, clusters)
    given = covered = 0
    for _ in range(repetitions):
        values = draw(random, clusters)
        counts = random.integers(1, most + 1, clusters).astype(float)
        found = interval(values * counts, counts, beyond=values > 1e-11)
        if not found.reason:
            given += 1
            covered += found.low <= mean <= found.high
    return {
        "population": population,
        "clusters": clusters,
        "samples": repetitions,
        "with_interval": given / repetitions,
        "coverage": covered / given if given else np.nan,
        "wrong": (given - covered) / repetitions,
    }


SETTINGS: dict[str, tuple[int, int, int]] = {
    "20 cases, one shift each": (20, 1, 1),
    "8 cases that share nothing, 10 shifts each": (8, 1, 10),
    "8 patients of 5 cases, 10 shifts each": (8, 5, 10),
    "30 patients of 5 cases, 3 shifts each": (30, 5, 3),
    "6 cases, 10 shifts each": (6, 1, 10),
    "5 cases, 10 shifts each": (5, 1, 10),
    "1 patient of 10 cases, 10 shifts each": (1, 10, 10),
}
"""Clusters, cases of each, shifts of each."""

ERRORS = ("normal", "lognormal", "rare flips")


def alarms(setting: str, errors: str, effect: float, repetitions: int) -> float:
    """How often the test finds a difference; NaN where it never could.

    Args:
        effect: the second network's errors are so many times the first's (log-scale, in units of
            the spread of a cluster's difference).
    """
    clusters, cases, shifts = SETTINGS[setting]
    random = generator("alarms", setting, errors, effect)
    case = np.repeat(np.arange(clusters * cases), shifts)
    cluster = case // cases
    if 2.0 ** (1 - clusters) >= SIGNIFICANCE:
        return np.nan
    found = 0
    for _ in range(repetitions):
        # what a patient's, a case's and a shift's errors have in common
        parts = random.standard_normal(clusters)[cluster]
        parts = parts + 0.5 * random.standard_normal(clusters * cases)[case]
        parts = parts + 0.5 * random.standard_normal(len(case)) + effect
        if errors == "normal":
            difference = parts
        else:
            size = random.lognormal(0, 1, clusters)[cluster]
            difference = size * np.sinh(parts)  # of e^a and e^b, with a mean of one
        if errors == "rare flips":
            difference = np.where(random.random(clusters)[cluster] < 0.3, difference, 0.0)
        test = paired(by_cluster(difference, case, cluster))
        found += could_be_significant([test])[0] and test.p < SIGNIFICANCE
    return found / repetitions


def tests(repetitions: int) -> pd.DataFrame:
    lines = []
    for setting in SETTINGS:
        for errors in ERRORS:
            line: dict[str, object] = {"setting": setting, "errors": errors}
            line["samples"] = repetitions
            for name, effect in (("false_alarms", 0.0), ("power_1", 1.0), ("power_2", 2.0)):
                line[name] = alarms(setting, errors, effect, repetitions)
            lines.append(line)
    return pd.DataFrame(lines)


def intervals(repetitions: int) -> pd.DataFrame:
    return pd.DataFrame(
        coverage(population, clusters, repetitions)
        for population in POPULATIONS
        for clusters in CLUSTERS
    )


def coverage_table(results: pd.DataFrame) -> str:
    """Coverage by population and number of clusters, in Markdown."""
    heading = "| coverage (samples with an interval) | " + " | ".join(map(str, CLUSTERS)) + " |"
    lines = [heading, "|---" * (len(CLUSTERS) + 1) + "|"]
    for population, part in results.groupby("population", sort=False):
        cells = []
        for row in part.itertuples():
            if row.with_interval < 0.005:
                cells.append("none")
            else:
                share = "" if row.with_interval > 0.995 else f" ({row.with_interval:.0%})"
                cells.append(f"{row.coverage:.1%}{share}")
        lines.append(f"| {population} | {' | '.join(cells)} |")
    return "\n".join(lines)


def alarms_table(results: pd.DataFrame) -> str:
    """False alarms and power by setting and kind of error, in Markdown."""
    heading = "| false alarms · power at one and two spreads | " + " | ".join(ERRORS) + " |"
    lines = [heading, "|---" * (len(ERRORS) + 1) + "|"]
    for setting, part in results.groupby("setting", sort=False):
        cells = [
            "too few to test"
            if np.isnan(row.false_alarms)
            else f"{row.false_alarms:.1%} · {row.power_1:.0%}, {row.power_2:.0%}"
            for row in part.itertuples()
        ]
        lines.append(f"| {setting} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Simulate, and write figures and tables."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, simulate, table in (
        ("tests", tests, alarms_table),
        ("intervals", intervals, coverage_table),
    ):
        results = simulate(repetitions)
        results.to_csv(FOLDER / f"{name}.csv", index=False)
        text, written = DOCS.read_text(encoding="utf-8"), table(results)
        first = re.escape(written.split(" | ")[0])
        pattern = re.compile(rf"{first} \|.*?(?=\n\n)", re.DOTALL)
        DOCS.write_text(pattern.sub(written, text), encoding="utf-8")


if __name__ == "__main__":
    main()
