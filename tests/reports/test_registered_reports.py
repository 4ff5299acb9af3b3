"""Reports as entry points, as files, and as the command picks them."""

import subprocess
import sys
import tomllib

import pytest

from equibench.registry.registries import REPORTS
from equibench.reports.findings.run_data import short_names, shorten
from equibench.reports.page.provenance import command


def test_a_run_with_models_for_suites_of_their_own_is_repeated_from_a_file():
    fields = {
        "models": ["unet-aps,label='a, b'"],
        "suites": ["mri-sample"],
        "also": [{"models": ["unet-aps,label=ct"], "suites": ["ct-sample", 'x,path="ü\\n"']}],
        "shifts": "paper",
        "limit": None,
        "seed": 3,
        "data": {"fastmri": "/private/place"},
    }
    file, _, line = command(fields).rpartition("\n\n")
    assert line == "equibench run --config bench.toml"
    wanted = {key: value for key, value in fields.items() if value is not None}
    assert tomllib.loads(file) == wanted | {"data": {"fastmri": "DIR"}}


def test_a_long_name_is_cut_in_the_middle():
    assert shorten("a" * 10 + "\n" + "b" * 10, 9) == "aaaa…bbbb"


def test_names_that_would_look_alike_are_numbered():
    names = ["a" * 9 + middle + "b" * 9 for middle in "xy"] + ["short"]
    assert list(short_names(names, 11).values()) == ["aaa…bbb #1", "aaa…bbb #2", "short"]


@pytest.mark.parametrize("name", ["html", "figures", "tables"])
def test_reports_are_registered_and_can_run(name):
    entry = REPORTS.get(name)
    assert entry.unavailable() is None
    assert entry.info.extra == {"tables": None}.get(name, "report")


@pytest.mark.long
def test_importing_reports_imports_nothing_that_draws():
    code = (
        "import sys, equibench.reports.page.page; print([m for m in sys.argv if m in sys.modules])"
    )
    heavy = ["matplotlib", "seaborn", "jinja2", "tabulate"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_only_picks_reports_tables_and_figures(cli, two_suites, tmp_path):
    assert cli("report", "run", "-o", "out", "--only", "ranking,leaderboard") == (0, "", "")
    written = sorted(file.name for file in (tmp_path / "out").rglob("*.*"))
    assert written == [
        *("leaderboard.csv", "leaderboard.md", "leaderboard.tex"),
        *("ranking-column.pdf", "ranking-column.png", "ranking.pdf", "ranking.png"),
    ]
    status, out, _ = cli("report", "run", "-o", "page", "--only", "html", "--image-seconds", "0")
    assert (status, out) == (0, "report: page/index.html\n")
    assert [file.name for file in (tmp_path / "page").iterdir()] == ["index.html"]
    status, _, err = cli("report", "run", "-o", "out", "--only", "heat")
    assert status == 2
    assert "--only heat: choose among figures, html, tables, summary, leaderboard, " in err
