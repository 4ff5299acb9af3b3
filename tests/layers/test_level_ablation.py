"""Taking a level away leaves what theory says, whatever it is that brings the level up."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, pixel_shuffle

import equibench as eb
from equibench.errors import ModelError, UsageError
from equibench.models.polyphase import APSDown, APSUp


class Pyramid(nn.Module):
    """x + up(down(x)), with the upsampling that is asked for."""

    def __init__(self, up, depth=1):
        super().__init__()
        self.layer = up if isinstance(up, nn.Module) else None
        self.up, self.depth = up, depth

    def forward(self, x):
        deep = avg_pool2d(x, 2)
        if self.depth > 1:
            deep = deep + interpolate(avg_pool2d(deep, 2), scale_factor=2)
        return x + self.up(deep)


class Adaptive(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = APSDown(), APSUp()

    def forward(self, x):
        return x + self.up(*self.down(x))


def transposed():
    layer = nn.ConvTranspose2d(1, 1, 2, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    return layer


UPSAMPLINGS = {
    "a function": lambda x: interpolate(x, scale_factor=2),
    "a layer": nn.Upsample(scale_factor=2),
    "a transposed convolution": transposed(),
    "a shuffle": lambda x: pixel_shuffle(x.repeat(1, 4, 1, 1), 2),
}


@pytest.fixture
def image():
    return torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def ablate(model, images, **options):
    return eb.ablate_levels(model, images, device="cpu", **options).set_index("stride")


@pytest.mark.parametrize("name", UPSAMPLINGS)
def test_without_its_level_a_network_has_the_mean_of_what_came_up(name, image):
    levels = ablate(Pyramid(UPSAMPLINGS[name]), image)
    up = interpolate(avg_pool2d(image.double(), 2), scale_factor=2)
    expected = (up - up.mean()).square().sum() / (image + up).square().sum()
    assert list(levels.index) == [1, 2]
    assert levels.loc[2, "maps"] == "8×8"
    assert levels.loc[1, "change"] == 0
    assert levels.loc[2, "change"] == pytest.approx(float(expected), rel=1e-5)


def test_what_adaptive_layers_bring_up_is_a_level(image):
    levels = ablate(Adaptive(), image)
    assert levels.loc[2, "maps"] == "8×8"
    assert levels.loc[2, "change"] > 0.1


def test_a_deeper_level_costs_what_it_alone_brings_up(image):
    levels = ablate(Pyramid(UPSAMPLINGS["a function"], depth=2), image)
    double = image.double()
    deep = interpolate(avg_pool2d(double, 4), scale_factor=4)
    whole = double + interpolate(avg_pool2d(double, 2), scale_factor=2) + deep
    expected = (deep - deep.mean()).square().sum() / whole.square().sum()
    assert list(levels.index) == [1, 2, 4]
    assert levels.loc[4, "change"] == pytest.approx(float(expected), rel=1e-5)
    assert levels.loc[2, "change"] > levels.loc[4, "change"]


def test_a_level_that_the_output_does_not_depend_on_changes_nothing(image):
    model = eb.load_model("unet-baseline,width=0.05")
    with torch.no_grad():
        model.decoder[0][0].weight[:, 3:] = 0  # the channels that come up
    levels = ablate(model, image)
    assert (levels["change"] == 0).all()
    assert list(levels.index) == [1, 2, 4, 8, 16]


def test_quality_is_the_suite_s_as_evaluate_measures_it(image):
    model = Pyramid(UPSAMPLINGS["a layer"])
    images = image.repeat(2, 1, 1, 1) * torch.tensor([1.0, 2.0])[:, None, None, None]
    suite = eb.ImageCases(images, targets=images.roll(1, -1))
    levels = ablate(model, suite)
    rows = eb.evaluate(model, suite, device="cpu", shifts="random:n=1,max=2", progress=False).rows
    for column in ("nmse", "psnr", "ssim"):
        measured = rows[rows["draw"] == 0][column].mean()
        assert levels.loc[1, column] == pytest.approx(measured, rel=1e-9, abs=1e-8)


def test_labels_are_compared_as_labels(image):
    signs = nn.Conv2d(1, 2, 1, bias=False)
    signs.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    wide = nn.Sequential(Pyramid(UPSAMPLINGS["a layer"]), signs)
    model = eb.adapt(wide, "out.labels=argmax")
    with torch.no_grad():
        truth = wide(image).argmax(dim=1, keepdim=True)
    suite = eb.ImageCases(image, targets=truth, metrics=("agreement", "iou"))
    levels = ablate(model, suite)
    assert levels.loc[1, "agreement"] == levels.loc[1, "iou"] == 1
    assert levels.loc[2, "agreement"] < 1
    assert "psnr" not in levels


def test_channels_with_one_value_in_all_images_are_dead(image):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.up = nn.ReLU(), nn.Upsample(scale_factor=2)

        def forward(self, x):
            deep = avg_pool2d(x, 2)
            both = self.relu(torch.cat((deep, -1 - deep.abs()), dim=1))
            return x + self.up(both[:, :1])

    levels = ablate(Half(), torch.cat((image, -image)))
    assert levels["dead"].isna().tolist() == [True, False]
    assert levels.loc[2, "dead"] == 0.5


def test_the_network_is_afterwards_what_it_was(image):
    model = Pyramid(UPSAMPLINGS["a transposed convolution"])
    before = model(image)
    ablate(model, image)
    assert torch.equal(model(image), before)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (nn.Conv2d(1, 1, 3, padding=1), ModelError, "Conv2d has no level to take away"),
        (torch.relu, UsageError, "has no layers to attribute to: give a torch.nn.Module"),
    ],
)
def test_what_has_no_levels_to_see_is_refused_in_one_line(model, error, message, image):
    with pytest.raises(error, match=message) as raised:
        ablate(model, image)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_layers_of_torchscript_cannot_be_seen(image):
    with pytest.raises(UsageError, match="layers of TorchScript cannot be seen"):
        ablate(torch.jit.script(nn.Upsample(scale_factor=2)), image)


def test_an_output_that_the_truth_does_not_fit_is_named(image):
    wide = nn.Sequential(Pyramid(UPSAMPLINGS["a layer"]), nn.Conv2d(1, 2, 1))
    with pytest.raises(ModelError, match=r"output is \(1, 2, 16, 16\), .* truth \(1, 1, 16, 16\)"):
        ablate(wide, eb.ImageCases(image, targets=image))


def test_the_command_shows_a_line_for_every_level(cli):
    status, out, err = cli(
        "probe", "unet-lpf-2,width=0.05", "-s", "noise,n=1,size=32", "--levels", "--device", "cpu"
    )
    assert status == 0, err
    title, headings, _, *lines = out.splitlines()
    assert title == "unet-lpf-2,width=0.05 on noise"
    assert headings.split("  ")[0] == "without"
    assert [line.split("  ")[0] for line in lines] == [
        "nothing", *(f"stride {s} and deeper" for s in (2, 4, 8, 16)),
    ]  # fmt: skip


def test_two_questions_at_once_are_refused_in_one_line(cli):
    status, _, err = cli("probe", "unet-aps,width=0.05", "--levels", "--layers")
    assert (status, err) == (
        2, "equibench: --layers, --levels and --sizes answer one question each: name one\n",
    )  # fmt: skip
