"""Files that hold a network: the eager model's rows, and no code run unasked."""

import pathlib
import warnings

import pytest
import torch
from torch import nn

import equibench as eb
from equibench.errors import ModelError, UsageError
from equibench.loading.load import load_spec
from equibench.models.variants import unet_baseline
from equibench.registry.specs import Spec

pytestmark = pytest.mark.long

SUITE = "noise,n=2,size=32"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return unet_baseline(width=0.05).eval()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """One variant, exported in every way."""
    folder, example = tmp_path_factory.mktemp("files"), torch.rand(2, 1, 32, 32)
    with warnings.catch_warnings():  # the exporters' own
        warnings.simplefilter("ignore")
        torch.jit.trace(network, example).save(str(folder / "net.pt"))
        program = torch.export.export(network, (example,))
        torch.export.save(program, folder / "net.pt2")
        torch.onnx.export(network, (example,), folder / "net.onnx", dynamo=True, verbose=False)
    return folder


@pytest.mark.parametrize("suffix", ["pt", "pt2", "onnx"])
def test_an_export_gives_the_eager_model_s_rows(suffix, files, network):
    eager = eb.evaluate(network, SUITE).rows
    file = str(files / f"net.{suffix}")
    exported = eb.evaluate(file, SUITE, trust_pickle=True).rows
    shifted = eager["draw"] > 0
    assert (eager.loc[shifted, "eq_nmse"] > 1e3 * eager["floor_nmse"].max()).all()
    difference = (exported["eq_nmse"] / eager["eq_nmse"])[shifted] - 1
    assert difference.abs().max() < 1e-5


def test_a_run_stores_the_hash_of_the_file(files, cli, tmp_path):
    import hashlib
    import json

    status, out, err = cli("run", "-m", files / "net.onnx", "-s", SUITE, "--out", "run")
    assert status == 0, err
    assert "net.onnx" in out
    described = json.loads((tmp_path / "run/run.json").read_text())["models"]
    (described,) = described.values()
    assert described["weights"] == "net.onnx"
    expected = hashlib.sha256((files / "net.onnx").read_bytes()).hexdigest()
    assert described["file_sha256"] == expected


def load(file, trust=False):
    return load_spec(Spec.parse(str(file)), trust_pickle=trust)


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return pathlib.Path.touch, (self.mark,)


TRUST = (
    ". Give it if you know who made the file; --isolate keeps it out of this process, but not off "
    "this machine"
)


def test_a_pickled_module_needs_trust_and_says_why(tmp_path, images):
    torch.save(nn.Conv2d(1, 1, 3, padding=1), tmp_path / "net.pt")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "net.pt")
    assert str(caught.value) == (
        f"{tmp_path}/net.pt needs --trust-pickle: it is no TorchScript but a pickled module: "
        f"unpickling runs any code it names{TRUST}"
    )
    assert load(tmp_path / "net.pt", trust=True).model(images).shape == images.shape


def test_torch_export_files_need_trust(files):
    with pytest.raises(UsageError, match=r"net.pt2 needs --trust-pickle: torch.export.load unp"):
        load(files / "net.pt2")


@pytest.mark.parametrize("suffix", ["pt", "pt2", "ckpt"])
def test_no_code_of_a_file_runs_unasked(suffix, tmp_path):
    mark = tmp_path / "mark"
    torch.save({"state_dict": {}, "hyper_parameters": Bomb(mark)}, tmp_path / f"net.{suffix}")
    with pytest.raises(UsageError, match="needs --trust-pickle"):
        load(tmp_path / f"net.{suffix}")
    assert not mark.exists()


def test_torchscript_does_not_unpickle_python(tmp_path, files):
    """An archive of TorchScript whose pickle names Python code is refused by PyTorch itself."""
    import pickle
    import zipfile

    mark = tmp_path / "mark"
    with zipfile.ZipFile(files / "net.pt") as old, zipfile.ZipFile(tmp_path / "x.pt", "w") as new:
        for name in old.namelist():
            bomb = name.endswith(("/data.pkl", "/constants.pkl"))
            new.writestr(name, pickle.dumps(Bomb(mark), 2) if bomb else old.read(name))
    with pytest.raises(ModelError, match="cannot be built"):
        load(tmp_path / "x.pt")
    assert not mark.exists()


def test_a_state_dict_alone_is_no_network(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "net.pt")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "net.pt")
    assert str(caught.value) == (
        f"{tmp_path}/net.pt holds a state dict, no network: name what builds it, "
        f"path/to/net.py:build,weights={tmp_path}/net.pt"
    )


@pytest.mark.parametrize("suffix", ["pt", "pt2", "onnx", "ckpt"])
def test_a_file_that_is_not_there_is_named(suffix):
    with pytest.raises(UsageError, match=rf"there is no model file no/net.{suffix}$"):
        load(f"no/net.{suffix}")


def test_onnx_is_measured_in_its_own_precision_only(files):
    with pytest.raises(UsageError) as caught:
        eb.evaluate(str(files / "net.onnx"), SUITE, precision="fp64")
    assert str(caught.value) == (
        "net.onnx computes in fp32 whatever is asked for, not in fp64: take --precision fp32"
    )


def test_a_lightning_checkpoint_of_fastmri_is_read_without_lightning(tmp_path, images):
    from fastmri.models import Unet

    torch.manual_seed(0)
    unet = Unet(1, 2, chans=6, num_pool_layers=3).eval()
    state = {f"unet.{name}": value for name, value in unet.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": {"lr": 1e-3}}, tmp_path / "a.ckpt")
    with torch.inference_mode():
        assert torch.equal(load(tmp_path / "a.ckpt").model.eval()(images), unet(images))
    hyper = {"data_path": pathlib.Path("/data")}
    torch.save({"state_dict": state, "hyper_parameters": hyper}, tmp_path / "b.ckpt")
    with pytest.raises(
        UsageError, match=r"b\.ckpt needs --trust-pickle: it holds objects of Python"
    ):
        load(tmp_path / "b.ckpt")
    with torch.inference_mode():
        assert torch.equal(load(tmp_path / "b.ckpt", trust=True).model.eval()(images), unet(images))


def test_a_checkpoint_of_another_module_is_answered_with_how_it_is_read(tmp_path):
    torch.save({"state_dict": {"encoder.weight": torch.ones(1)}}, tmp_path / "a.ckpt")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "a.ckpt")
    assert str(caught.value) == (
        f"{tmp_path}/a.ckpt is no checkpoint of fastMRI's UnetModule (it has encoder): name what "
        f"builds the network, path/to/net.py:build,weights={tmp_path}/a.ckpt"
    )


def test_trusted_weights_may_be_a_pickled_module(network, tmp_path):
    torch.save(network, tmp_path / "whole.pt")
    spec = Spec.parse(f"unet-baseline,width=0.05,weights={tmp_path}/whole.pt")
    with pytest.raises(ModelError, match="unpickle it with --trust-pickle"):
        load_spec(spec)
    loaded = load_spec(spec, trust_pickle=True).model
    state = loaded.state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
