"""``--optimize`` reaches the networks that are measured, each of its words."""

import json

import pytest
import torch

NETWORK = '''
import json
from pathlib import Path
from torch import nn

class Net(nn.Module):
    """Notes, in a file beside it, in what form it is called."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))

    def forward(self, x):
        form = {
            "fused": isinstance(self.layers[1], nn.Identity),
            "last": x.stride(1) == 1,
        }
        with Path(__file__).with_name("forms").open("a") as file:
            file.write(json.dumps(form) + "\\n")
        return self.layers(x)
'''
SUITE = """
class Pairs(eb.Suite):
    name = "pairs"

    def cases(self):
        return ["one"]

    def load(self, name):
        return eb.Case(name, torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(0)))
"""


@pytest.fixture
def forms(cli, plugin, tmp_path):
    """Run with some optimisations, and tell the forms in which the network was measured."""
    path = plugin(SUITE + NETWORK)

    def run(*optimize):
        status, _, err = cli(
            *("run", "-m", f"{path}:Net", "-s", f"{path}:Pairs", "--out", "run", "--batch", 2),
            *("--device", "cpu", "--shifts", "random:n=4,max=4", *optimize),
        )
        assert status == 0, err
        found = [json.loads(line) for line in (tmp_path / "forms").read_text().splitlines()]
        return found[-3:]  # six images, two at a time

    return run


@pytest.mark.parametrize(
    ("optimize", "form"),
    [
        ([], {"fused": False, "last": False}),
        (["--optimize", "fuse"], {"fused": True, "last": False}),
        (["--optimize", "channels-last"], {"fused": False, "last": True}),
        (["--optimize", "fuse,channels-last"], {"fused": True, "last": True}),
    ],
)
def test_the_network_is_measured_in_the_form_that_was_asked_for(forms, optimize, form):
    assert forms(*optimize) == 3 * [form]


@pytest.mark.parametrize("wanted", [True, False])
def test_compile_hands_every_measured_batch_to_the_compiler_s_function(forms, monkeypatch, wanted):
    calls = []

    def compiler(function, **_options):
        def compiled(*inputs):
            calls.append(len(inputs[0]))
            return function(*inputs)

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    forms(*(["--optimize", "compile"] if wanted else []))
    # the check of one image, four passes that try whether it repeats itself, then three batches
    assert calls == ([1, *[2] * 4, *[2] * 3] if wanted else [])
