"""What is computed early in a network serves all classes of shifts, and changes no row."""

import runpy
from contextlib import suppress
from math import ceil, prod
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional

import equibench as eb
import equibench.evaluation.model_on_suite
from equibench.errors import ModelError
from equibench.evidence.reading.interpreter import Refused
from equibench.evidence.reading.reuse.passes import StagedPasses
from equibench.evidence.reading.reuse.stages import staged

RANDOM = runpy.run_path(str(Path(__file__).parents[2] / "tools/random_networks.py"))

ROUNDING = 1e-12
BATCH = 4
KEPT = torch.ones(BATCH, 1, 8, 8)


class Skips(nn.Module):
    """An encoder of two strides and its decoder, in as many dimensions as are asked for."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        circular = {"padding": 1, "padding_mode": "circular"}
        self.into = layer(1, 4, 3, **circular)
        self.down = layer(4, 4, 3, stride=2, **circular)
        self.out = layer(8, 1, 3, **circular)

    def forward(self, x):
        early = functional.relu_(self.into(x))
        late = self.down(early)
        late += 1
        late = functional.interpolate(late, scale_factor=2, mode="nearest")
        return self.out(torch.cat([early, late], 1))


class Parts(nn.Module):
    """Channels that are taken apart before a stride, and put together after it."""

    def forward(self, x):
        one, two = torch.cat([x, 2 * x], 1).relu().chunk(2, 1)
        small = functional.avg_pool2d(one, 2)
        return functional.interpolate(small, scale_factor=2, mode="nearest") * two


NETWORKS = {
    "unet-baseline": (lambda: eb.load_model("unet-baseline,width=0.03125"), (32, 32)),
    "unet-lpf-3": (lambda: eb.load_model("unet-lpf-3,width=0.03125"), (32, 16)),
    "in place": (lambda: Skips(2), (8, 12)),
    "signals": (lambda: Skips(1), (12,)),
    "volumes": (lambda: Skips(3), (4, 4, 6)),
    "parts": (Parts, (8, 8)),
}


def read(name):
    build, size = NETWORKS[name]
    torch.manual_seed(0)
    model = build().eval()
    image = torch.randn(1, 1, *size)
    return model, image, staged(model, torch.zeros(BATCH, 1, *size))


def classes(lattice):
    return torch.cartesian_prod(*map(torch.arange, lattice)).view(-1, len(lattice)).tolist()


def outputs(model, image, shifts):
    axes = tuple(range(-len(shifts[0]), 0))
    with torch.no_grad():
        return torch.cat([model(image.roll(shift, axes)) for shift in shifts])


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_a_pass_for_each_class(name):
    model, image, network = read(name)
    shifts = classes(network.stages[-1].lattice)
    passes = StagedPasses(network, len(shifts))
    given = torch.stack([passes(image, shift) for shift in shifts])
    wanted = outputs(model, image, shifts)
    assert len(shifts) > 1
    assert (given - wanted).square().sum() <= ROUNDING * wanted.square().sum()


def test_shifts_beyond_the_first_of_a_class_are_moved_ones():
    model, image, network = read("in place")
    shifts = [[5, 3], [2, 10], [7, 11]]
    passes = StagedPasses(network, 4)
    given = torch.stack([passes(image, shift) for shift in shifts])
    wanted = outputs(model, image, shifts)
    assert (given - wanted).square().sum() <= ROUNDING * wanted.square().sum()


@pytest.mark.slow
def test_each_stage_passes_once_for_each_class_of_its_own_lattice():
    _, image, network = read("unet-baseline")
    worked = []

    class Counted(StagedPasses):
        def _computed(self, stage, shifts):
            worked.append(stage.lattice)
            return super()._computed(stage, shifts)

    shifts = classes(network.stages[-1].lattice)
    passes = Counted(network, len(shifts))
    for shift in shifts:
        passes(image, shift)
    lattices = [(1, 1), (2, 2), (4, 4), (8, 8), (16, 16)]
    assert [stage.lattice for stage in network.stages] == lattices
    assert {n: worked.count(n) for n in lattices} == {n: ceil(prod(n) / BATCH) for n in lattices}


def test_another_image_begins_anew():
    model, image, network = read("in place")
    passes = StagedPasses(network, 4)
    passes(image, [1, 1])
    (wanted,) = outputs(model, 2 * image, [[1, 1]])
    assert (passes(2 * image, [1, 1]) - wanted).square().sum() <= ROUNDING * wanted.square().sum()


@pytest.mark.slow
def test_what_was_kept_is_forgotten_where_memory_is_short(monkeypatch):
    monkeypatch.setattr("equibench.evidence.reading.reuse.passes.MEMORY", 1)
    model, image, network = read("unet-lpf-3")
    shifts = classes((16, 16))[::37]
    passes = StagedPasses(network, len(shifts))
    given = torch.stack([passes(image, shift) for shift in shifts])
    wanted = outputs(model, image, shifts)
    assert all(len(known) <= 1 for known in passes._known)
    assert (given - wanted).square().sum() <= ROUNDING * wanted.square().sum()


def renamed(x):
    changed = x * 1
    part = changed[:, :, ::2]
    part.add_(1)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        nn.Conv2d(1, 1, 3, padding=1),
        renamed,
        lambda x: torch.zeros(BATCH, 1, 8, 8).add_(x),
        lambda x: torch.zeros_like(KEPT).add_(x),
        lambda x: x.add_(1),
        lambda x: x.flatten(),
        eb.load_model("unet-aps,width=0.03125").eval(),
    ],
    ids=["zero padding", "old name", "constant", "derived", "input", "no image", "adaptive"],
)
def test_what_is_not_sure_takes_no_shortcut(model):
    size = 16 if isinstance(model, nn.Module) else 8
    assert staged(model, torch.zeros(BATCH, 1, size, size)) is None


@pytest.mark.long
def test_random_networks_give_what_their_passes_give():
    tried = 0
    for seed in range(45):
        network = RANDOM["random_network"](seed)
        image = torch.randn(1, 2, *network.size, dtype=torch.float64)
        with suppress(ModelError, Refused):
            found = staged(network, image.new_zeros(BATCH, *image.shape[1:]))
            if found is None:
                continue
            shifts = classes(found.stages[-1].lattice)[:20]
            passes = StagedPasses(found, len(shifts))
            given = torch.stack([passes(image, shift) for shift in shifts])
            wanted = outputs(network, image, shifts)
            assert (given - wanted).square().sum() <= ROUNDING * wanted.square().sum(), seed
            tried += len(found.stages) > 1
    assert tried >= 5


@pytest.fixture
def counted(monkeypatch):
    """Shortcuts are taken whatever they are worth, and those that were taken are counted."""
    taken = []
    call = StagedPasses.__call__

    def counting(self, image, shift):
        taken.append(tuple(shift))
        return call(self, image, shift)

    monkeypatch.setattr(StagedPasses, "__call__", counting)

    def evaluated(worthwhile, model="unet-lpf-3,width=0.03125", **options):
        monkeypatch.setattr(equibench.evaluation.model_on_suite, "WORTHWHILE", worthwhile)
        taken.clear()
        options = {"shifts": "all", "batch": 16, "progress": False} | options
        result = eb.evaluate(model, "noise,n=2,size=32", **options)
        return result.rows, list(taken)

    return evaluated


@pytest.mark.long
@pytest.mark.parametrize(
    "model", ["unet-lpf-3,width=0.03125", "monai-basic-unet,width=4,mend=circular"]
)
def test_rows_are_those_of_all_passes_and_most_classes_take_the_shortcut(counted, model):
    rows, taken = counted(0, model)
    plain, none = counted(2**62, model)
    assert none == []
    assert len(taken) >= 2 * (256 - 2 * 16)
    assert all(max(shift) < 16 for shift in taken), "spot checks pass through the network"
    assert (rows["evidence"] == "proved").all()
    errors = rows["eq_nmse"] ** 0.5 - plain["eq_nmse"] ** 0.5
    assert errors.abs().max() <= ROUNDING**0.5
    same = ["case", "draw", "dy", "dx", "evidence", "spots", "covers"]
    pd.testing.assert_frame_equal(rows[same], plain[same])


@pytest.mark.parametrize("precision", ["fp32", "fp64", "bf16"])
def test_precise_classes_are_made_of_what_is_reused_if_that_is_worth_it(counted, precision):
    torch.manual_seed(0)
    network = Skips(2).eval()
    pixels = 2 * 2 * 32 * 32  # of an image under all four classes
    plain, none = counted(pixels + 1, network, precision=precision, batch=2)
    rows, taken = counted(pixels, network, precision=precision, batch=2)
    assert none == []
    every = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert sorted(taken) == ([] if precision == "bf16" else sorted(2 * every))
    assert (rows["evidence"] == "proved").all()
    errors = rows["eq_nmse"] ** 0.5 - plain["eq_nmse"] ** 0.5
    assert errors.abs().max() <= ROUNDING**0.5


@pytest.mark.long
@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"screen": "bf16"}])
def test_in_a_fast_precision_every_class_passes(counted, options):
    _, taken = counted(0, **options)
    assert taken == []
