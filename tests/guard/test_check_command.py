"""``equibench check``: a run against its baseline."""

import io
import json
import sys
from pathlib import Path

import pytest

from equibench.errors import UsageError
from equibench.guard.baseline import Baseline
from equibench.guard.gate import judge

pytestmark = pytest.mark.slow

NETS = """
def net(strength=0.5):
    gain = torch.linspace(1 - strength, 1, 32)
    return lambda x: x * gain
def nan():
    return lambda x: x * torch.nan
"""


@pytest.fixture
def run(cli, plugin):
    """Measure one of the models above, into a folder."""
    path = plugin(NETS)

    def call(out, model="net", *options):
        cli("run", "-m", f"{path}:{model},label=net", "-s", "noise,n=2,size=32", "--out", out,
            "--shifts", "grid:max=2,step=1", *options)  # fmt: skip

    return call


def test_check_without_a_baseline_says_how_to_write_one(cli, run):
    run("now")
    status, _, err = cli("check", "now", "--against", "base.json")
    assert (status, err) == (
        2, "equibench: there is no baseline base.json yet: write it with --update\n"
    )  # fmt: skip


class Terminal(io.StringIO):
    """What is typed at a terminal."""

    def isatty(self):
        return True


def test_check_passes_until_a_change_makes_it_worse_and_update_accepts_it(cli, run, monkeypatch):
    run("before")
    assert cli("check", "before", "--against", "base.json", "--update")[:2] == (
        0, "baseline: base.json\n"
    )  # fmt: skip
    assert cli("check", "before", "--against", "base.json")[0] == 0
    run("now", "net,strength=0.9")
    status, out, _ = cli("check", "now", "--against", "base.json")
    assert status == 1
    assert out.splitlines()[-1] == "now against base.json: 6 of 6 figures fail"
    assert cli("check", "now", "--against", "before")[0] == 1
    assert cli("check", "now", "--against", "before", "--tolerance", "*=1000")[0] == 0
    assert cli("check", "before", "--against", "now")[1].splitlines()[-1] == (
        "before against now: all 6 pass, 6 are better"
    )
    before = Path("base.json").read_bytes()
    status, out, err = cli("check", "now", "--against", "base.json", "--update")
    assert status == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == ["regression"] * 6
    assert err == (
        "base.json is not updated: 6 figures would be worse; if this is meant, add --worse\n"
    )
    assert Path("base.json").read_bytes() == before
    assert cli("check", "now", "--against", "base.json", "--worse")[0] == 2
    for answer, status in (("n\n", 1), ("y\n", 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        ended, _, err = cli("check", "now", "--against", "base.json", "--update")
        assert ended == status
        assert err.startswith("store 6 figures that are worse? [y/N]:")
        assert (Path("base.json").read_bytes() == before) == bool(status)
    Path("base.json").write_bytes(before)
    status, out, _ = cli("check", "now", "--against", "base.json", "--update", "--worse")
    assert status == 0
    assert out.splitlines()[-1] == "baseline: base.json"
    assert cli("check", "now", "--against", "base.json")[0] == 0


def test_a_baseline_that_cannot_be_read_is_replaced_and_that_is_said(cli, run):
    run("now")
    Path("base.json").write_text("{", encoding="utf-8")
    status, out, err = cli("check", "now", "--against", "base.json", "--update")
    assert (status, out) == (0, "baseline: base.json\n")
    assert "the baseline base.json is damaged" in err
    assert err.endswith("; it is replaced\n")


def test_an_update_says_what_cannot_be_compared_with_the_baseline_it_replaces(cli, run):
    run("now")
    assert cli("check", "now", "--against", "base.json", "--update")[0] == 0
    content = json.loads(Path("base.json").read_text(encoding="utf-8"))
    content["conditions"]["frame"] = "reference"
    Path("base.json").write_text(json.dumps(content), encoding="utf-8")
    status, out, _ = cli("check", "now", "--against", "base.json", "--update")
    assert status == 0
    assert out.splitlines() == [
        "not comparable, frame was reference and is canonical",
        "baseline: base.json",
    ]


def test_comparing_nothing_is_an_error():
    nothing = Baseline({"frame": "canonical", "precision": "fp32", "shifts": "all"}, {}, {}, {})
    with pytest.raises(UsageError, match="nothing is compared"):
        judge(nothing, nothing)


def test_check_takes_tolerances_from_toml_and_the_command_line_wins(cli, run, tmp_path):
    run("before")
    run("now", "net,strength=0.9")
    (tmp_path / "gate.toml").write_text("[[tolerance]]\nrelative = 1000\n")
    held = ("check", "now", "--against", "before", "--config", "gate.toml")
    assert cli(*held)[0] == 0
    assert cli(*held, "--tolerance", "eq_nmse=0.1")[0] == 1


@pytest.mark.parametrize("format", ["table", "json", "junit", "github"])
def test_check_writes_every_format(cli, run, format):
    run("now")
    status, out, _ = cli("check", "now", "--against", "now", "--format", format)
    assert status == 0
    assert "now against now" in out


def test_what_cannot_be_a_baseline_is_refused(cli, run, tmp_path):
    run("now")
    run("broken", "nan")
    manifest = tmp_path / "now/run.json"
    assert cli("check", "now", "--against", "broken", "--update")[2] == (
        "equibench: --update writes a file, and broken is a folder: name a file\n"
    )
    assert cli("check", "broken", "--against", "base.json", "--update")[2].startswith(
        "equibench: no baseline is written: 2 units of broken failed, first: net has an NMSE of nan"
    )
    manifest.write_text(manifest.read_text().replace('"finished"', '"interrupted"'))
    status, _, err = cli("check", "now", "--against", "base.json")
    assert (status, err) == (
        2, "equibench: now is interrupted: the command that made it resumes it\n"
    )  # fmt: skip


def test_a_model_that_returns_nan_fails_the_check(cli, run):
    run("before")
    run("now", "nan")
    status, out, _ = cli("check", "now", "--against", "before", "--format", "github")
    assert status == 1
    assert "mean eq_nmse, was 0.01386 and is nan" in out


def test_a_baseline_that_cannot_be_written_says_why(cli, run, tmp_path):
    run("now")
    (tmp_path / "file").write_text("")
    status, _, err = cli("check", "now", "--against", "file/base.json", "--update")
    assert (status, err) == (
        1,
        "equibench: cannot write the baseline file/base.json: File exists; mend that and repeat\n",
    )
