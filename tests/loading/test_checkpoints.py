"""Checkpoints open by themselves where there is one sensible reading, and say what was taken."""

import re
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, weight_norm
from torch.optim.swa_utils import AveragedModel

from equibench.errors import ModelError
from equibench.loading.checkpoints import Misfit, fit
from equibench.loading.load import load_spec
from equibench.registry.specs import Spec


def build(seed, width=2):
    torch.manual_seed(seed)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, width, 3), norm=nn.BatchNorm2d(width)))


def state(seed):
    return build(seed).state_dict()


def under(prefix, weights):
    return {f"{prefix}{name}": value for name, value in weights.items()}


def first_loss():
    return {"loss.vgg.weight": torch.ones(3)}


WITHOUT_COUNTS = {n: v for n, v in state(1).items() if not n.endswith("num_batches_tracked")}
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2, 1, 3, 3)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (state(1), ""),
        ({"model": state(1), "optimizer": OPTIMIZER, "epoch": 3}, "model"),
        ({"state_dict": state(1), "hyper_parameters": {"lr": 1e-3}}, "state_dict"),
        ({"net": state(1)}, "net"),
        ({"params_ema": state(1), "params": state(2)}, "params_ema (not params)"),
        ({"params": state(2), "params_ema": state(1)}, "params_ema (not params)"),
        ({"model": state(2), "model_ema": state(1)}, "model_ema (not model)"),
        ({"state_dict": {"model": state(2), "ema": state(1)}},
         "state_dict.ema (not state_dict.model)"),
        (under("ema_model.", state(1)) | under("online_model.", state(2)),
         "ema_model (not online_model)"),
        (under("module.", state(1)), ""),
        (under("_orig_mod.", state(1)), ""),
        (under("module._orig_mod.", state(1)), ""),
        ({"state_dict": under("net.", state(1)) | first_loss()}, "state_dict.net"),
        (WITHOUT_COUNTS, ""),
        (state(1) | {"total_ops": torch.ones(1), "conv.total_params": torch.ones(1)}, ""),
        (AveragedModel(build(1)).state_dict(), ""),
        ({"model": state(1), "best": state(1)}, "model"),
        ({"weights": {n: v.double() for n, v in state(1).items()}}, "weights"),
        (build(1), ""),
    ],
)  # fmt: skip
def test_the_state_dict_is_found_wherever_trainers_put_it(content, taken):
    network = build(0)
    found = fit(content, network)
    network.load_state_dict(found.state)
    assert str(found) == taken
    for name, value in state(1).items():
        assert torch.equal(network.state_dict()[name], value)


def test_weights_of_what_was_inside_fit_a_network_around_it():
    outer = nn.Sequential(OrderedDict(net=build(0)))
    found = fit(state(1), outer)
    outer.load_state_dict(found.state)
    assert torch.equal(outer.net.conv.weight, state(1)["conv.weight"])


def test_a_wrapped_network_takes_the_weights_of_a_plain_one():
    wrapped = nn.DataParallel(build(0))
    wrapped.load_state_dict(fit(state(1), wrapped).state)
    assert torch.equal(wrapped.module.conv.weight, state(1)["conv.weight"])


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("reverse", [False, True])
def test_old_and_new_names_of_weight_norm_are_one(reverse):
    pair = [weight_norm(nn.Conv2d(1, 2, 3)), parametrizations.weight_norm(nn.Conv2d(1, 2, 3))]
    source, target = reversed(pair) if reverse else pair
    target.load_state_dict(fit(source.state_dict(), target).state)
    x = torch.rand(1, 1, 5, 5)
    assert torch.allclose(source(x), target(x), atol=1e-6)


def test_old_and_new_names_of_spectral_norm_are_one():
    source = nn.utils.spectral_norm(nn.Conv2d(1, 2, 3))
    target = parametrizations.spectral_norm(nn.Conv2d(1, 2, 3))
    assert set(fit(source.state_dict(), target).state) == set(target.state_dict())


def test_constants_that_a_network_makes_itself_may_stand_in_an_older_file():
    network = build(0)
    network.register_buffer("index", torch.arange(4), persistent=False)
    assert fit(state(1) | {"index": torch.arange(4)}, network).taken == ""
    with pytest.raises(Misfit, match="index is unknown to the model"):
        fit(state(1) | {"index": torch.zeros(4)}, network)


def test_a_lazy_network_takes_the_shapes_of_the_weights():
    network = nn.Sequential(OrderedDict(conv=nn.LazyConv2d(2, 3)))
    network.load_state_dict(fit({"conv.weight": torch.ones(2, 5, 3, 3), "conv.bias": torch.ones(2)},
                                network).state)  # fmt: skip
    assert network.conv.weight.shape == (2, 5, 3, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "config": {}}, "holds no state dict, but epoch, config"),
        (
            {"model": build(1, width=3).state_dict()},
            "do not fit: conv.weight is 3×1×3×3, not 2×1×3×3; conv.bias is 3, not 2; norm.weight "
            "is 3, not 2 and 3 more",
        ),
        (
            {"model": {**state(1), "head.weight": torch.ones(1)}},
            "do not fit: model.head.weight is unknown to the model",
        ),
        (
            {"model": {n: v for n, v in state(1).items() if n != "norm.bias"}},
            "do not fit: no norm.bias",
        ),
        (
            {"generator_a": state(1), "generator_b": state(2)},
            "fit several times: as generator_a, generator_b; name one, weights=FILE#generator_a",
        ),
    ],
)
def test_what_has_no_sensible_reading_is_told_with_the_nearest(content, message):
    with pytest.raises(Misfit) as caught:
        fit(content, build(0))
    assert str(caught.value) == message


def test_one_layer_of_several_is_no_network_of_its_own():
    stack = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)).state_dict()
    with pytest.raises(Misfit, match=r"do not fit: no weight; no bias; 0\.weight is unknown"):
        fit(stack, nn.Conv2d(1, 1, 3))


@pytest.fixture
def net(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        "from collections import OrderedDict\nfrom torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3, padding=1),"
        " norm=nn.BatchNorm2d(2)))\n"
    )
    return f"{file}:build"


def test_a_remedy_that_names_a_part_takes_it(net, tmp_path):
    torch.save({"a": state(1), "b": state(2)}, tmp_path / "gan.pth")
    with pytest.raises(ModelError) as caught:
        load_spec(Spec.parse(f"{net},weights={tmp_path}/gan.pth"))
    remedy = re.search(r"weights=\S+", str(caught.value))[0]
    assert remedy == f"weights={tmp_path}/gan.pth#a"
    loaded = load_spec(Spec.parse(f"{net},{remedy.replace('#a', '#b')}"))
    assert torch.equal(loaded.model.conv.weight, state(2)["conv.weight"])
    with pytest.raises(ModelError, match=r"(?m)no part 'c' that is of this network; it has a, b$"):
        load_spec(Spec.parse(f"{net},{remedy.replace('#a', '#c')}"))


def test_a_run_says_once_what_was_taken_and_keeps_it(net, tmp_path, cli):
    import json

    torch.save({"params": state(2), "params_ema": state(1)}, tmp_path / "ckpt.pth")
    status, _, err = cli("run", "-m", f"{net},label=ours,weights=ckpt.pth", "-s",
                         "noise,n=2,size=8", "--out", "run")  # fmt: skip
    note = "weights are params_ema (not params) of ckpt.pth"
    assert status == 0, err
    assert err.count(f"ours: {note}") == 1
    assert json.loads((tmp_path / "run/run.json").read_text())["models"]["ours"]["notes"] == [note]


def test_trust_is_asked_for_where_it_helps_and_only_there(net, tmp_path):
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(b"no checkpoint")
    for name in ("none", "cut"):
        with pytest.raises(ModelError) as caught:
            load_spec(Spec.parse(f"{net},weights={tmp_path}/{name}.pth"), trust_pickle=True)
        assert "--trust-pickle" not in str(caught.value)
    torch.save({"model": build(1), "epoch": 3}, tmp_path / "whole.pth")
    spec = Spec.parse(f"{net},weights={tmp_path}/whole.pth")
    with pytest.raises(ModelError, match="unpickle it with --trust-pickle"):
        load_spec(spec)
    loaded = load_spec(spec, trust_pickle=True)
    assert torch.equal(loaded.model.conv.weight, state(1)["conv.weight"])
