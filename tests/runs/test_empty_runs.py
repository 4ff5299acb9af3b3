"""Nothing measured and nothing compared is no success."""

import pytest
from net_runs import COMMANDS, OPTIONS, Stop, finish


def test_a_run_of_which_nothing_could_be_measured_is_no_success_anywhere(cli, nets):
    (nets / "net.py").write_text("def base():\n    return lambda x: 1 / 0\nother = base\n")
    assert finish(cli)[0] == 1
    for name in ("table", "report", "check", "compare"):
        status, _, err = cli(*COMMANDS[name])
        assert status != 0, name
        last = err.splitlines()[-1]
        if name in ("table", "report"):
            assert last == "equibench: run has no rows: nothing of it could be measured"
        else:
            assert last == "equibench: run has no rows yet: run the same command again"


def test_a_run_that_was_stopped_before_its_first_unit_is_no_success(cli, nets, monkeypatch):
    with monkeypatch.context() as patch:
        Stop(patch, "00000")
        assert finish(cli)[0] == 130
    for name in ("table", "report"):
        status, _, err = cli(*COMMANDS[name])
        assert status == 1
        assert err.splitlines() == [
            "not all of it: run is interrupted and lacks 6 of 6 units; its command resumes it",
            "equibench: run has no rows yet: run the same command again",
        ]


@pytest.mark.slow
def test_models_that_are_worse_than_the_named_one_fail(cli, nets):
    (nets / "net.py").write_text(
        "import torch\n"
        "def net(strength):\n"
        "    gain = torch.linspace(1 - strength, 1, 32)\n"
        "    return lambda x: x * gain\n"
        "def base():\n    return net(0.1)\n"
        "def other():\n    return net(0.5)\n"
    )
    cli("run", *OPTIONS[:4], "-s", "noise,n=8,size=32", "--shifts",
        "random:n=4,max=8", "--out", "run")  # fmt: skip
    status, out, _ = cli("compare", "run", "--against", "net:base")
    assert "✗ worse" in out
    assert status == 1
    status, out, _ = cli("compare", "run", "--against", "net:other")
    assert "▲ better" in out
    assert status == 0


def test_nothing_to_compare_is_an_error(cli, nets):
    cli("run", "-m", "net.py:base", "-s", "noise,n=2,size=16", "--out", "run")
    status, out, err = cli("compare", "run", "--against", "net:base")
    assert (status, out) == (2, "")
    assert err.startswith("equibench: nothing is compared: run has no model but net:base")


def test_a_seed_beyond_64_bits_is_refused_in_one_line(cli, nets):
    status, out, err = cli(
        "run", "-m", "net.py:base", "-s", "noise,n=1,size=16", "--seed", 2**64, "--out", "run"
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "seed = 18446744073709551616" in err
