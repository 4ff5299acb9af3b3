"""The guide has the stored scores of mutation, and every survivor is explained."""

import os
import runpy
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools/mutation_table.py"))
SCORES, SURVIVORS = TOOL["read"]("scores"), TOOL["read"]("survivors")


def test_the_guide_has_the_stored_scores():
    assert TOOL["table"](SCORES) in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_modules_with_a_score_and_the_tests_that_they_answer_to_are_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    modules = project["tool"]["mutate"]
    assert {row["module"] for row in SCORES} <= set(modules)
    for module, tests in modules.items():
        assert [file for file in (module, *tests) if not (ROOT / file).exists()] == []


def test_every_mutant_that_survived_is_stored_with_its_reason():
    survived = Counter(row["module"] for row in SURVIVORS)
    for row in SCORES:
        assert survived[row["module"]] == int(row["tried"]) - int(row["killed"]), row["module"]
    assert [(row["before"], row["after"]) for row in SURVIVORS if not row["why"]] == []


def test_at_least_nine_of_ten_mutants_are_killed():
    tried, killed = (sum(int(row[name]) for row in SCORES) for name in ("tried", "killed"))
    assert killed / tried >= 0.9


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The tool, with a module, a guide and results of its own."""
    tool = runpy.run_path(str(ROOT / "tools/mutation_table.py"))
    (tmp_path / "m.py").write_text("x = 1\n")
    (tmp_path / "pyproject.toml").write_text('[tool.mutate]\n"m.py" = []\n"new.py" = []\n')
    (tmp_path / "GUIDE.md").write_text(f"before\n\n{tool['HEAD']}\n\nafter\n")
    places = {"ROOT": tmp_path, "FOLDER": tmp_path / "stored", "GUIDE": tmp_path / "GUIDE.md"}
    tool["main"].__globals__.update(places)
    return tool


def test_reasons_stay_with_their_survivors_when_a_module_is_mutated_again(table, tmp_path):
    table["store"]("m.py", 9, 8, [("a", "b"), ("c", "d")])
    stored = tmp_path / "stored/survivors.csv"
    stored.write_text(stored.read_text().replace("a,b,", "a,b,it is the same"))
    (tmp_path / "n.py").write_text("")
    table["store"]("n.py", 1, 1, [])
    table["store"]("m.py", 9, 9, [("e", "f"), ("a", "b")])
    assert [(r["before"], r["why"]) for r in table["read"]("survivors")] == [
        ("e", ""), ("a", "it is the same"),
    ]  # fmt: skip
    assert [(r["module"], r["killed"]) for r in table["read"]("scores")] == [
        ("m.py", "7"), ("n.py", "1"),
    ]  # fmt: skip


def test_scores_that_are_older_than_the_code_are_named(table, tmp_path, capsys):
    table["store"]("m.py", 9, 8, [("a", "b")])
    table["main"]()
    assert capsys.readouterr().out == ""
    (tmp_path / "m.py").write_text("x = 1  # the same\n")
    table["main"]()
    assert capsys.readouterr().out == ""
    (tmp_path / "m.py").write_text("x = 2\n")
    table["main"]()
    assert capsys.readouterr().out == "m.py has changed since\n"
    assert (tmp_path / "GUIDE.md").read_text() == (
        "before\n\n| module | mutants | tried | killed |\n|---|---|---|---|\n"
        "| `m.py` | 9 | 8 | 88% |\n| `new.py` | | none yet | |\n\nafter\n"
    )


def test_a_fault_that_no_test_passes_through_survives(monkeypatch):
    pytest.importorskip("mutmut")
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = runpy.run_path(str(ROOT / "tools/mutate.py"))
    assert tool["_run"](session=None, tests=[], prepare=lambda: None) == ""


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_runs_the_tests_of_a_mutant_may_raise_and_that_kills_nothing(monkeypatch):
    pytest.importorskip("mutmut")
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = runpy.run_path(str(ROOT / "tools/mutate.py"))
    raised = tool["_forked"](lambda: [][1], limit=60)
    assert raised == (tool["RAISED"], "IndexError('list index out of range')")
    assert tool["_forked"](lambda: os._exit(1), limit=60) == (1, "")
    assert tool["_forked"](lambda: "test_of_it", limit=60) == (0, "test_of_it")
