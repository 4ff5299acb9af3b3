"""What a line of a summary says, of which rows."""

import numpy as np
import pandas as pd
import pytest

from equibench.foundation.rounding import allowance
from equibench.statistics.confidence_intervals import interval
from equibench.statistics.summary import columns, kept_apart, non_finite, summarize, worst_at


def table(cases, **columns):
    """Rows of a model: of each case one unshifted, then the shifts (1, −1), (2, −2) …"""
    parts = []
    for case, errors in cases.items():
        draw = np.arange(len(errors))
        part = pd.DataFrame({"draw": draw, "dy": draw, "dx": -draw, "eq_nmse": errors})
        parts.append(part.assign(case=case, cluster=case))
    constant = {"model": "net", "suite": "images", "group": "all", "frame": "reference"}
    constant |= {"precision": "bf16", "near_ties": 0.0, "floor_nmse": 1e-15, "covers": 1}
    constant |= {"evidence": "", "padded": False, "spot_deviation": np.nan}
    rows = pd.concat(parts, ignore_index=True).assign(**constant)
    for name, values in columns.items():
        rows[name] = values
    return rows


TWO = {"a": [1e-15, 0.2, 0.4], "b": [1e-15, 0.1, 0.5]}


def line(rows):
    (found,) = summarize(rows).to_dict("records")
    return found


def test_a_line_counts_cases_shifts_and_rows_and_says_the_conditions():
    found = line(table(TWO, covers=[1, 5, 7, 1, 5, 7], floor_nmse=3 * [1e-15] + 3 * [4e-15]))
    expected = {
        "model": "net", "suite": "images", "group": "all", "cases": 2, "clusters": 2, "shifts": 24,
        "evaluated": 4, "frame": "reference", "precision": "bf16", "floor_nmse": 4e-15,
        "evidence": "", "padded": False,
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("words", "word"),
    [
        ("enumerated enumerated", "enumerated"),
        ("proved enumerated", "proved"),
        ("proved sampled", "sampled"),
    ],
)
def test_the_evidence_of_a_line_is_the_weakest_of_its_cases(words, word):
    rows = table(TWO, evidence=[each for each in words.split() for _ in range(3)], spots=6)
    found = line(rows)
    assert found["evidence"] == word
    assert found["spots"] == 6 * (word == "sampled")
    assert line(rows.assign(evidence=["sampled"] * 3 + [""] * 3))["evidence"] == ""


def test_all_spot_checks_together_bound_the_share_of_shifts_that_could_deviate():
    found = line(table(TWO, evidence="sampled", spots=6, spot_deviation=0.0))
    assert found["spots"] == 12
    assert (1 - found["could_deviate"]) ** 12 == pytest.approx(0.05, rel=1e-12)
    assert np.isnan(line(table(TWO, evidence="proved", spots=6))["could_deviate"])


def test_rows_of_a_folder_that_said_exact_have_the_words_of_today():
    rows = table(TWO).drop(columns="evidence")
    assert line(rows.assign(exact=True, covers=1))["evidence"] == "enumerated"
    by_class = line(rows.assign(exact=True, covers=16))
    assert (by_class["evidence"], by_class["spots"]) == ("sampled", 12)
    assert line(rows.assign(exact=False, covers=16))["evidence"] == ""


def test_cases_whose_classes_are_contradicted_are_counted_and_so_are_their_near_ties():
    """b's classes are none, and half of its rows have near-ties; c's are, d has none to check."""
    cases = {name: [1e-15, 0.2, 0.3] for name in "abcd"}
    rows = table(cases, evidence="sampled", spot_deviation=1e-16)
    b, d = rows["case"] == "b", rows["case"] == "d"
    rows.loc[b, ["evidence", "spot_deviation"]] = "", 0.25
    rows.loc[d, ["evidence", "spot_deviation"]] = "", np.nan
    rows.loc[b & (rows["draw"] == 1), "near_ties"] = 2.0
    rows.loc[(rows["case"] == "c") & (rows["draw"] > 0), "near_ties"] = 1.0
    found = line(rows)
    assert (found["contradicted"], found["spot_deviation"]) == (1, 0.25)
    assert found["near_ties"] == 3 / 8
    assert found["contradicted_near_ties"] == 1 / 4


def test_near_ties_of_a_model_that_counts_none_are_unknown():
    assert np.isnan(line(table(TWO, near_ties=np.nan))["near_ties"])
    assert line(table(TWO))["near_ties"] == 0


@pytest.mark.parametrize("padded", [True, False])
def test_a_line_says_whether_images_were_padded(padded):
    assert line(table(TWO, padded=[padded, False, False] * 2))["padded"] is padded
    assert not line(table(TWO).drop(columns="padded"))["padded"]


def test_the_worst_is_named_with_its_case_and_shift_and_nan_is_worse_than_any_number():
    ssim = [1, 0.9, 0.2, 1, 0.8, 0.7]
    psnr = 3 * [30.0] + 3 * [28.0]
    found = line(table(TWO, eq_ssim=ssim, psnr=psnr))
    names = ("worst", "worst_case", "worst_dy", "worst_dx")
    assert [found[f"eq_nmse_{name}"] for name in names] == [0.5, "b", 2, -2]
    assert [found[f"eq_ssim_{name}"] for name in names] == [0.2, "a", 2, -2]
    assert [found[f"psnr_{name}"] for name in names[:2]] == [28, "b"]
    assert "psnr_worst_dy" not in found
    (up,), (down,) = columns(["eq_psnr"]), columns(["eq_nmse"])
    values = np.array([1.0, np.nan, 3.0, np.nan, 0.0])
    assert worst_at(values, up) == worst_at(values, down) == 1
    assert (worst_at(values[::2], up), worst_at(values[::2], down)) == (2, 1)


def test_quality_is_that_of_the_unshifted_image_and_equivariance_of_the_shifted_ones():
    found = line(table(TWO, psnr=[30, 1, 1, 40, 1, 1]))
    assert found["psnr_mean"] == 35
    assert found["eq_nmse_mean"] == pytest.approx((0.2 + 0.4 + 0.1 + 0.5) / 4)
    assert found["eq_nmse_median"] == pytest.approx(0.3)


def test_a_column_that_is_empty_is_left_out_and_an_error_that_is_nan_is_not():
    found = line(table(TWO, psnr=np.nan, eq_ssim=np.nan, eq_nmse=np.nan))
    assert not {"psnr_mean", "eq_ssim_mean"} & found.keys()
    assert np.isnan(found["eq_nmse_mean"])


def test_models_suites_and_groups_have_lines_of_their_own_in_the_order_of_the_rows():
    """z before a: nothing is sorted."""
    keys = [(m, s, g) for m in "za" for s in "srt" for g in "gf"]
    parts = [
        table({"a": [0, number + 1.0]}).assign(model=model, suite=suite, group=group)
        for number, (model, suite, group) in enumerate(keys)
    ]
    rows = pd.concat(parts, ignore_index=True)
    for given in (rows, iter(parts)):
        found = summarize(given)
        assert list(found[["model", "suite", "group"]].itertuples(index=False, name=None)) == keys
        assert found["eq_nmse_mean"].tolist() == list(range(1, 13))
    mixed = pd.concat([rows.iloc[::2], rows.iloc[:0:-2]], ignore_index=True)
    assert summarize(mixed)["eq_nmse_mean"].tolist() == list(range(1, 13))


def patients():
    """Ten patients of one to four cases, two shifts each, whose errors and sizes differ."""
    random = np.random.default_rng(0)
    rows = []
    for patient in range(10):
        size = np.exp(random.standard_normal())
        for case in range(1 + patient % 4):
            errors = [1e-15, *(size * random.random(2))]
            part = table({f"{patient}.{case}": errors})
            rows.append(part.assign(cluster=f"patient {patient}"))
    return pd.concat(rows, ignore_index=True)


def test_an_interval_is_over_the_sums_and_sizes_of_each_cluster():
    rows = patients().assign(covers=3)
    shifted = rows[rows["draw"] > 0]
    by_patient = (shifted["eq_nmse"] * 3).groupby(shifted["cluster"]).agg(["sum", "count"])
    expected = interval(by_patient["sum"].to_numpy(), 3.0 * by_patient["count"].to_numpy())
    found = line(rows)
    assert found["clusters"] == 10
    assert (found["eq_nmse_ci_low"], found["eq_nmse_ci_high"]) == (expected.low, expected.high)


def test_no_figure_depends_on_the_order_of_rows():
    rows = patients()
    figures = ["eq_nmse_mean", "eq_nmse_ci_low", "eq_nmse_ci_high", "eq_nmse_q95", "flips_error"]
    turned = rows.iloc[::-1].reset_index(drop=True)
    as_text = rows.assign(cluster=rows["cluster"].astype("category"))
    for other in (turned, as_text):
        pd.testing.assert_frame_equal(summarize(rows)[figures], summarize(other)[figures])


@pytest.mark.parametrize("idle", [1e-17, None])
def test_a_cluster_is_beyond_rounding_if_any_of_its_shifts_is(idle):
    """Four of twelve have one shift above rounding; the others carry nothing, whatever they are."""
    limit = allowance("fp32", 1e-15)
    rounding = [1e-15, *2 * [idle or limit]]
    cases = {f"{n:02d}": [1e-15, 2 * limit, limit / 2] if n < 4 else rounding for n in range(12)}
    found = line(table(cases, precision="fp32"))
    assert found["flips"] == 4 / 24
    assert found["eq_nmse_ci_reason"] == "carried by 4 of 12 clusters, 5 needed"


def test_flips_are_weighed_by_the_shifts_that_rows_stand_for():
    rows = table({"a": [1e-15, 1e-3, 0.0]}, covers=[1, 1, 3], precision="fp32")
    assert (line(rows)["flips"], line(rows)["flips_error"]) == (0.25, 1.0)
    assert line(table({"a": [0.0, 0.0]}))["flips_error"] == 0
    assert np.isnan(line(table({"a": [0.0, np.inf]}))["flips_error"])


def test_columns_come_by_what_they_say_each_with_its_heading():
    names = ["psnr", "delta_psnr", "eq_nmse", "eq_psnr", "nmse", "case"]
    found = columns(names)
    assert [c.name for c in found] == ["eq_nmse", "eq_psnr", "delta_psnr", "nmse", "psnr"]
    assert [c.heading for c in found] == [
        "NMSE ↓",
        "PSNR between outputs [dB] ↑",
        "ΔPSNR [dB] ↓",
        "NMSE with the truth ↓",
        "PSNR with the truth [dB] ↑",
    ]
    assert [c.short_heading for c in found[1::3]] == ["PSNR [dB] ↑", "PSNR [dB] ↑"]
    assert [c.best for c in found] == [0, np.inf, 0, 0, np.inf]
    assert [c.shifted for c in found] == [True, True, True, False, False]
    assert [c.higher_is_better for c in found] == [False, True, False, False, True]


def test_outputs_that_are_not_finite_are_failures_of_their_cases_and_an_infinite_nmse_is_none():
    nan, inf = np.nan, np.inf
    rows = table({"z": [0, nan, inf], "b": [0, 0.5, inf], "c": [0, 1, 2]})
    place = {"model": "net", "suite": "images", "error": "NonFinite"}
    assert non_finite(rows) == [
        {
            **place, "cases": ["z"],
            "message": "net has an NMSE of nan on images, case z, (1, -1): its "
            "output is not finite there",
        },
    ]  # fmt: skip


def test_lines_of_other_motions_are_named_beside_their_group():
    parts = [
        table(TWO, transform=transform, element="", group=group)
        for transform in ("circular", "d4")
        for group in ("all", "left")
    ]
    found = kept_apart(summarize(pd.concat(parts)))
    assert found["group"].tolist() == ["all", "left", "d4", "left · d4"]
    assert kept_apart(found)["group"].tolist() == found["group"].tolist()
    assert kept_apart(table(TWO, transform="d4"))["group"].unique().tolist() == ["d4"]
    for shifts in (table(TWO, transform="circular", group="left"), table(TWO, group="left")):
        assert kept_apart(shifts)["group"].unique().tolist() == ["left"]


def test_a_line_says_how_outputs_were_brought_to_the_grid_and_how_many_are_constant():
    found = line(table(TWO, resized="nearest", constant=[True] * 3 + [False] * 3))
    assert (found["resized"], found["constant"]) == ("nearest", 1)
    plain = line(table(TWO))
    assert (plain["resized"], plain["constant"]) == ("", 0)


def test_a_line_says_which_shifts_were_measured_in_another_precision_alone():
    fast = ["fp32", "bf16", "fp32", "fp32", "bf16", "bf16"]
    found = line(table(TWO, precision=fast, screen_nmse=[1e-6] * 3 + [2e-6] * 3))
    assert (found["screen"], found["screened"], found["screen_nmse"]) == ("bf16", 3, 2e-6)
    whole = line(table(TWO, precision="fp32", screen_nmse=1e-6))
    assert (whole["screen"], whole["screened"]) == ("", 0)


def test_a_line_says_in_which_share_of_cases_there_was_a_near_tie_and_how_it_fared():
    found = line(table(TWO, near_ties=[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    assert found["tied"] == 0.5
    assert found["tied_nmse"] == pytest.approx(0.3)
    assert found["untied_nmse"] == pytest.approx(0.3)
