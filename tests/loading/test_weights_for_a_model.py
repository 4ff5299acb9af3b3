"""A file of weights, of Python or of data where a model or suite is expected, and its remedy."""

import re

import pytest
import torch
from safetensors.torch import save_file

from equibench.errors import UsageError
from equibench.loading.load import load_spec
from equibench.loading.suites import build_suite
from equibench.registry.specs import Spec, weights_of

SOURCE = """
import torch


def build():
    return torch.nn.Conv2d(1, 1, 3, padding=1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(SOURCE)
    return tmp_path


def said(spec, load):
    with pytest.raises(UsageError) as caught:
        load(Spec.parse(spec))
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    "name",
    ["net.pth", "net.pt", "net.ckpt", "net.safetensors", "net.bin", "./a,b.pth", "./it's.pth"],
)
def test_weights_given_as_a_model_are_answered_by_a_spec_that_works(name, folder):
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    save = save_file if name.endswith("safetensors") else torch.save
    save(network.state_dict(), name)
    remedy = re.search(r"name what builds the network, (.*)|builds it, (.*)", said(name, load_spec))
    spec = next(filter(None, remedy.groups()))
    assert spec.startswith("path/to/net.py:build,weights=")
    loaded = load_spec(Spec.parse(spec.removeprefix("path/to/"))).model
    assert torch.equal(loaded.weight, network.weight)


@pytest.mark.parametrize("path", ["net.pth", "a,b.pth", "it's.pth", 'say "a".pth', "a=b#c.pth"])
def test_a_path_of_weights_survives_a_spec(path):
    assert Spec.parse(f"net.py:build,{weights_of(path)},channels=2").weights == path


def test_a_pickled_module_may_end_in_pth(folder):
    network = torch.nn.Conv2d(1, 1, 3)
    torch.save(network, "net.pth")
    assert "--trust-pickle" in said("net.pth", load_spec)
    loaded = load_spec(Spec.parse("net.pth"), trust_pickle=True).model
    assert torch.equal(loaded.weight, network.weight)


def test_a_python_file_is_answered_by_how_to_name_what_is_in_it(folder):
    line = said("net.py", load_spec)
    assert line == "net.py is a file of Python: name what builds the model in it, net.py:build"
    assert load_spec(Spec.parse("net.py:build")).model.kernel_size == (3, 3)


def test_a_file_that_is_not_there_is_said_not_to_be(folder):
    line = said("weights/net.bin", load_spec)
    assert line == "no model is called 'weights/net.bin', and there is no file weights/net.bin"


def test_a_folder_given_as_a_suite_is_answered_by_its_option(folder):
    line = said("./", lambda spec: build_suite(spec, {}))
    assert line == "./ is no suite, but may be the data of one: name that one, and --data NAME=./"
