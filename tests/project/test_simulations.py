"""The tables of intervals and tests in the documentation are those of the stored simulation."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/measurement.md").read_text(encoding="utf-8")
ALARMS = pd.read_csv(ROOT / "results/simulations/tests.csv")
COVERAGE = pd.read_csv(ROOT / "results/simulations/intervals.csv")


@pytest.fixture(scope="module")
def tool():
    file = ROOT / "tools/simulate_statistics.py"
    spec = importlib.util.spec_from_file_location("simulate_statistics", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_documentation_has_the_stored_coverage(tool):
    assert tool.coverage_table(COVERAGE) in DOCS


def test_the_documentation_has_the_stored_false_alarms(tool):
    assert tool.alarms_table(ALARMS) in DOCS


def test_intervals_of_populations_that_all_get_one_cover_within_three_percent():
    every = COVERAGE[COVERAGE["with_interval"] == 1]
    assert len(every) >= 30
    assert every["coverage"].between(0.92, 0.98).all()


def test_false_alarms_are_at_most_six_percent():
    tested = ALARMS["false_alarms"].dropna()
    assert len(tested) >= 15
    assert tested.max() <= 0.06
