"""Shards: what one of them lacks is said everywhere, and another split finishes it."""

import pytest
from net_runs import COMMANDS, NETS, OPTIONS, Stop, finish

from equibench.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.mark.long
@pytest.mark.parametrize("order", [("1/2", "2/2"), ("2/2", "1/2")])
def test_a_run_of_which_a_shard_was_interrupted_says_so_everywhere(cli, nets, order, monkeypatch):
    first, second = order
    assert finish(cli, "--shard", first)[0] == 0
    with monkeypatch.context() as patch:
        Stop(patch, "00001" if second == "1/2" else "00002")
        assert finish(cli, "--shard", second)[0] == 130
    folder = RunFolder("run")
    assert folder.manifest["state"] == "interrupted"
    missing = len(folder.lacking)
    assert 0 < missing < 3
    short = f"run is interrupted and lacks {missing} of 6 units"
    for name, command in COMMANDS.items():
        if name == "run":
            continue
        status, _, err = cli(*command)
        if name in ("table", "report"):
            assert (status, err) == (0, f"not all of it: {short}; its command resumes it\n")
        else:
            refusal = f"equibench: {short}: the command that made it resumes it\n"
            assert (status, err) == (2, refusal), name
    assert not (nets / "new.json").exists()
    assert finish(cli, "--shard", second)[0] == 0
    assert RunFolder("run").manifest["state"] == "finished"
    assert RunFolder("run").lacking == []
    assert cli("table", "run")[2] == ""


def test_a_shard_that_has_not_run_yet_is_missed(cli, nets):
    finish(cli, "--shard", "1/2")
    status, _, err = cli("table", "run")
    assert (status, err) == (
        0, "not all of it: run is running and lacks 3 of 6 units; its command resumes it\n"
    )  # fmt: skip
    assert cli("check", "run", "--against", "new.json", "--update")[0] == 2


@pytest.mark.long
def test_another_split_finishes_what_the_first_began(cli, nets):
    finish(cli, "--shard", "1/2")
    for shard in ("1/3", "2/3", "3/3"):
        assert RunFolder("run").manifest["state"] == "running"
        finish(cli, "--shard", shard)
    assert RunFolder("run").manifest["state"] == "finished"
    assert len(RunFolder("run").rows()) == 6 * 41


def test_a_refused_shard_does_not_make_a_run_finished(cli, nets):
    finish(cli, "--shard", "1/2")
    (nets / "net.py").write_text(NETS.replace("2 * x", "3 * x"))
    import sys

    for name in [n for n in sys.modules if n.startswith("equibench_file_")]:
        del sys.modules[name]
    assert finish(cli, "--shard", "2/2")[0] == 2
    assert RunFolder("run").manifest["state"] != "finished"
    assert len(RunFolder("run").lacking) == 3


def test_units_that_a_shard_gave_up_are_told_with_the_failures_and_not_missed(cli, nets):
    (nets / "net.py").write_text(NETS.replace("2 * x * x", "1 / 0"))
    for shard in ("1/2", "2/2"):
        assert finish(cli, "--shard", shard)[0] == 1
    folder = RunFolder("run")
    assert (folder.manifest["state"], folder.lacking) == ("finished", [])
    status, _, err = cli("table", "run")
    assert status == 0
    assert err.startswith("failed: net:other raised ZeroDivisionError")
    status, _, err = cli("check", "run", "--against", "new.json", "--update")
    assert status == 2
    assert "no baseline is written: " in err


def test_shards_whose_machines_tune_to_different_batches_share_the_first_one_s(
    cli, nets, monkeypatch
):
    monkeypatch.setattr("equibench.runs.units.worth_tuning", lambda device, forwards: True)
    for shard, batch in (("1/2", 4), ("2/2", 8)):
        monkeypatch.setattr("equibench.runs.units.tuned", lambda *a, batch=batch: batch)
        assert finish(cli, "--shard", shard)[0] == 0
    assert set(RunFolder("run").rows()["batch"]) == {4}


def test_a_shard_that_was_slower_to_decide_measures_again(cli, nets, monkeypatch):
    """Another shard decides while this one measures its first unit."""
    monkeypatch.setattr("equibench.runs.units.worth_tuning", lambda device, forwards: True)

    def tuned(*arguments):
        folder = RunFolder("run")
        folder.update_manifest(lambda m: m.update(batches=dict.fromkeys(m["units"], 4)))
        return 8

    monkeypatch.setattr("equibench.runs.units.tuned", tuned)
    assert finish(cli, "--shard", "1/2")[0] == 0
    assert set(RunFolder("run").rows()["batch"]) == {4}


def test_data_that_vanish_leave_no_gap_without_a_word(cli, nets, monkeypatch):
    """A suite's data were there for the first, interrupted command, and are not for the second."""
    (nets / "mine.py").write_text(
        "from pathlib import Path\n"
        "from equibench.errors import UnavailableError\n"
        "from equibench.suites.noise import Noise\n"
        "def mine():\n"
        "    if not Path('data').exists():\n"
        "        raise UnavailableError('suite mine has no data')\n"
        "    return Noise(n=3, size=16)\n"
    )
    (nets / "data").touch()
    command = (*OPTIONS, "-s", "mine.py:mine,label=mine", "--out", "run")
    with monkeypatch.context() as patch:
        Stop(patch, "00002")
        assert cli(*("run", *command))[0] == 130
    (nets / "data").unlink()
    assert cli("run", *command)[::2] == (1, "failed: suite mine has no data\n")
    folder = RunFolder("run")
    assert (folder.manifest["state"], folder.lacking) == ("finished", [])
    assert cli("table", "run")[2] == "failed: suite mine has no data\n"
    assert cli("check", "run", "--against", "new.json", "--update")[0] == 2
