"""A network that is no function of its image is named by kind, and nothing is claimed of it."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import equibench as eb
from equibench.evidence.repeatability import repeatability
from equibench.guard.baseline import Baseline
from equibench.guard.gate import judge
from equibench.inference.placement import placed
from equibench.inference.precision import numerics
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.reports.tables.summary_table import as_table


class Drifting(nn.Module):
    """Gives a little more with every pass."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        return x * (1 + 1e-3 * self.passes)


class Remembering(nn.Module):
    """Adds the mean of what it was given before."""

    def __init__(self):
        super().__init__()
        self.before = None

    def forward(self, x):
        now, self.before = self.before, x.mean()
        return x if now is None else x + now


class Private(nn.Module):
    """Draws from a generator of its own, which no seed reaches."""

    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        return x + torch.randn(x.shape, generator=self.generator)


def dropout(x):
    return functional.dropout(x, 0.5, training=True)


def batch_norm(x):
    return functional.batch_norm(x, None, None, training=True)


def by_slot(x):
    return x * torch.linspace(1, 2, len(x))[:, None, None, None]


KINDS = {
    "random": {
        "dropout": lambda: dropout,
        "sampling": lambda: lambda x: x + torch.randn_like(x),
        "Python's generator": lambda: lambda x: x * random.random(),
        "NumPy's generator": lambda: lambda x: x * float(np.random.rand()),  # noqa: NPY002
    },
    "keeps state": {"drift": Drifting, "memory": Remembering, "generator": Private},
    "depends on the batch": {
        "statistics": lambda: batch_norm,
        "maximum": lambda: lambda x: x / x.abs().amax(),
        "first of the batch": lambda: lambda x: x - x[:1],
        "neighbours": lambda: lambda x: x + x.flip(0),
    },
    "depends on the slot": {"scale": lambda: by_slot},
}
EACH = [(kind, name) for kind, networks in KINDS.items() for name in networks]


@pytest.fixture
def noise():
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def found(model, images, seed=None, **options):
    config = RunConfig(models=("m",), suites=("s",), device="cpu", **options)
    settings = Settings.of(config)
    with placed(model, settings.device, settings.precision) as forward, numerics("fp32"):
        forward = forward if seed is None else forward.seeded(seed)
        return repeatability(forward, eb.ImageCases(images), ["00000"], settings)


@pytest.mark.parametrize("batch", [2, 5])
@pytest.mark.parametrize(("kind", "name"), EACH)
def test_what_differs_is_named_by_kind(kind, name, batch, noise):
    assert found(KINDS[kind][name](), noise, batch=batch).kind == kind


@pytest.mark.parametrize("spec", ["unet-lpf-3,width=0.05", "unet-aps,width=0.05"])
@pytest.mark.parametrize("image", ["noise", "ties"])
def test_a_network_that_repeats_itself_is_not_accused_of_rounding(spec, image, noise):
    images = noise if image == "noise" else (noise > 1).float()
    trial = found(eb.load_model(spec), images)
    assert trial.word == ""
    assert trial.nmse < 1e-11 or image == "ties"


def test_what_amplifies_rounding_does_not_depend_on_its_slot(noise):
    flat = nn.InstanceNorm2d(1, eps=0)
    by_rounding = lambda x: flat(x * (1 + 1e-7 * torch.arange(len(x))[:, None, None, None]) - x)  # noqa: E731
    assert found(lambda x: by_rounding(x) * 0 + x, noise).word == ""
    unstable = lambda x: torch.sin(1e6 * x)  # noqa: E731
    slots = lambda x: unstable(x * (1 + 1e-7 * torch.arange(len(x))[:, None, None, None]))  # noqa: E731
    trial = found(slots, noise)
    assert trial.nmse > 1e-4
    assert trial.word == ""


def test_a_trial_leaves_the_random_generators_as_they_were(noise):
    states = [torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()]  # noqa: NPY002
    found(dropout, noise)
    found(dropout, noise, seed=3)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", KINDS["random"])
def test_seeds_repeat_what_draws_from_common_generators(name, noise):
    model = KINDS["random"][name]()
    assert found(model, noise, seed=0).word == ""
    rows = [eb.evaluate(model, noise, seed_forward=True, progress=False).rows for _ in range(2)]
    assert rows[0].equals(rows[1])
    assert set(rows[0]["repeatability"]) == {"seeded"}
    assert rows[0]["floor_nmse"].eq(0).all()


@pytest.mark.slow
def test_seeds_change_nothing_of_a_network_that_draws_nothing(noise):
    model = eb.load_model("unet-aps-3,width=0.05")
    plain, seeded = (
        eb.evaluate(model, noise, seed_forward=on, progress=False).rows for on in (False, True)
    )
    assert plain.equals(seeded)


@pytest.mark.parametrize(("kind", "name"), EACH)
def test_nothing_is_claimed_of_all_shifts(kind, name, noise):
    result = eb.evaluate(KINDS[kind][name](), noise, shifts="all", progress=False)
    assert result.proof is None
    assert set(result.rows["evidence"]) == {""}
    assert set(result.rows["repeatability"]) == {kind}
    assert result.summary["evidence"].item() == ""
    # ten random shifts of each image, beside what it does without any
    assert result.summary["shifts"].item() == 20
    assert result.summary["repeat_nmse"].item() > 1e-7


@pytest.mark.long
def test_run_table_page_and_guard_name_the_kind(tmp_path, plugin, cli):
    source = """
@eb.register_model("dropping")
def dropping():
    return lambda x: torch.nn.functional.dropout(x, 0.5, training=True)
"""
    model = f"{plugin(source)}:dropping,label=dropping"
    arguments = ("run", "-m", model, "-s", "noise,n=1,size=16", "--shifts", "all")
    status, out, err = cli(*arguments, "--out", "run")
    assert status == 0
    assert "dropping on noise is random: the same image, unshifted, gives outputs" in err
    assert "random: dropping on" in out
    assert "enumerated" not in out
    manifest = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert manifest["repeatability"]["dropping"]["noise"]["kind"] == "random"
    assert cli("report", "run", "-o", "page", "--only", "html")[0] == 0
    assert "Random: dropping on" in (tmp_path / "page/index.html").read_text(encoding="utf-8")
    assert cli("check", "run", "--against", "b.json", "--update")[0] == 0
    assert '"repeatability": "random"' in (tmp_path / "b.json").read_text(encoding="utf-8")
    status, out, err = cli(*arguments, "--seed-forward", "--out", "seeded")
    assert status == 0
    assert "seeded: dropping on" in out
    with pytest.raises(AssertionError, match="is random: the same image"):
        eb.assert_shift_equivariant(dropout, torch.rand(1, 1, 16, 16))


def test_a_passing_limit_is_no_silence_about_a_network_that_depends_on_the_batch(noise):
    with pytest.warns(UserWarning, match="depends on the batch"):
        eb.assert_shift_equivariant(batch_norm, noise, nmse=1e-10)


def test_a_gate_sees_a_network_stop_repeating_itself(noise):
    conditions = {"frame": "canonical", "precision": "fp32", "shifts": "random", "seed": 0}
    suites = {"images": {"name": "images", "version": 1, "arguments": {}, "cases": []}}
    before, after = (
        Baseline.of_rows(
            eb.evaluate(model, noise, progress=False).rows.assign(model="net"), conditions, suites
        )
        for model in (lambda x: x, dropout)
    )
    verdicts = [v for v in judge(before, after) if v.metric == "repeatability"]
    assert [(v.mark, v.note) for v in verdicts] == [
        ("regression", "it was repeatable and is random")
    ]
    back = [v for v in judge(after, before) if v.metric == "repeatability"]
    assert [v.mark for v in back] == ["improved"]


def test_a_table_says_by_how_much_a_network_differs_from_itself(noise):
    summary = eb.evaluate(dropout, noise, progress=False).summary
    own = f"{summary['repeat_nmse'].item():.1e}"
    assert as_table(summary).notes == [
        f"random: dropout on images; the same image, unshifted, gives outputs that differ by an "
        f"NMSE of {own}, and nothing is known of all shifts"
    ]


@pytest.mark.long
def test_seeds_reach_a_network_in_a_process_of_its_own(tmp_path, plugin, noise):
    source = """
@eb.register_model("dropping")
def dropping():
    return lambda x: torch.nn.functional.dropout(x, 0.5, training=True)
"""
    model = f"{plugin(source)}:dropping"
    result = eb.evaluate(model, noise, isolate=True, seed_forward=True, progress=False)
    assert set(result.rows["repeatability"]) == {"seeded"}
    assert result.rows["floor_nmse"].eq(0).all()
