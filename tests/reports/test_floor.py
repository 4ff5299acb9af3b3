"""A floor far above the scale of the output: what is added and taken away drowns the output."""

import inspect
import json
import warnings

import pytest
import torch
from report_runs import constant, rows

import equibench as eb
from equibench.reports.tables.summary_table import summary_table
from equibench.statistics.summary import summarize

SUITE = "noise,n=2,size=16"
SHIFTS = "random:n=2,max=4"


class Zero(torch.nn.Module):
    """Zero, but for a pixel that some shifts of an image light."""

    def forward(self, x):
        y = torch.zeros_like(x)
        y[..., 0, 0] = (x[..., 0, 0] > x[..., 1, 1]).to(x.dtype)
        return y


def test_a_floor_far_above_the_output_s_scale_is_said_under_the_table():
    part = rows("net", "mri-sample", constant(0.5)).assign(floor_nmse=3e-4, repeatability="")
    *_, said = summary_table(summarize(part)).splitlines()
    assert said == (
        "floor: net on mri-sample; the same image, unshifted, in another place of a batch gives an "
        "output that differs by an NMSE of 3.0e-04, far more than rounding of an output of its "
        "size (fp32): smaller errors say nothing; try --precision fp64"
    )


@pytest.mark.parametrize(
    "usual", [{}, {"floor_nmse": 3e-4, "repeatability": "random"}, {"floor_nmse": float("nan")}]
)
def test_the_floor_of_rounding_or_of_what_is_said_otherwise_is_not_said(usual):
    part = rows("net", "mri-sample", constant(0.5)).assign(repeatability="", repeat_nmse=0.0)
    assert "floor" not in summary_table(summarize(part.assign(**usual)))


def test_an_infinite_error_is_a_number_and_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = eb.evaluate(Zero(), SUITE, shifts=SHIFTS, progress=False)
    assert result.summary["eq_nmse_worst"].iloc[0] == float("inf")
    assert "∞" in summary_table(result.summary)


def test_a_run_with_an_infinite_error_is_no_failed_run_and_says_why_below_the_table(cli, tmp_path):
    source = inspect.getsource(Zero)
    (tmp_path / "net.py").write_text(f"import torch\n{source}\n")
    status, out, err = cli(
        "run", "-m", "net.py:Zero", "-s", SUITE, "--shifts", SHIFTS, "--out", "run"
    )
    failures = json.loads((tmp_path / "run" / "failures.json").read_text())
    assert (status, failures) == (0, []), err
    assert "the unshifted output is zero, and an error has nothing to be held against" in out
