"""Faster forms of a network give the same, or are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from equibench.errors import ModelError, UsageError
from equibench.evaluation.optimized_models import optimized
from equibench.foundation.rounding import default_limit
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings
from equibench.models.variants import unet_aps_3
from equibench.runs.runner import run

SETTINGS = Settings.of(validated({"models": ["m"], "suites": ["s"], "device": "cpu"}, "test"))
IMAGE = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def fast(model, *wanted):
    return optimized(model, wanted, IMAGE, SETTINGS, "net")


def used(model):
    """A network whose batch norms have seen data."""
    with torch.no_grad():
        model.train()(torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1)))
    return model.eval()


@pytest.mark.parametrize("wanted", [["fuse"], ["channels-last"], ["fuse", "channels-last"]])
def test_a_faster_copy_gives_the_same_up_to_rounding(wanted):
    model = used(unet_aps_3(width=0.05))
    copy = fast(model, *wanted)
    with torch.inference_mode():
        torch.testing.assert_close(copy(IMAGE), model(IMAGE), rtol=1e-4, atol=1e-5)


def test_fusing_leaves_no_batch_norm_and_the_model_as_it_was():
    model = used(unet_aps_3(width=0.05))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    copy = fast(model, "fuse")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in copy.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_copy_that_gives_something_else_is_refused():
    class Counting(nn.Module):
        """Its output depends on the memory layout."""

        def forward(self, x):
            last = x.is_contiguous(memory_format=torch.channels_last) and x.shape[1] > 1
            return x * (1.01 if last else 1.0)

    said = (
        "net optimised by channels-last differs from itself by an NMSE of 1.0e-04, more than the "
        "1.3e-11 of rounding: leave one out"
    )
    with pytest.raises(ModelError) as refused:
        optimized(Counting(), ["channels-last"], IMAGE.expand(1, 3, 32, 32), SETTINGS, "net")
    assert str(refused.value) == said


def test_what_is_no_module_cannot_be_optimised():
    with pytest.raises(ModelError) as refused:
        fast(lambda x: x, "fuse")
    assert str(refused.value) == "net is a function, no PyTorch module: leave --optimize out"


@pytest.mark.slow
def test_a_run_with_optimisations_is_another_run_of_the_same_numbers_up_to_rounding(tmp_path):
    fields = {"models": ["unet-baseline,width=0.05"], "suites": ["noise,n=2,size=32"]}
    config = validated(fields | {"optimize": ["fuse", "channels-last"]}, "test")
    plain = run(validated(fields, "test"), tmp_path / "plain", progress=False)
    with pytest.raises(UsageError, match=r"optimize was \[\] and is \['fuse', 'channels-last'\]"):
        run(config, plain.path, progress=False)
    fused = run(config, tmp_path / "fused", progress=False)
    assert fused.failures == []
    assert fused.manifest["configuration"]["optimize"] == ["fuse", "channels-last"]
    place = ["case", "draw", "dy", "dx"]
    pd.testing.assert_frame_equal(fused.rows()[place], plain.rows()[place])
    before, after = (
        np.sqrt(rows.loc[rows["draw"] > 0, "eq_nmse"]) for rows in (plain.rows(), fused.rows())
    )
    assert before.min() > 1e-3  # such a network breaks equivariance
    # norms of errors move by no more than what outputs may
    assert np.abs(after - before).max() < 2 * default_limit("fp32") ** 0.5
