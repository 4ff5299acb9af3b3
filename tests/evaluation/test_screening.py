"""The worst shifts are found in a fast precision and confirmed in fp32; no more is claimed."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import equibench as eb
from equibench.errors import UsageError
from equibench.evaluation.screening import WORST
from equibench.foundation.rounding import allowance

pytestmark = pytest.mark.slow

EVERY = {"shifts": "all", "batch": 4, "progress": False, "device": "cpu"}
GRID = {"shifts": "grid:max=7,step=1", "batch": 4, "progress": False, "device": "cpu"}


class Uneven(nn.Module):
    """Worse the further an image is moved, as zeros around it make every network."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.layer = nn.Conv2d(1, 1, 7, padding=3, bias=False)
        self.layer.weight.data = torch.rand(1, 1, 7, 7, generator=random)

    def forward(self, x):
        return self.layer(x)


@pytest.fixture(scope="module")
def noise():
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def both(noise):
    """The same measurement with and without screening."""
    model = Uneven()
    return eb.evaluate(model, noise, screen="bf16", **GRID), eb.evaluate(model, noise, **GRID)


def test_the_worst_shifts_by_every_metric_are_those_of_a_run_without_screening(both):
    screened, whole = both
    for column, worst in (("eq_nmse", "max"), ("eq_psnr", "min"), ("eq_ssim", "min")):
        found, wanted = (
            result.rows.query("draw > 0").groupby("case")[column].agg(worst) for result in both
        )
        pd.testing.assert_series_equal(found, wanted, rtol=1e-4)
    assert screened.summary["eq_nmse_worst_case"][0] == whole.summary["eq_nmse_worst_case"][0]


def test_every_shift_has_a_row_that_says_its_precision(both):
    screened, whole = (result.rows for result in both)
    names = ["case", "draw", "dy", "dx"]
    pd.testing.assert_frame_equal(screened[names], whole[names])
    assert set(screened["precision"]) == {"fp32", "bf16"}
    assert (screened.query("draw == 0")["precision"] == "fp32").all()
    confirmed = screened["precision"] == "fp32"
    np.testing.assert_allclose(
        screened["eq_nmse"][confirmed],
        whole["eq_nmse"][confirmed],
        rtol=1e-4,
        atol=allowance("fp32", 0.0),
    )


def test_what_could_be_among_the_worst_by_the_measured_error_is_confirmed(both):
    screened, whole = (result.rows.query("draw > 0") for result in both)
    for case, part in screened.groupby("case"):
        own = whole[whole["case"] == case]["eq_nmse"].to_numpy() ** 0.5
        error = part["eq_nmse"].to_numpy() ** 0.5
        left = (part["precision"] == "bf16").to_numpy()
        margin = part["screen_nmse"].iloc[0] ** 0.5
        assert left.any()
        assert (error[left] + margin < np.sort(own)[-WORST]).all()


def test_the_error_of_the_screening_is_what_both_precisions_differ_by(noise):
    """Of shifts that were all confirmed, it is known."""
    few = GRID | {"shifts": "random:n=4,max=7"}
    rows = eb.evaluate(Uneven(), noise, screen="bf16", **few).rows
    assert set(rows["precision"]) == {"fp32"}
    fast = eb.evaluate(Uneven(), noise, precision="bf16", **few).rows
    gaps = (np.sqrt(rows["eq_nmse"]) - np.sqrt(fast["eq_nmse"])) ** 2
    largest = gaps.groupby(rows["case"]).max()
    np.testing.assert_allclose(rows.groupby("case")["screen_nmse"].first(), largest, rtol=1e-6)


def test_all_shifts_that_were_screened_are_no_longer_enumerated(noise):
    whole = eb.evaluate(Uneven(), noise, **EVERY)
    screened = eb.evaluate(Uneven(), noise, screen="bf16", spots=9, **EVERY)
    assert set(whole.rows["evidence"]) == {"enumerated"}
    assert set(screened.rows["precision"]) == {"fp32", "bf16"}
    assert set(screened.rows["evidence"]) == {"sampled"}
    assert screened.summary["could_deviate"][0] == pytest.approx(1 - 0.05 ** (1 / 18))


class Halving(nn.Module):
    """Total stride 8, with circular borders: shifts have residue classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")

    def forward(self, x):
        x = self.layer(x)
        return nn.functional.interpolate(nn.functional.max_pool2d(x, 8), scale_factor=8) + x


def test_residue_classes_that_were_proved_are_sampled_where_they_were_screened():
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    whole = eb.evaluate(Halving(), images, **EVERY)
    assert set(whole.rows["evidence"]) == {"proved"}
    screened = eb.evaluate(Halving(), images, screen="bf16", **EVERY)
    assert set(screened.rows["precision"]) == {"fp32", "bf16"}
    assert set(screened.rows["evidence"]) == {"sampled"}
    assert (screened.rows["spots"] == 6).all()
    assert screened.summary["could_deviate"][0] == pytest.approx(1 - 0.05 ** (1 / 6))
    worst = [result.summary["eq_nmse_worst"][0] for result in (screened, whole)]
    assert worst[0] == pytest.approx(worst[1], rel=1e-5)


def test_where_rounding_hides_the_errors_every_shift_is_confirmed_and_the_evidence_stays(noise):
    circular = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    rows = eb.evaluate(circular, noise, screen="bf16", **EVERY).rows
    assert set(rows["precision"]) == {"fp32"}
    assert (rows["eq_nmse"] <= allowance("fp32", 0.0)).all()
    assert set(rows["evidence"]) == {"proved"}


def test_other_transforms_are_measured_in_fp32_throughout(noise):
    rows = eb.evaluate(Uneven(), noise, screen="bf16", transforms=("d4",), batch=4).rows
    assert set(rows["precision"]) == {"fp32"}


def test_the_table_says_what_was_screened(cli):
    arguments = ("-m", "unet-baseline,width=0.0625,label=ours", "-s", "noise,n=1,size=32")
    shifts = ("--shifts", "grid:max=4,step=1", "--batch", 4)
    status, out, err = cli("run", *arguments, *shifts, "--screen", "bf16", "--out", "run")
    assert status == 0, err
    rows = pd.read_parquet("run/rows")
    count, confirmed = (
        (rows["draw"] > 0).sum(),
        (rows.query("draw > 0")["precision"] == "fp32").sum(),
    )
    assert 0 < confirmed < count
    assert (
        "screened in bf16: ours on noise; the worst are measured in fp32, "
        f"{confirmed} of {count} shifts in all; means and medians are of both; where both were "
        "measured, bf16 was off by an NMSE of up to "
    ) in " ".join(out.split())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"precision": "tf32"}, "what is screened is confirmed in fp32: leave --precision out"),
        ({"screen": "fp16"}, "'tf32' or 'bf16'"),
    ],
)
def test_what_cannot_be_screened_is_refused(fields, message, noise):
    with pytest.raises(UsageError, match=message):
        eb.evaluate(Uneven(), noise, **{"screen": "bf16"} | fields)
