"""Networks whose layers cannot be seen say so in a line."""

import warnings

import pytest
import torch
from torch import nn

import equibench as eb
from equibench.errors import UsageError
from equibench.layers.attribution import attribute

IMAGES = torch.rand(2, 1, 8, 8)


def test_torchscript_has_no_layers_to_see():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        network = torch.jit.script(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1)))
    with pytest.raises(UsageError, match=r"^layers of TorchScript cannot be seen"):
        attribute(network, IMAGES, [(1, 0)])


def test_a_function_behind_adapters_has_none():
    with pytest.raises(UsageError, match=r"^function has no layers to attribute to"):
        attribute(eb.adapt(lambda x: x, "in.pad=2"), IMAGES, [(1, 0)])
