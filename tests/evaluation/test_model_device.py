"""A model that cannot be moved runs where it is, unless a device was asked for."""

import pytest
import torch

import equibench as eb
from equibench.measurement import batching, work_units

ELSEWHERE = torch.device("meta")
"""Stands for a GPU: every machine has it, and tensors of the CPU do not go with its own."""


@pytest.fixture
def no_cpu(monkeypatch):
    """``auto``, and whatever else is asked for, is a device that is not the CPU."""
    monkeypatch.setattr(
        "equibench.measurement.settings.resolve_device", lambda name, **given: ELSEWHERE
    )
    monkeypatch.setitem(batching.AHEAD, ELSEWHERE.type, 1)
    monkeypatch.setitem(work_units.FORWARDS_PER_UNIT, ELSEWHERE.type, 64)


def closure():
    """A function of CPU tensors, (B, 1, H, W) to the same, that no ``to`` reaches."""
    weight = torch.full((1, 1, 32, 48), 2.0)
    return lambda images: weight * images


def test_a_closure_over_cpu_tensors_runs_on_the_cpu_and_the_run_says_so(no_cpu, images, capsys):
    rows = eb.evaluate(closure(), images, batch=2, shifts="random:n=1,max=4").rows
    assert (rows["eq_nmse"] == 0).all()
    assert f"<lambda>: it runs on the CPU, as it cannot on {ELSEWHERE} (" in capsys.readouterr().err


def test_an_output_on_another_device_is_a_reason_as_well(no_cpu, images, capsys):
    rows = eb.evaluate(
        lambda x: torch.ones(x.shape), images, batch=2, shifts="random:n=1,max=4"
    ).rows
    assert (rows["eq_nmse"] == 0).all()
    assert "it returned a torch.strided tensor on cpu" in capsys.readouterr().err


def test_on_a_device_that_was_asked_for_it_is_an_error_of_one_line(no_cpu, images):
    with pytest.raises(eb.ModelError, match=r"<lambda> raised .*device") as caught:
        eb.evaluate(closure(), images, batch=2, device="cuda")
    assert "\n" not in str(caught.value)


def test_what_fails_everywhere_is_told_of_the_device_that_was_found(no_cpu, images):
    def broken(x):
        raise ValueError("no")

    with pytest.raises(eb.ModelError, match=r"(?m)broken raised ValueError .*: no$"):
        eb.evaluate(broken, images, batch=2)


def test_the_command_line_says_which_model_ran_on_the_cpu(no_cpu, cli, plugin):
    file = plugin(
        "def build():\n"
        "    weight = torch.full((1, 1, 16, 16), 2.0)\n"
        "    return lambda x: weight * x\n"
    )
    command = ("-m", f"{file}:build,label=ours", "-s", "noise,n=1,size=16", "--batch", 2)
    status, out, err = cli("run", *command, "--out", "run")
    assert status == 0
    assert "ours: it runs on the CPU, as it cannot on" in err
    assert "| noise   | ours    |             0 |" in out
    status, _, err = cli("run", *command, "--device", "cuda", "--out", "apart")
    assert status == 1
    assert "failed: ours raised" in err


class Held(torch.nn.Module):
    """A layer, and a tensor that no ``to`` reaches."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
        self.scale = torch.tensor([2.0])

    def forward(self, x):
        return self.layer(x) * self.scale


def test_layers_are_attributed_to_where_the_model_runs(no_cpu, images):
    with pytest.warns(UserWarning, match=f"Held: it runs on the CPU, as it cannot on {ELSEWHERE}"):
        lines = eb.attribute(Held(), torch.rand(1, 1, 16, 16), [(1, 0)])
    assert not lines["breaks"].any()
