"""A model that fails is named, and the others go on."""

import json
import os
import sys

import pandas as pd
import pytest
import torch
from small_runs import MODEL, SUITE, mistakes, run

pytestmark = pytest.mark.slow

GOOD = "def good():\n    return lambda x: x\n"

FAILING = {
    "raises": (
        "lambda x: 1 / 0",
        "failed: bad raised ZeroDivisionError on noise, case 00000 (input (2, 1, 32, 32)): "
        "division by zero",
    ),
    "tuple": (
        "lambda x: (x, x)",
        "failed: bad returned a tuple (Tensor (2, 1, 32, 32), Tensor (2, 1, 32, 32)) on noise, "
        "case 00000 (input (2, 1, 32, 32)), not one tensor (2, C, 32, 32): set out.select=0",
    ),
    "shape": (
        "lambda x: x[:, :, 1:]",
        "failed: bad returned a tensor (2, 1, 31, 32) on noise, case 00000 (input (2, 1, 32, 32)),"
        " not one tensor (2, C, 32, 32): wrap it so that it returns that",
    ),
    "nan": (
        "lambda x: x * torch.nan",
        "failed: bad has an NMSE of nan on noise, case 00000, 3 shifts, first (0, 0): its "
        "output is not finite there",
    ),
    "no callable": (
        "7",
        "failed: bad: {plugin}:bad gave a int, not a callable from (B, C, H, W) to (B, C', H, W)",
    ),
    "exits": (
        "lambda x: exit(3)",
        "failed: bad raised SystemExit on noise, case 00000 (input (2, 1, 32, 32)): 3",
    ),
    "another device": (
        "lambda x: x.to('meta')",
        "failed: bad returned a torch.strided tensor on meta on noise, case 00000 (input "
        "(2, 1, 32, 32)), not a dense one on cpu: wrap it so that it returns that",
    ),
    "says nothing": (
        "lambda x: (_ for _ in ()).throw(AssertionError())",
        "failed: bad raised AssertionError on noise, case 00000 (input (2, 1, 32, 32)): no message",
    ),
    "factory raises": (
        "[][1]",
        "failed: bad cannot be built: IndexError: list index out of range",
    ),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_failing_model_is_named_and_the_others_go_on(kind, cli, plugin, tmp_path):
    expression, message = FAILING[kind]
    path = plugin(f"{GOOD}def bad():\n    return {expression}\n")
    status, out, err = cli(
        "run", "-m", f"{path}:bad,label=bad", "-m", f"{path}:good,label=good", "-s", SUITE,
        "--out", "run", "--shifts", "random:n=2,max=8",
    )  # fmt: skip
    assert status == 1
    assert mistakes(err)[0] == message.format(plugin=path)
    assert "good" in out
    assert "good" in set(pd.read_csv(tmp_path / "run/summary.csv")["model"])
    failures = json.loads((tmp_path / "run/failures.json").read_text())
    assert {failure["model"] for failure in failures} == {"bad"}


def test_a_model_that_changes_the_default_dtype_does_not_harm_the_next(cli, plugin):
    path = plugin(
        "def rude():\n    def f(x):\n        torch.set_default_dtype(torch.float64)\n"
        "        return x\n    return f\n"
    )
    model = f"{path}:rude,label=rude"
    assert cli("run", "-m", model, "-m", MODEL, "-s", SUITE, "--out", "run")[0] == 0


def test_a_network_that_a_file_builds_on_import_starts_from_the_seed(cli, plugin, tmp_path):
    path = plugin("net = torch.nn.Conv2d(1, 1, 3, padding=1)\n")
    hashes = set()
    for out in ("one", "two"):
        for name in [n for n in sys.modules if n.startswith("equibench_file_")]:
            del sys.modules[name]
        assert cli("run", "-m", f"{path}:net,label=net", "-s", SUITE, "--out", out)[0] == 0
        manifest = json.loads((tmp_path / out / "run.json").read_text())
        hashes.add(manifest["models"]["net"]["state_sha256"])
    assert len(hashes) == 1


def test_a_plugin_that_cannot_be_imported_fails_alone(cli, plugin):
    path = plugin("raise RuntimeError('broken at import')")
    status, out, err = run(cli, "-m", f"{path}:net,label=bad")
    assert status == 1
    assert mistakes(err) == [
        f"failed: model '{path}:net' ({path}:net) cannot be imported: "
        "RuntimeError: broken at import"
    ]
    assert "base" in out


def test_weights_of_another_width_are_refused_and_the_misfit_is_named(cli, tmp_path):
    from safetensors.torch import save_file

    from equibench.models.variants import unet_baseline

    save_file(unet_baseline(width=0.1).state_dict(), tmp_path / "wide.safetensors")
    status, _, err = cli(
        "run", "-m", f"{MODEL},weights=wide.safetensors", "-s", SUITE, "--out", "run"
    )
    assert status == 1
    assert mistakes(err) == [
        "failed: base: the weights in wide.safetensors do not fit: stem.0.weight is 6×1×3×3, not "
        "3×1×3×3; stem.1.weight is 6, not 3; stem.1.bias is 6, not 3 and 96 more; build the model "
        "with the arguments that it was trained with"
    ]


def test_weights_that_would_unpickle_code_are_not_read(cli, tmp_path):
    torch.save({"code": os.system}, tmp_path / "evil.pt")
    status, _, err = cli("run", "-m", f"{MODEL},weights=evil.pt", "-s", SUITE, "--out", "run")
    assert status == 1
    (message,) = mistakes(err)
    assert message.startswith("failed: base: cannot read weights from evil.pt: UnpicklingError: ")
    assert message.endswith(
        "; save a state dict, as safetensors or with torch.save, or, if you know who made it, "
        "unpickle it with --trust-pickle"
    )


def test_a_size_that_the_stride_does_not_divide_is_named(cli):
    status, _, err = cli("run", "-m", MODEL, "-s", "noise,n=1,size=40", "--out", "run")
    assert status == 1
    assert mistakes(err) == [
        "failed: base raised ValueError on noise, case 00000 (input (2, 1, 40, 40)): the total "
        "stride 16 does not divide the size 40×40: crop to 32×32 (padding would break equivariance)"
    ]
