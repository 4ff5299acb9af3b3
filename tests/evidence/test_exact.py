"""The exact worst case over all circular shifts, and the probe that allows a short way to it."""

from itertools import product

import pandas as pd
import pytest
import torch
from torch import nn

import equibench as eb
from equibench.models.variants import VARIANTS
from equibench.reports.tables.summary_table import as_table

pytestmark = pytest.mark.slow


class Strided(nn.Module):
    """A circular network of total stride ``stride`` that says nothing of it."""

    def __init__(self, stride, padding_mode="circular"):
        super().__init__()
        self.calls = 0
        self.first = nn.Conv2d(1, 4, 3, padding=1, padding_mode=padding_mode)
        self.down = nn.Conv2d(4, 4, stride, stride)
        self.up = nn.ConvTranspose2d(4, 1, stride, stride)

    def forward(self, x):
        self.calls += len(x)
        return self.up(self.down(self.first(x).relu()).relu())


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def noise(count=3, size=(64, 64)):
    return torch.randn(count, 1, *size, generator=torch.Generator().manual_seed(1))


def all_shifts(model, images, **options):
    return eb.evaluate(model, images, shifts="all", progress=False, **options)


def brute_force(model, images, tmp_path):
    """Every circular shift, one by one."""
    every = product(*(range(n) for n in images.shape[-2:]))
    file = tmp_path / "every.csv"
    file.write_text("dy,dx\n" + "\n".join(f"{dy},{dx}" for dy, dx in every))
    return eb.evaluate(model, images, shifts=f"file:{file}", batch=64, progress=False)


@pytest.mark.long
@pytest.mark.parametrize("name", ["unet-baseline", "unet-lpf-3"])
def test_residue_classes_give_the_worst_and_the_mean_of_brute_force_to_the_last_bit(name, tmp_path):
    model, images = VARIANTS[name](width=0.05), noise(1, (32, 64))
    short, whole = all_shifts(model, images, batch=64), brute_force(model, images, tmp_path)
    assert short.probe.classes == (16, 16)
    (a,), (b,) = (result.summary.to_dict("records") for result in (short, whole))
    for column in ("eq_nmse", "eq_ssim"):
        for statistic in ("mean", "median", "worst", "worst_dy", "worst_dx"):
            assert a[f"{column}_{statistic}"] == b[f"{column}_{statistic}"], (column, statistic)
    assert (a["shifts"], a["evaluated"], a["evidence"]) == (2048, 256, "proved")
    assert (b["shifts"], b["evaluated"], b["evidence"]) == (2048, 2048, "")


@pytest.mark.long
def test_residue_classes_agree_with_brute_force_within_the_floor_for_adaptive_networks(tmp_path):
    model, images = VARIANTS["unet-aps-3"](width=0.05), noise(1, (32, 64))
    short = all_shifts(model, images, batch=64).summary
    whole = brute_force(model, images, tmp_path).summary
    floor = max(short["floor_nmse"].item(), 2.0**-46)
    for statistic in ("mean", "worst"):
        a, b = (s[f"eq_nmse_{statistic}"].item() for s in (short, whole))
        assert abs(a**0.5 - b**0.5) ** 2 <= 10 * floor


@pytest.mark.parametrize(
    ("stride", "size"), [(2, (12, 18)), (3, (27, 45)), (6, (36, 24)), (1, (8, 8))]
)
def test_a_stride_that_nobody_declared_is_found_by_trying(stride, size):
    model = Strided(stride)
    found = all_shifts(lambda x: model(x), noise(size=size)).probe
    assert found.stride == found.classes == (stride, stride)
    assert (found.declared, found.verified, found.periodic) == (None, None, True)
    assert found.deviation <= found.allowance


def test_strides_are_found_axis_by_axis():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, (4, 1), (4, 1)), nn.ReLU(), nn.ConvTranspose2d(3, 1, (4, 1), (4, 1))
    )
    assert all_shifts(model, noise(size=(32, 24))).probe.stride == (4, 1)


def test_a_declared_stride_is_verified_and_never_believed():
    honest, wrong = Strided(4), Strided(4)
    honest.total_stride, wrong.total_stride = 4, 2
    found = all_shifts(honest, noise(size=(16, 16))).probe
    assert (found.stride, found.declared, found.verified) == ((4, 4), 4, True)
    found = all_shifts(wrong, noise(size=(16, 16))).probe
    assert (found.stride, found.declared, found.verified) == ((4, 4), 2, False)


@pytest.mark.long
def test_classes_follow_a_declared_stride_where_smaller_shifts_commute_as_well():
    model = VARIANTS["unet-aps"](width=0.05)
    found = all_shifts(model, noise(1, (32, 32)), batch=4).probe
    assert found.stride == (1, 1)
    assert found.classes == (16, 16)


class Positions(nn.Module):
    """An absolute position embedding on a circular convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
        self.position = nn.Parameter(torch.randn(1, 1, 16, 16))

    def forward(self, x):
        return self.conv(x + self.position)


class Odd(nn.Module):
    """Pools by two and crops: the last row of an odd size is dropped."""

    def forward(self, x):
        pooled = nn.functional.avg_pool2d(x, 2, ceil_mode=True)
        return nn.functional.interpolate(pooled, scale_factor=2)[..., : x.shape[-2], : x.shape[-1]]


@pytest.mark.parametrize(
    ("model", "size"),
    [(Strided(2, "zeros"), (16, 16)), (Positions(), (16, 16)), (Odd(), (15, 15))],
    ids=["zero padding", "positions", "odd size"],
)
def test_what_has_no_period_fails_the_probe_and_has_every_shift_evaluated(model, size, capsys):
    images = noise(1, size)
    result = eb.evaluate(model, images, shifts="all")
    found, every = result.probe, size[0] * size[1]
    assert not found.periodic
    assert found.stride == size
    assert found.deviation > found.allowance
    assert len(result.rows) == 1 + every
    assert result.rows["evidence"].eq("enumerated").all()
    assert result.rows["covers"].eq(1).all()
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(
        f"{type(model).__name__} on images: no shift of {size[0]}×{size[1]} commutes but whole "
        f"turns: {every} evaluations, about 0."
    )


def test_the_error_of_zero_padding_is_largest_at_the_border():
    model = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1, bias=False) for _ in range(2)))
    found = all_shifts(model, noise(1, (32, 32))).probe
    assert found.error.shape == (32, 32)
    assert found.border > 1


class Moody(Strided):
    """Of stride 4, but for images whose mean says otherwise: those it treats by position."""

    def forward(self, x):
        special = x.mean(dim=(1, 2, 3), keepdim=True) > 1
        position = torch.arange(x.shape[-1]).float().expand_as(x)
        return super().forward(x) + torch.where(special, position, 0)


@pytest.mark.long
def test_one_image_in_a_hundred_that_has_no_classes_is_caught_by_its_spot_checks():
    images = noise(100, (16, 16))
    images[57] += 3
    result = all_shifts(Moody(4), images)
    rows = result.rows
    assert set(rows.loc[rows["evidence"] == "", "case"]) == {"00057"}
    assert rows.loc[rows["case"] == "00057", "spot_deviation"].min() > 1e-6
    assert result.summary["evidence"].item() == ""
    assert result.summary["contradicted"].item() == 1


def test_a_table_says_which_cases_are_not_exact_and_why():
    images = noise(4, (16, 16))
    images[3] += 3
    summary = all_shifts(Moody(4), images).summary
    deviation = f"{summary['spot_deviation'].item():.1e}"
    said = (
        f"contradicted by spot checks: Moody on images, 1 of 4 cases, where shifts of one class "
        f"differ by up to {deviation}%s; --exhaustive evaluates every shift of them"
    )
    assert as_table(summary).notes == [said % ""]
    tied = summary.assign(contradicted_near_ties=0.25)
    why = " (near-ties of adaptive layers in 25% of their shifts)"
    assert as_table(tied).notes == [said % why]


def test_such_an_image_has_every_shift_evaluated_on_demand():
    images = noise(3, (16, 16))
    images[2] += 3  # the first two are probed
    model = Moody(4)
    rows = all_shifts(model, images, exhaustive=True).rows
    assert set(rows["evidence"]) == {"sampled", "enumerated"}
    counts = rows[rows["draw"] > 0].groupby("case")["covers"].agg(["size", "sum"])
    assert counts["size"].tolist() == [16, 16, 256]
    assert counts["sum"].eq(256).all()


def test_the_mean_weighs_rows_by_the_shifts_that_they_cover():
    images = noise(3, (16, 16))
    images[2] += 3
    result = all_shifts(Moody(4), images, exhaustive=True)
    shifted = result.rows[result.rows["draw"] > 0]
    by_case = shifted.groupby("case")["eq_nmse"].mean()
    assert result.summary["eq_nmse_mean"].item() == pytest.approx(by_case.mean(), rel=1e-12)


@pytest.mark.long
def test_the_short_way_costs_at_most_five_percent_beside_its_classes():
    model = Strided(16)
    model.total_stride = 16
    result = all_shifts(model, noise(4, (64, 64)))
    classes = 4 * 256
    # unshifted images and their repetitions, and the trial of it, belong to any plan
    assert model.calls - 4 * 2 - 4 * 2 <= 1.05 * classes
    assert len(result.rows) == classes + 4


@pytest.mark.long
def test_a_run_keeps_what_its_probes_found(tmp_path):
    config = eb.RunConfig(
        models=("unet-lpf-2,width=0.05",), suites=("noise,n=1,size=32",), shifts="all"
    )
    folder = eb.run(config, tmp_path / "run", progress=False)
    found = folder.manifest["probes"]["unet-lpf-2,width=0.05"]["noise"]
    assert found["stride"] == found["classes"] == [16, 16]
    assert found["verified"] is True
    rows = pd.read_parquet(tmp_path / "run" / "rows")
    assert rows.loc[rows["draw"] > 0, "covers"].sum() == 1024
    assert isinstance(found["deviation"], float)
