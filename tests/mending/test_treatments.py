"""Treatments by name: in specs, in TOML, from Python, from plugins; what they change and leave."""

import pytest
import torch
from torch.nn import functional

import equibench as eb
from equibench.errors import UsageError
from equibench.loading.load import load_spec
from equibench.loading.weights import read_weights
from equibench.mending.rewriting.plans import Plan
from equibench.mending.rewriting.rewritten import Rewritten, survey
from equibench.registry.listing import listing
from equibench.registry.specs import Spec


def image(side=16):
    return torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0))


class Net(torch.nn.Module):
    """Everything that pads, once."""

    def __init__(self):
        super().__init__()
        self.zeros = torch.nn.Conv2d(1, 2, 3, padding=1)
        self.reflect = torch.nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")
        self.pool = torch.nn.MaxPool2d(3, 2, 1)
        self.layer = torch.nn.Sequential(torch.nn.ReplicationPad2d(1), torch.nn.Conv2d(2, 2, 3))
        self.up = torch.nn.ConvTranspose2d(2, 2, 4, 2, 1)

    def forward(self, x):
        x = self.layer(self.pool(self.reflect(self.zeros(x))))
        x = functional.avg_pool2d(self.up(x), 3, 1, 1)
        return functional.conv2d(functional.pad(x, (1, 1, 1, 1)), torch.ones(1, 2, 3, 3) / 9)


def test_a_spec_names_treatments_in_order_and_its_label_says_so():
    spec = Spec.parse("unet-baseline,width=0.0625,mend=circular+canonical")
    assert spec.mend == "circular+canonical"
    assert spec.label == "unet-baseline,width=0.0625,mend=circular+canonical"
    loaded = load_spec(spec)
    assert type(loaded.model).__name__ == "Canonical"
    assert loaded.provenance["mend"]["treatments"] == "circular+canonical"


@pytest.mark.slow
def test_a_config_file_treats_models_and_rows_are_at_the_floor(tmp_path, cli):
    (tmp_path / "bench.toml").write_text(
        'models = ["unet-baseline,width=0.0625,mend=canonical,label=mended"]\n'
        'suites = ["noise,n=1,size=32"]\nshifts = "random:n=2,max=8"\nout = "runs/a"\n'
    )
    status, out, _ = cli("run", "--config", "bench.toml")
    assert status == 0
    assert "mended" in out
    rows = eb.RunFolder(tmp_path / "runs/a").rows()
    assert rows["eq_nmse"].max() <= 1e-12


def test_python_treats_any_network_and_leaves_it_as_it_is():
    network = Net().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = network(image())
    mended = eb.mend(network, "circular+canonical")
    mended(image())
    assert torch.equal(network(image()), plain)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_model_behind_adapters_is_treated_behind_them():
    adapted = eb.adapt(Net().eval(), "in.mean=0.5")
    mended = eb.mend(adapted, "circular")
    assert type(mended) is type(adapted)
    assert type(mended.network) is Rewritten


def test_circular_padding_reaches_every_kind_of_padding():
    changes = survey(Rewritten(Net().eval(), Plan(circular=True)), image())
    assert [str(change) for change in changes if change.done] == [
        "zeros (convolution: circular padding)",
        "reflect (padding: circular)",
        "pool (max pooling: circular padding)",
        "layer.0 (padding: circular)",
        "up (transposed convolution: circular)",
        "the network itself (average pooling: circular padding)",
        "the network itself (padding: circular)",
    ]
    assert all(change.done for change in changes)


def test_weights_do_what_they_did_where_the_grid_has_not_moved():
    """A blob in the middle, far from borders, on the component that a stride keeps anyway."""
    network = Net().eval()
    mended = eb.mend(network, "circular")
    x = torch.zeros(1, 1, 32, 32)
    x[..., 14:18, 14:18] = 1
    inside = (slice(None), slice(None), slice(10, 22), slice(10, 22))
    torch.testing.assert_close(mended(x)[inside], network(x)[inside])


@pytest.mark.slow
def test_aps_is_the_strided_network_of_an_image_that_was_moved():
    """Of each image, one of the S² positions gives exactly what APS makes of it."""
    network, x = eb.load_model("unet-baseline,width=0.0625").eval().double(), image(32).double()
    with torch.inference_mode():
        output = eb.mend(network, "aps")(x)
        shifts = [(y, x) for y in range(16) for x in range(16)]
        moved = torch.cat([x.roll(s, (-2, -1)) for s in shifts])
        back = [
            o.roll((-y, -x), (-2, -1)) for o, (y, x) in zip(network(moved), shifts, strict=True)
        ]
    nearest = min(float((b - output[0]).square().sum() / output.square().sum()) for b in back)
    assert nearest <= 1e-28


@pytest.mark.parametrize("size", [2, 3, 5])
def test_blur_sets_a_binomial_filter_between_a_dense_layer_and_its_subsampling(size):
    from equibench.models.blur import Blur

    network = eb.mend(torch.nn.MaxPool2d(2), f"blur:size={size}")
    x = image()
    wrapped = functional.pad(x, (0, 1, 0, 1), mode="circular")
    expected = Blur(size)(functional.max_pool2d(wrapped, 2, 1))[..., ::2, ::2]
    torch.testing.assert_close(network(x), expected)


def test_the_mean_is_over_the_outputs_at_all_positions():
    network = torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.Upsample(scale_factor=2))
    shifts = [(0, 0), (0, 1), (1, 0), (1, 1)]
    outputs = [network(image().roll(s, (2, 3))).roll((-s[0], -s[1]), (2, 3)) for s in shifts]
    torch.testing.assert_close(eb.mend(network, "average")(image()), sum(outputs) / 4)


def test_super_resolution_moves_its_output_by_as_much_more():
    network = torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.Upsample(scale_factor=4))
    mended = eb.mend(network, "canonical")
    expected = mended(image()).roll((2, 6), (2, 3))
    assert torch.equal(mended(image().roll((1, 3), (2, 3))), expected)


@pytest.mark.parametrize(
    ("treatment", "message"),
    [
        ("canonicl", "no treatment is called 'canonicl'. Did you mean canonical?"),
        ("blur:size=4", "blur:size=4: binomial blurs have 2, 3 or 5 taps"),
        ("blur:taps=3", "it takes size"),
        ("circular+", "'' names nothing"),
    ],
)
def test_a_mistake_is_named(treatment, message):
    with pytest.raises(UsageError) as raised:
        eb.mend(Net(), treatment)
    assert message in str(raised.value)


def test_a_suite_is_not_treated():
    with pytest.raises(UsageError, match="models are treated"):
        eb.load_suite("noise,n=1,mend=circular")


def test_ls_shows_treatments_and_python_lists_them():
    assert {"aps", "average", "blur", "canonical", "circular"} <= set(eb.list_treatments())
    shown = listing("treatments", "canonical", width=200)
    assert "retraining: False" in shown
    assert "exact: True" in shown


def test_a_plugin_adds_a_treatment_by_reference(plugin):
    file = plugin("def halved(factor=2):\n    return lambda model: lambda x: model(x) / factor\n")
    mended = eb.mend(torch.nn.Identity(), f"{file}:halved:factor=4")
    assert torch.equal(mended(image()), image() / 4)


def test_and_by_a_decorator():
    @eb.register_treatment("nothing", summary="for this test")
    def nothing():
        return lambda model: model

    network = Net()
    assert eb.mend(network, "nothing+nothing") is network


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_treated_network_is_fine_tuned_from_old_weights_and_what_is_written_fits_either(
    cli, tmp_path
):
    (tmp_path / "suite.py").write_text(SUITE)
    spec = "unet-baseline,width=0.03125"
    common = ("-s", "suite.py:Tiny", "--epochs", 1, "--crops", 1, "--crop", 0)
    assert cli("train", spec, *common, "-o", "old.safetensors")[0] == 0
    status, _, said = cli(
        "train", f"{spec},mend=aps", *common, "--from", "old.safetensors", "-o", "new.safetensors"
    )
    assert status == 0, said
    described = read_weights(tmp_path / "new.safetensors").trained
    assert described["preset"] == "finetune"
    assert described["mend"] == "aps"
    assert described["from"] == "old.safetensors"
    plain = load_spec(Spec.parse(f"{spec},weights=new.safetensors"))
    assert plain.notes == ("weights were trained with mend=aps",)
    treated = load_spec(Spec.parse(f"{spec},mend=aps,weights=new.safetensors"))
    assert treated.notes == ()
    old = load_spec(Spec.parse(f"{spec},weights=old.safetensors")).model.state_dict()
    new = plain.model.state_dict()
    assert old.keys() == new.keys()
    moved = [(new[k] - old[k]).norm() / old[k].norm() for k in new if k.endswith("weight")]
    assert 0 < max(moved) < 0.5  # it began where the old ones ended


SUITE = """
import torch
import equibench as eb


class Tiny(eb.Suite):
    name = "tiny"
    parts = {"train": {"part": "train"}, "validation": {"part": "val"}}

    def __init__(self, part="val"):
        self.part = part

    def cases(self):
        return ["a", "b"]

    def load(self, name):
        image = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(ord(name)))
        return eb.Case(name, image, image)
"""
