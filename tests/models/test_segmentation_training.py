"""Networks that label pixels: what they are trained by, validated by, and refused for."""

import pytest
import torch
from lazy_imports import Lazy

from equibench.models.training.recipes import PRESETS, recipe
from equibench.models.training.tasks import cross_entropy_and_dice
from equibench.registry.specs import Spec

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

monai, training = Lazy("monai.losses"), Lazy("equibench.models.training.train")

LEVELS = '''
class Levels(eb.Suite):
    """Four noisy images (1, 1, 32, 32), with the level of each pixel; nothing is known of a row."""
    name = "levels"
    metrics = ("agreement", "iou", "dice")
    parts = {"train": {"part": "train"}, "validation": {"part": "val"}}

    def __init__(self, part="val"):
        self.seed = {"train": 0, "val": 1}[part]

    def cases(self):
        return list("abcd")

    def load(self, name):
        random = torch.Generator().manual_seed(self.seed + ord(name))
        noise, waves = torch.randn(2, 1, 1, 32, 32, generator=random)
        clean = torch.nn.functional.avg_pool2d(waves, 9, 1, 4) * 6
        levels = (clean > 0.5).long() + (clean > -0.5).long()
        levels[:, :, 5] = -1
        return eb.Case(name, clean + 0.3 * noise, levels)


class Images(Levels):
    """The same images, with ground truths that are none of labels."""

    def load(self, name):
        case = super().load(name)
        return eb.Case(name, case.input, case.input)


class Larger(Levels):
    """The same images, with labels of twice their size."""

    def load(self, name):
        case = super().load(name)
        return eb.Case(name, case.input, case.target.repeat(1, 1, 2, 2))


def narrow():
    return torch.nn.Conv2d(1, 2, 1)


def infinite():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1), torch.nn.Threshold(1e9, float("nan")))
'''

CHOSEN = recipe("sample-seg", drawn=0, epochs=3, batch=2, crops=4, warmup=2)


@pytest.fixture
def suite(plugin):
    """Images and labels, as users name them."""
    return f"{plugin(LEVELS)}:Levels"


@pytest.fixture
def batch():
    """Logits (2, 3, 8, 8), and classes that are all in them."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=random, requires_grad=True)
    return logits, torch.randint(0, 3, (2, 1, 8, 8), generator=random)


def fit(model, suite, out, recipe=CHOSEN):
    return training.train(Spec.parse(model), Spec.parse(suite), recipe, out, progress=False)


def test_the_loss_of_labels_is_monai_s_cross_entropy_and_dice(batch):
    theirs = monai.DiceCELoss(softmax=True, to_onehot_y=True, batch=True, smooth_nr=0, smooth_dr=0)
    assert cross_entropy_and_dice(*batch).item() == pytest.approx(theirs(*batch).item(), rel=1e-5)


def test_ignored_pixels_are_left_out_of_the_loss_and_of_its_gradient(batch):
    logits, classes = batch
    whole = cross_entropy_and_dice(logits[..., :5], classes[..., :5])
    classes[..., 5:] = -1
    loss = cross_entropy_and_dice(logits, classes)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[..., 5:].any()
    assert gradient[..., :5].any()


def test_a_class_that_a_batch_does_not_have_is_left_out_of_dice(batch):
    _, classes = batch
    certain = 1e4 * torch.nn.functional.one_hot(classes[:, 0], 3).movedim(-1, 1)
    absent = torch.cat((certain, torch.full_like(certain[:, :1], -1e4)), dim=1)
    assert cross_entropy_and_dice(absent.float(), classes).item() == pytest.approx(0, abs=1e-6)


def test_a_batch_of_which_nothing_is_known_has_no_loss(batch):
    logits, classes = batch
    assert cross_entropy_and_dice(logits, torch.full_like(classes, -1)).item() == 0


def test_what_a_network_is_validated_by_is_what_the_harness_measures(suite, tmp_path):
    import equibench as eb

    file = tmp_path / "a.safetensors"
    model = "unet-aps,width=0.05,out_channels=3"
    trained = fit(model, suite, file)
    rows = eb.evaluate(
        f"{model},out.labels=argmax,weights={file}", suite, shifts="grid:max=1,step=1"
    ).rows
    means = rows[rows["draw"] == 0][["agreement", "iou", "dice"]].mean()
    assert trained["validation"] == pytest.approx(means.to_dict(), rel=1e-6)
    assert trained["recipe"]["task"] == "segmentation"


@pytest.mark.long
def test_training_finds_the_levels(suite, tmp_path):
    chosen = recipe("sample-seg", drawn=0, epochs=8, batch=2, crops=8, warmup=2, learning_rate=1e-2)
    trained = fit(
        "unet-baseline,width=0.05,out_channels=3", suite, tmp_path / "a.safetensors", chosen
    )
    assert trained["validation"]["dice"] > 0.75


def test_the_command_takes_a_task_beside_any_preset(cli, suite):
    status, out, err = cli(
        "train", "unet-aps,out_channels=3", "-s", suite, "--task", "segmentation",
        "--width", 0.05, "--epochs", 1, "--crop", 16, "--crops", 1, "-o", "w.safetensors",
    )  # fmt: skip
    assert status == 0, err
    assert out.startswith("validation: agreement 0.")
    assert PRESETS["sample"].task == "regression"


REFUSED = {
    "images for labels": (
        ("unet-aps,width=0.05,out_channels=3", "-s", "{file}:Images", "--task", "segmentation"),
        "levels: --task segmentation learns classes in whole numbers, and the ground truth is "
        "(1, 1, 32, 32) of float32",
    ),
    "labels for images": (
        ("unet-aps,width=0.05,out_channels=3", "-s", "{suite}", "--task", "regression"),
        "levels: the ground truth is classes: --task segmentation",
    ),
    "one channel": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--task", "segmentation"),
        "unet-aps,width=0.05 returned (4, 1, 32, 32) on levels, where classes go up to 2: give it "
        "a channel for each, out_channels=3 or more",
    ),
    "too few channels": (
        ("{file}:narrow", "-s", "{suite}", "--task", "segmentation"),
        "plugin:narrow returned (4, 2, 32, 32) on levels, where classes go up to 2: give it "
        "a channel for each, out_channels=3 or more",
    ),
    "another size": (
        ("unet-aps,width=0.05,out_channels=3", "-s", "{file}:Larger", "--task", "segmentation"),
        "unet-aps,width=0.05,out_channels=3 returned (4, 3, 32, 32) on levels, where the labels "
        "are (4, 1, 64, 64): train on labels of the size of their images",
    ),
    "divergence": (
        ("{file}:infinite", "-s", "{suite}", "--task", "segmentation"),
        "plugin:infinite: the agreement of its validation after epoch 1 is no number; take a "
        "smaller --learning-rate",
    ),
    "amplified errors": (
        ("{file}:narrow", "-s", "{suite}", "--task", "segmentation", "--error-augment", "2"),
        "--error-augment needs targets that are images of the inputs' shape",
    ),
    "labels of the adapter": (
        ("unet-aps,out_channels=3,out.labels=argmax", "-s", "{suite}", "--task", "segmentation"),
        "out.labels at unet-aps: a network is trained as it is; adapt it where it is measured",
    ),
    "no such task": (
        ("unet-aps", "-s", "{suite}", "--task", "detection"),
        "preset sample: task = 'detection': input should be 'regression' or 'segmentation'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_the_task_is_refused_in_one_line(cli, suite, tmp_path, name):
    arguments, message = REFUSED[name]
    filled = [str(a).format(suite=suite, file=tmp_path / "plugin.py") for a in arguments]
    status, _, err = cli("train", *filled, "--crop", 0, "--crops", 1)
    last = err.splitlines()[-1]
    assert last.removeprefix("Error: ").removeprefix("equibench: ") == message
    assert status in (1, 2)
