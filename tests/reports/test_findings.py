"""What reports find in rows: the sheet, the leaderboard, powers of two."""

import numpy as np
import pytest
from report_runs import constant, described, rows

from equibench.reports.findings.leaderboard import leaderboard
from equibench.reports.findings.power_of_two import by_power_of_two, power_of_two
from equibench.reports.findings.run_data import RunData
from equibench.reports.page.plain_words import cards, sentences
from equibench.reports.page.summary_sheet import sheet


def test_the_sheet_has_every_model_on_every_suite(two_suites):
    found = sheet({"run": RunData.read(two_suites)})
    assert [block.heading for block in found.blocks] == [
        *("NMSE ↓", "SSIM between outputs ↑", "ΔPSNR [dB] ↓", *("with the truth, unshifted", "")),
    ]
    first = found.entries[0]
    assert (first.subset, first.model) == ("mri-sample", "unet-baseline")
    shown = [cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in first.cells]
    assert shown[:4] == ["6.0e-03", "6.0e-03", "8.0e-03", "c1 (-3, -3)"]
    assert first.cells[0].value == pytest.approx(6e-3)
    assert first.cells[0].note == "no interval: 2 clusters, 8 needed"
    assert [entry.cells[0].best for entry in found.entries] == [False, True, False, False]


def test_the_sheet_says_where_every_circular_shift_counts(make):
    part = rows("m", "noise", constant(1e-3), shifts=[(0, 1), (1, 0), (1, 1)])
    part["covers"], part["evidence"], part["spots"] = 64, "sampled", 6
    part["spot_deviation"] = 3e-16
    run = make([part])
    run.write_manifest(run.manifest | {"probes": {"m": {"noise": {"classes": [2, 2]}}}})
    found = sheet({"run": RunData.read(run)})
    assert [name.text for name in found.blocks[-1].names] == [
        *("evidence", "classes", "covers", "spot check"),
    ]
    assert [cell.text for cell in found.entries[0].cells[-4:]] == [
        "sampled; up to 22.1% could deviate",  # 1 - 0.05 ** (1 / 12): six checks for each case
        *("2 × 2", "384", "3.0e-16"),
    ]


def test_cards_name_the_most_and_the_least_robust(two_suites):
    mri, photo = cards({"run": RunData.read(two_suites)})
    assert mri.best.models == ("APS",)
    assert mri.best.says == "does not change beyond rounding"
    assert mri.worst.models == ("Baseline",)
    assert mri.worst.says.replace("\N{NO-BREAK SPACE}", " ") == (
        "changes by 7.7 % on average, 8.9 % at worst"
    )
    assert photo.worst.says == "is not finite on average"
    assert "brain MRI slices" in mri.about


def test_a_ratio_says_by_how_much(make):
    parts = [rows("good", "noise", constant(1e-6)), rows("bad", "noise", constant(1e-4))]
    (card,) = cards({"run": RunData.read(make(parts))})
    assert card.ratio == "10"


def test_equal_networks_are_neither_best_nor_worst(make):
    parts = [rows(f"m{i}", "noise", constant(0.0)) for i in range(6)]
    (card,) = cards({"run": RunData.read(make(parts))})
    assert card.worst is None
    assert (card.best.models, card.best.more) == (("m0", "m1", "m2"), 3)


def test_every_model_has_a_sentence(two_suites):
    said = {"".join(s.models): s for s in sentences({"run": RunData.read(two_suites)})}
    text = said["unet-baseline"].text.replace("\N{NO-BREAK SPACE}", " ")
    assert text == (
        "On mri-sample its output changes by 7.7 % on average and 8.9 % at worst (c1, shift "
        "(-3, -3)); its PSNR moves by up to 0.080 dB. On photo-sample its output changes by 14 % "
        "on average and 14 % at worst (c0, shift (-3, -3)). Its weights are untrained."
    )
    assert said["unet-aps"].text == (
        "On mri-sample no shift changes its output beyond rounding. "
        "On photo-sample its output is not finite."
    )


def test_the_leaderboard_ranks_by_mean_error_and_nan_is_last(two_suites):
    board = leaderboard({"run": RunData.read(two_suites)})
    ranks = {s.network: [score.rank for score in s.scores.values()] for s in board}
    assert ranks == {"Baseline": [2, 1], "APS": [1, 2]}
    assert [s.mean_rank for s in board] == [1.5, 1.5]


def test_variants_trained_on_other_data_share_a_line(make):
    parts = [rows("aps", "mri-sample", constant(0.0)), rows("aps-ct", "ct-sample", constant(1e-3))]
    models = {"aps": described("APS"), "aps-ct": described("APS")}
    (standing,) = leaderboard({"run": RunData.read(make(parts, models))})
    assert standing.network == "APS"
    assert [score.model for score in standing.scores.values()] == ["aps", "aps-ct"]


def test_powers_of_two_divide_every_component():
    shifts = np.array([(1, 2), (2, 4), (-4, 8), (0, 8), (16, 32), (0, 16)])
    assert power_of_two(shifts, 16).tolist() == [1, 2, 4, 8, 16, 16]
    assert power_of_two(shifts[:, :1], 16).tolist() == [1, 2, 4, 16, 16, 16]


def test_the_error_by_power_of_two_is_weighted_by_what_rows_cover():
    shifts = [(0, 1), (1, 1), (2, 2), (4, 0)]
    part = rows("m", "s", lambda case, dy, dx: 1e-3 * dx, shifts=shifts, cases=1)
    part["covers"] = [1, 1, 3, 1, 1]
    found = by_power_of_two(part, largest=4)
    both = found[found["axis"] == "both"].set_index("power")
    assert both["mean"].to_dict() == pytest.approx({1: 1e-3, 2: 2e-3, 4: 0.0})
    assert both["shifts"].to_dict() == {1: 4, 2: 1, 4: 1}
    rising = found[found["axis"] == "dy"].set_index("power")
    assert rising["shifts"].to_dict() == {1: 3, 2: 1, 4: 2}
