"""Models in processes of their own: the same rows, and a crash that is named."""

import os

import pandas as pd
import pytest
import torch

from equibench.errors import ModelError
from equibench.loading.load import load_spec
from equibench.registry.specs import Spec

pytestmark = pytest.mark.slow

SUITE = "noise,n=2,size=32"
NET = """
import os, sys
import torch

def build(): return torch.nn.Conv2d(1, 1, 3, padding=1)

def crashes():
    def net(x):
        if x.sum() > {limit}:
            os.kill(os.getpid(), 9)
        return x
    return net

def dies_at_once(): os._exit(3)
def prints():
    print("built"); return lambda x: (print("called"), x)[1]
def raises():
    def net(x): raise ArithmeticError("no")
    return net
def pair(): return lambda x: (x * 0, x)
"""


@pytest.fixture
def net(tmp_path):
    (tmp_path / "net.py").write_text(NET.format(limit="-1e9"))
    return f"{tmp_path}/net.py"


def rows(cli, out, *arguments):
    status, _, err = cli("run", *arguments, "-s", SUITE, "--out", out)
    assert status == 0, err
    return pd.read_parquet(f"{out}/rows")


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_an_isolated_model_gives_the_rows_that_it_gives_in_process(cli, net, precision):
    arguments = ("-m", f"{net}:build,in.channels=1,label=net", "--precision", precision)
    inside = rows(cli, "inside", *arguments)
    outside = rows(cli, "outside", *arguments, "--isolate")
    pd.testing.assert_frame_equal(inside, outside)


@pytest.mark.long
def test_the_harness_itself_never_imports_what_is_isolated(cli, tmp_path):
    (tmp_path / "net.py").write_text(
        "import os, pathlib\n"
        "pathlib.Path(__file__).with_name('pids').open('a').write(f'{os.getpid()}\\n')\n"
        "import torch\n"
        "def build(): return torch.nn.Conv2d(1, 1, 1)\n"
    )
    torch.save(torch.nn.Conv2d(1, 1, 1).state_dict(), tmp_path / "w.pt")
    rows(cli, "run", "-m", "net.py:build,weights=w.pt", "--isolate")
    pids = set((tmp_path / "pids").read_text().split())
    assert pids
    assert str(os.getpid()) not in pids


@pytest.mark.long
def test_what_an_isolated_model_prints_and_raises_stays_what_it_was(net):
    load = {n: load_spec(Spec.parse(f"{net}:{n}"), isolate=True) for n in ("prints", "raises")}
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(load["prints"].model(x), x)
    with pytest.raises(RuntimeError) as caught:
        load["raises"].model(x)
    assert (type(caught.value).__name__, str(caught.value)) == ("ArithmeticError", "no")


@pytest.mark.long
def test_adapters_work_in_the_process_of_the_model(net):
    model = load_spec(Spec.parse(f"{net}:pair,out.select=1,in.pad=8"), isolate=True).model
    x = torch.rand(1, 1, 5, 5)
    assert torch.equal(model(x), x)
    assert model.padded
    with pytest.raises(TypeError.__mro__[1], match=r"returned a tuple .* set out.select=0"):
        load_spec(Spec.parse(f"{net}:pair"), isolate=True).model(x)


@pytest.mark.long
def test_a_crash_is_named_and_the_other_models_go_on(cli, net, tmp_path):
    models = ("-m", f"{net}:crashes,label=crash", "-m", f"{net}:build,label=fine")
    status, _, err = cli("run", *models, "-s", SUITE, "--isolate", "--out", "run")
    assert status == 1
    assert (
        "crash: its process ended with signal SIGKILL on an input (2, 1, 32, 32); what it wrote is "
        "above" in err
    )
    assert set(pd.read_parquet(tmp_path / "run/rows")["model"]) == {"fine"}


@pytest.mark.long
def test_a_process_that_ends_while_the_model_is_built_is_named(net):
    with pytest.raises(ModelError) as caught:
        load_spec(Spec.parse(f"{net}:dies_at_once,label=net"), isolate=True)
    assert str(caught.value) == (
        "net: its process ended with exit status 3 while it was built; what it wrote is above"
    )


@pytest.mark.long
def test_the_process_ends_with_its_model(net):
    loaded = load_spec(Spec.parse(f"{net}:build"), isolate=True)
    process = loaded.model.process
    assert process.poll() is None
    del loaded
    assert process.wait(10) is not None
    assert process.pid != os.getpid()
