"""Trained weights: how they come about, and what they refuse to be loaded into."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lazy_imports import Lazy
from safetensors import safe_open

from equibench.errors import EquibenchError, UsageError
from equibench.foundation.file_locks import locked
from equibench.loading.load import load_spec
from equibench.models.training.recipes import PRESETS, recipe
from equibench.registry.specs import Spec

training, modules = (
    Lazy("equibench.models.training.train"),
    Lazy("equibench.models.training.module"),
)
plugins = Lazy("pytorch_lightning.plugins.io")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

# float32 sums differ with their order; SSIM is within 1e-8 of float64, however small it is
METRICS = {"rel": 1e-5, "abs": 1e-8}

DENOISING = '''
class Denoising(eb.Suite):
    """Four noisy images (1, 1, 32, 32)."""
    name = "denoising"
    clamp = 6.0
    parts = {"train": {"part": "train"}, "validation": {"part": "val"}}

    def __init__(self, part="val"):
        self.seed = {"train": 0, "val": 1}[part]

    def cases(self):
        return list("abcd")

    def load(self, name):
        random = torch.Generator().manual_seed(self.seed + ord(name))
        noise, waves = torch.randn(2, 1, 1, 32, 32, generator=random)
        clean = torch.nn.functional.avg_pool2d(waves, 9, 1, 4) * 6
        one = torch.ones(1)
        return eb.Case(name, clean + noise, 50 * clean + 7, scale=50 * one, offset=7 * one)


class Endless(Denoising):
    """Draws as many others: an image of one value, which tells its seed and number."""
    name = "endless"
    drawn = []

    def draw(self, seed, number):
        self.drawn.append((seed, number))
        image = torch.full((1, 1, 32, 32), number / 100 + seed)
        return eb.Case(str(number), image, image)


class Stops(torch.nn.Conv2d):
    """A network that is interrupted in its eleventh forward pass."""
    calls = 0

    def __init__(self):
        super().__init__(1, 1, 3, padding=1)

    def forward(self, x):
        Stops.calls += 1
        if Stops.calls == 11:
            raise KeyboardInterrupt
        return super().forward(x) * torch.bernoulli(torch.full_like(x, 0.5))


class Silent(eb.Suite):
    name = "silent"
    parts = {"train": {}, "validation": {}}

    def cases(self):
        return ["a"]

    def load(self, name):
        return eb.Case(name, torch.ones(1, 1, 32, 32))


def wide():
    return torch.nn.Conv2d(1, 2, 1)


def infinite():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.Threshold(1e9, float("nan")))


class NaNInEvaluation(torch.nn.Conv2d):
    """Learns, and gives what is no number as soon as it is evaluated."""

    def __init__(self):
        super().__init__(1, 1, 3, padding=1)

    def forward(self, x):
        return super().forward(x) if self.training else x * float("nan")


class Two(torch.nn.Conv2d):
    def __init__(self):
        super().__init__(1, 1, 1)

    def forward(self, x):
        return super().forward(x), x


def function():
    return torch.relu


def sized(width=4):
    assert isinstance(width, int), width
    return torch.nn.Sequential(torch.nn.Conv2d(1, width, 1), torch.nn.Conv2d(width, 1, 1))
'''

DRAWN = recipe("sample-mri", epochs=3, drawn=4, batch=2, warmup=2)
SMALL = recipe("sample", epochs=3, crop=16, crops=2, batch=2, lr_step=1, warmup=3, freeze_norm=1)


@pytest.fixture
def suite(plugin):
    """The noisy images, as users name them."""
    return f"{plugin(DENOISING)}:Denoising"


def fit(model, suite, out, recipe=SMALL, **options):
    return training.train(
        Spec.parse(model), Spec.parse(suite), recipe, out, progress=False, **options
    )


def test_equal_trainings_write_equal_bytes(suite, tmp_path):
    for name in ("a", "b"):
        fit("unet-aps-3,width=0.05", suite, tmp_path / f"{name}.safetensors")
    first, second = (tmp_path / f"{name}.safetensors" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_another_seed_gives_other_weights(suite, tmp_path):
    states = []
    for seed in (0, 1):
        file = tmp_path / f"{seed}.safetensors"
        fit("unet-aps,width=0.05", suite, file, seed=seed)
        with safe_open(file, "pt") as content:
            states.append(content.get_tensor("head.weight"))
    assert not torch.equal(*states)


@pytest.mark.long
def test_training_lowers_the_error_of_the_input(suite, tmp_path):
    chosen = recipe("sample", epochs=30, crop=0, crops=1, batch=2, lr_step=10)
    trained = fit("unet-baseline,width=0.05", suite, tmp_path / "a.safetensors", chosen)
    case = load_case(suite)
    unchanged = (50 * case.input + 7 - case.target).square().sum() / case.target.square().sum()
    assert trained["validation"]["nmse"] < 0.5 * unchanged


def test_a_training_that_was_interrupted_ends_in_the_same_weights(plugin, suite, tmp_path):
    out, whole = tmp_path / "a.safetensors", tmp_path / "whole.safetensors"
    model = f"{tmp_path / 'plugin.py'}:Stops"
    with pytest.raises(KeyboardInterrupt):
        fit(model, suite, out)
    assert out.with_suffix(".ckpt").exists()
    assert not out.exists()
    fit(model, suite, out)
    assert not out.with_suffix(".ckpt").exists()
    fit(model, suite, whole)
    assert out.read_bytes() == whole.read_bytes()


def test_a_training_on_drawn_images_that_was_interrupted_ends_in_the_same_weights(plugin, tmp_path):
    endless = f"{plugin(DENOISING)}:Endless"
    out, whole = tmp_path / "a.safetensors", tmp_path / "whole.safetensors"
    model = f"{tmp_path / 'plugin.py'}:Stops"
    with pytest.raises(KeyboardInterrupt):
        fit(model, endless, out, DRAWN)
    assert out.with_suffix(".ckpt").exists()
    fit(model, endless, out, DRAWN)
    fit(model, endless, whole, DRAWN)
    assert out.read_bytes() == whole.read_bytes()


def test_the_file_has_the_validation_after_every_epoch_also_of_those_before_an_interrupt(
    plugin, suite, tmp_path
):
    model, out = f"{tmp_path / 'plugin.py'}:Stops", tmp_path / "a.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(model, suite, out)
    trained = fit(model, suite, out)
    assert {name: len(values) for name, values in trained["history"].items()} == dict.fromkeys(
        trained["validation"], SMALL.epochs
    )


def test_every_epoch_draws_images_that_no_other_has(plugin, tmp_path):
    endless = f"{plugin(DENOISING)}:Endless"
    suite = load_suite(endless)
    type(suite).drawn.clear()
    fit("unet-baseline,width=0.05", endless, tmp_path / "a.safetensors", DRAWN, seed=5)
    epochs = [type(suite).drawn[i : i + 4] for i in (0, 4, 8)]
    assert [set(epoch) for epoch in epochs] == [
        {(5, number) for number in range(first, first + 4)} for first in (0, 4, 8)
    ]


def test_the_rate_rises_while_it_warms_up_and_falls_along_a_cosine_to_zero(plugin, tmp_path):
    rates = []

    class Watched(modules.TrainingModule):
        def on_train_batch_start(self, batch, number):
            super().on_train_batch_start(batch, number)
            rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equibench.models.training.train.TrainingModule", Watched)
        fit(
            "unet-baseline,width=0.05", f"{plugin(DENOISING)}:Endless",
            tmp_path / "a.safetensors", DRAWN,
        )  # fmt: skip
    cosine = [2e-3 * (1 + np.cos(np.pi * k / 6)) / 2 for k in range(6)]
    assert rates == pytest.approx([cosine[0] / 2, *cosine[1:]], rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({"milestones": "2,3"}, [1, 1, 0.5, 0.25, 0.25]),
        ({"milestones": [1]}, [1, 0.5, 0.5, 0.5, 0.5]),
        ({"milestones": "", "lr_step": 2}, [1, 1, 0.5, 0.5, 0.25]),
    ],
)
def test_the_rate_falls_at_milestones_or_else_in_steps(suite, tmp_path, changes, rates):
    found = []

    class Watched(modules.TrainingModule):
        def on_train_batch_start(self, batch, number):
            super().on_train_batch_start(batch, number)
            if number == 0:
                found.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    chosen = recipe(
        "sample", epochs=5, crop=16, crops=1, batch=2, learning_rate=1.0, lr_factor=0.5, **changes
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equibench.models.training.train.TrainingModule", Watched)
        fit("unet-baseline,width=0.05", suite, tmp_path / "a.safetensors", chosen)
    assert found == rates


def test_a_step_replaces_the_milestones_of_a_preset():
    assert recipe("sample-ct-unet").milestones == [10, 15, 20]
    assert recipe("sample-ct-unet", lr_step=7).milestones == []
    with pytest.raises(UsageError, match="milestones"):
        recipe("sample", milestones="2,x")
    with pytest.raises(UsageError, match="milestones"):
        recipe("sample", milestones="0,3")


def test_a_weights_file_says_where_it_comes_from(suite, tmp_path):
    file = tmp_path / "a.safetensors"
    trained = fit("unet-lpf-2,width=0.05", suite, file, preset="sample", seed=3)
    with safe_open(file, "pt") as content:
        said = json.loads(content.metadata()["equibench"])
    assert said == trained
    assert said["model"] == "unet-lpf-2"
    assert said["arguments"] == {"width": 0.05}
    assert said["suite"] == "denoising"
    assert said["preset"] == "sample"
    assert said["recipe"] == SMALL.model_dump()
    assert said["seed"] == 3
    assert said["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert set(said["validation"]) == {"nmse", "psnr", "ssim"}
    assert "commit" in said


def test_validation_is_what_the_harness_measures(suite, tmp_path):
    import equibench as eb

    file = tmp_path / "a.safetensors"
    trained = fit("unet-aps,width=0.05", suite, file)
    rows = eb.evaluate(
        f"unet-aps,width=0.05,weights={file}", suite, shifts="grid:max=1,step=1"
    ).rows
    means = rows[rows["draw"] == 0][["nmse", "psnr", "ssim"]].mean()
    assert trained["validation"] == pytest.approx(means.to_dict(), **METRICS)


@pytest.mark.long
def test_weights_stored_as_float16_are_validated_as_they_are_stored(suite, tmp_path):
    import equibench as eb

    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    fit("unet-aps,width=0.125", suite, whole)
    trained = fit("unet-aps,width=0.125", suite, half, half=True)
    assert half.stat().st_size < 0.53 * whole.stat().st_size
    rows = eb.evaluate(f"unet-aps,width=0.125,weights={half}", suite, shifts="paper").rows
    means = rows[rows["draw"] == 0][["nmse", "psnr", "ssim"]].mean()
    assert trained["validation"] == pytest.approx(means.to_dict(), **METRICS)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "unet-aps-3,width=0.05",
            "unet-aps-3,width=0.05: weights={file} are of unet-aps-2,width=0.05, "
            "not of unet-aps-3,width=0.05",
        ),
        (
            "unet-aps-2,label=mine",
            "mine: weights={file} are of unet-aps-2 with width=0.05, not with width=1.0",
        ),
    ],
)
def test_weights_of_another_variant_or_width_are_refused(suite, tmp_path, model, message):
    file = tmp_path / "a.safetensors"
    fit("unet-aps-2,width=0.05", suite, file, recipe("sample", epochs=1, crop=16, crops=1))
    with pytest.raises(EquibenchError) as raised:
        load_spec(Spec.parse(f"{model},weights={file}"))
    assert str(raised.value) == message.format(file=file)


def test_input_and_target_are_shifted_and_cropped_alike(suite):
    chosen = recipe("sample", crop=16, shift_augment=16)
    module = modules.TrainingModule(torch.nn.Identity(), "", load_suite(suite), chosen, 0, {})
    images = torch.arange(2 * 32 * 32.0).reshape(2, 1, 32, 32)
    corners = set()
    for seed in range(20):
        a, b = module._varied(images, -images, np.random.default_rng(seed))
        assert a.shape == (2, 1, 16, 16)
        assert torch.equal(a, -b)
        assert torch.equal(a[1] - a[0], torch.full((1, 16, 16), 1024.0))
        corners.add(float(a[0, 0, 0, 0]))
    assert len(corners) > 15


def test_the_paper_s_recipes_are_its_own():
    common = {
        "task": "regression",
        "clip": 1.0,
        "crop": 0,
        "crops": 1,
        "shift_augment": 0,
        "skip_dropout": 0,
        "skip_until": 0.5,
        "freeze_norm": 0,
        "warmup": 0,
        "error_augment": 1.0,
        "schedule": "steps",
        "milestones": [],
        "drawn": 0,
    }
    assert PRESETS["paper-mri"].model_dump() == common | {
        "epochs": 50, "batch": 16, "learning_rate": 1e-3, "lr_step": 5, "lr_factor": 0.5,
    }  # fmt: skip
    assert PRESETS["paper-ct"].model_dump() == common | {
        "epochs": 20, "batch": 8, "learning_rate": 1e-2, "lr_step": 5, "lr_factor": 0.1,
    }  # fmt: skip


def test_the_command_trains_with_a_preset_whose_values_are_overridden(cli, suite, tmp_path):
    status, out, err = cli(
        "train", "unet-aps", "-s", suite, "--width", 0.05, "--epochs", 2, "--crop", 16,
        "--crops", 1, "--shift-augment", 16, "-o", "w.safetensors",
    )  # fmt: skip
    assert status == 0, err
    assert [line.split(":")[0] for line in err.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert out.splitlines()[0].startswith("validation: nmse ")
    assert out.splitlines()[1] == "weights: w.safetensors"
    with safe_open(tmp_path / "w.safetensors", "pt") as content:
        said = json.loads(content.metadata()["equibench"])
    assert said["recipe"] == PRESETS["sample"].model_dump() | {
        "epochs": 2, "crop": 16, "crops": 1, "shift_augment": 16,
    }  # fmt: skip


REFUSED = {
    "no such preset": (
        ("unet-aps", "-s", "{suite}", "--preset", "large"),
        "no preset is called 'large': choose paper-mri, paper-ct, sample, sample-mri, ",
    ),
    "bad value": (
        ("unet-aps", "-s", "{suite}", "--epochs", "0"),
        "preset sample: epochs = 0: input should be greater than 0",
    ),
    "no parts": (
        ("unet-aps", "-s", "noise"),
        "suite 'noise' has no train part to train with",
    ),
    "no truth": (
        ("unet-aps,width=0.05", "-s", "{file}:Silent", "--crop", "0"),
        "silent: case a has no ground truth to learn",
    ),
    "no images to draw": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--crop", "0", "--drawn", "4"),
        "suite 'denoising' has no images to draw: take --drawn 0",
    ),
    "a large crop": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--crop", "64"),
        "--crop 64 is larger than an image, 32×32",
    ),
    "a size that does not fit": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--crop", "20"),
        "unet-aps,width=0.05 raised ValueError on denoising, batch 0 (input (4, 1, 20, 20)): the "
        "total stride 16 does not divide the size 20×20: crop to 16×16 (padding would break "
        "equivariance)",
    ),
    "a function": (
        ("{file}:function", "-s", "{suite}"),
        "plugin:function is a plain callable: only a torch.nn.Module can be trained",
    ),
    "channels": (
        ("{file}:wide", "-s", "{suite}", "--crop", "0"),
        "plugin:wide returned (4, 2, 32, 32) on denoising, where the ground truth is "
        "(4, 1, 32, 32): set its number of output channels",
    ),
    "divergence": (
        ("{file}:infinite", "-s", "{suite}", "--crop", "0"),
        "plugin:infinite: the nmse of its validation after epoch 1 is no number; take a smaller "
        "--learning-rate",
    ),
    "divergence in validation": (
        ("{file}:NaNInEvaluation", "-s", "{suite}", "--crop", "0"),
        "plugin:NaNInEvaluation: the nmse of its validation after epoch 1 is no number; take a "
        "smaller --learning-rate",
    ),
    "two outputs": (
        ("{file}:Two", "-s", "{suite}", "--crop", "0"),
        "plugin:Two returned a tuple (Tensor (4, 1, 32, 32), Tensor (4, 1, 32, 32)) on "
        "denoising, batch 0 (input (4, 1, 32, 32)), not one tensor (4, C, 32, 32): set "
        "out.select=0; but train takes no adapters: let the network do that itself",
    ),
    "a card that is not here": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--device", "cuda:99"),
        f"device 'cuda:99' is not here ({torch.cuda.device_count()} CUDA devices): take --device "
        "cpu",
    ),
    "no device": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--device", "foo"),
        "no device is called 'foo': take auto, cpu, cuda or cuda:1",
    ),
    "no devices": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--devices", "0"),
        "Invalid value for '--devices': Input should be greater than or equal to 1",
    ),
    "no precision": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--precision", "foo"),
        "unet-aps,width=0.05 cannot be trained here: ValueError: Precision 'foo' is invalid.",
    ),
    "no strategy": (
        ("unet-aps,width=0.05", "-s", "{suite}", "--strategy", "foo"),
        "unet-aps,width=0.05 cannot be trained here: ValueError: You selected an invalid strategy",
    ),
    "clip": (
        ("unet-aps", "-s", "{suite}", "--clip", "-1"),
        "preset sample: clip = -1.0: input should be greater than or equal to 0",
    ),
    "nowhere to write": (
        ("unet-aps,width=0.05", "-s", "{suite}", "-o", "old.safetensors/w.safetensors"),
        "cannot write old.safetensors/w.safetensors: ",
    ),
    "suffix": (
        ("unet-aps", "-s", "{suite}", "-o", "w.pt"),
        "weights are written as safetensors: choose w.safetensors",
    ),
    "exists": (
        ("unet-aps", "-s", "{suite}", "-o", "old.safetensors"),
        "old.safetensors exists already: delete it or choose another --out",
    ),
    "a foreign checkpoint": (
        ("unet-aps,width=0.05", "-s", "{suite}", "-o", "foreign.safetensors"),
        "cannot resume from foreign.ckpt (UnpicklingError: Weights only load failed. In PyTorch "
        "2.6, we changed the default value of the `weights_only` argument in `torch.load` from "
        "`False` to `True`. Re-running `torch.load` with `weights_only` set to `False` will "
        "likely succeed, but it can result in arbitrary code execution. Do it only if you got "
        "the file from a trusted source.): delete foreign.ckpt to start anew, or choose another "
        "--out",
    ),
    "another training": (
        (
            "{file}:Stops",
            "-s",
            "{suite}",
            "--seed",
            "1",
            "-o",
            "other.safetensors",
            "--epochs",
            "3",
            "--crop",
            "16",
            "--crops",
            "2",
            "--batch",
            "2",
            "--lr-step",
            "1",
            "--freeze-norm",
            "1",
            "--warmup",
            "3",
        ),
        "other.ckpt is of another training: seed was 0 and is 1; delete other.ckpt to start "
        "anew, or choose another --out",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_in_one_line(cli, suite, tmp_path, name):
    arguments, message = REFUSED[name]
    file = tmp_path / "plugin.py"
    (tmp_path / "old.safetensors").touch()
    (tmp_path / "foreign.ckpt").write_bytes(b"no checkpoint")
    if name == "another training":
        with pytest.raises(KeyboardInterrupt):
            fit(f"{file}:Stops", suite, tmp_path / "other.safetensors", preset="sample")
    filled = [str(a).format(suite=suite, file=file) for a in arguments]
    status, _, err = cli("train", *filled)
    lines = [line for line in err.splitlines() if not line.startswith("more: equibench explain ")]
    *before, last = lines
    assert last.removeprefix("Error: ").removeprefix("equibench: ").startswith(message)
    assert all(line.startswith(("epoch ", "Usage: ", "Try ")) or not line for line in before)
    assert status in (1, 2)


def load_suite(text):
    from equibench.loading.suites import build_suite

    suite = build_suite(Spec.parse(text), {})
    return suite


def load_case(text):
    return load_suite(text).load("a")


@pytest.mark.parametrize("width", [3, "3"])
def test_width_is_the_whole_number_that_is_written(cli, plugin, suite, tmp_path, width):
    status, _, err = cli(
        "train", f"{tmp_path / 'plugin.py'}:sized", "-s", suite, "--width", width, "--epochs", 1,
        "--crop", 16, "-o", "w.safetensors",
    )  # fmt: skip
    assert (status, err.count("epoch")) == (0, 1), err


def test_weights_of_a_network_in_a_file_load_under_any_spelling_of_its_path(suite, tmp_path, cli):
    fit(f"{tmp_path / 'plugin.py'}:sized", suite, tmp_path / "w.safetensors")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "plugin.py").write_bytes((tmp_path / "plugin.py").read_bytes())
    for path in ("plugin.py", "./plugin.py", "moved/plugin.py"):
        load_spec(Spec.parse(f"{path}:sized,weights=w.safetensors"))
    with pytest.raises(EquibenchError, match="are of plugin:sized, not of plugin:wide"):
        load_spec(Spec.parse("plugin.py:wide,weights=w.safetensors"))


def test_a_training_whose_network_was_edited_meanwhile_is_not_resumed(suite, tmp_path):
    out, file = tmp_path / "a.safetensors", tmp_path / "plugin.py"
    with pytest.raises(KeyboardInterrupt):
        fit(f"{file}:Stops", suite, out)
    file.write_text(file.read_text().replace("0.5))", "0.25))"))
    with pytest.raises(EquibenchError, match="its source or the weights that it starts from"):
        fit(f"{file}:Stops", suite, out)


def test_two_trainings_do_not_write_one_file(suite, tmp_path):
    out = tmp_path / "a.safetensors"
    with locked(tmp_path / ".a.safetensors.lock"), pytest.raises(EquibenchError) as caught:
        fit("unet-aps,width=0.05", suite, out)
    assert str(caught.value) == (
        f"another training writes {out}: wait for it or choose another --out"
    )
    fit("unet-aps,width=0.05", suite, out)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(suite, tmp_path, monkeypatch):
    file = tmp_path / "a.ckpt"
    checkpoints = modules.AtomicCheckpoints()
    checkpoints.save_checkpoint({"epoch": 1}, file)

    def full(content, stream, *options):
        Path(stream).write_bytes(b"half of it")
        raise OSError(28, "no space")

    monkeypatch.setattr(
        plugins.TorchCheckpointIO, "save_checkpoint", lambda self, c, p, o: full(c, p)
    )
    with pytest.raises(EquibenchError, match=r"cannot write .*a\.ckpt: No space left"):
        checkpoints.save_checkpoint({"epoch": 2}, file)
    assert torch.load(file) == {"epoch": 1}
    assert list(tmp_path.glob(".*")) == []
