"""Runs that were measured alike become one; what two of them disagree on is refused."""

import pandas as pd
import pytest

import equibench as eb

pytestmark = pytest.mark.slow

NETS = """
import torch
def base():
    return lambda x: x * x
def other():
    return torch.nn.MaxPool2d(3, 1, 1)
"""
SHIFTS = ("--shifts", "random:n=3,max=8")


@pytest.fixture
def run(cli, tmp_path):
    (tmp_path / "net.py").write_text(NETS)

    def measure(out, models=("base",), suites=("noise,n=3,size=16",), options=SHIFTS):
        named = [word for model in models for word in ("-m", f"net.py:{model}")]
        on = [word for suite in suites for word in ("-s", suite)]
        status, _, said = cli("run", *named, *on, *options, "--out", out)
        assert status == 0, said

    return measure


MORE = "noise,n=2,size=24,sigma=2,label=loud"


@pytest.mark.long
def test_runs_of_parts_are_the_run_of_all(cli, run):
    run("whole", ("base", "other"), ("noise,n=3,size=16", MORE))
    run("one", ("base",), ("noise,n=3,size=16", MORE))
    run("two", ("other",), ("noise,n=3,size=16",))
    run("three", ("other",), (MORE,))
    status, _, said = cli("merge", "one", "two", "three", "--out", "all")
    assert status == 0, said
    pd.testing.assert_frame_equal(eb.RunFolder("all").rows(), eb.RunFolder("whole").rows())
    pd.testing.assert_frame_equal(eb.RunFolder("all").summary(), eb.RunFolder("whole").summary())
    for command in (
        ("table", "all"),
        ("check", "all", "--against", "whole"),
        ("compare", "all", "--against", "net:base"),
        ("report", "all", "-o", "report", "--only", "html,tables"),
    ):
        status, _, said = cli(*command)
        assert (status in (0, 1)) if command[0] == "compare" else status == 0, said


def test_what_both_have_measured_is_taken_once(cli, run):
    run("one", ("base", "other"))
    run("two", ("base",), ("noise,n=3,size=16", MORE))
    assert cli("merge", "one", "two", "--out", "all")[0] == 0
    rows = eb.RunFolder("all").rows()
    assert not rows.duplicated(["model", "suite", "case", "draw"]).any()
    assert len(rows) == 2 * 3 * 4 + 2 * 4


def test_a_metric_that_a_suite_was_not_measured_by_stays_empty(cli, run):
    run("one", ("base",), ("noise,n=3,size=16,metrics=nmse",))
    run("two", ("base",), (f"{MORE},metrics=nmse/psnr",))
    assert cli("merge", "one", "two", "--out", "all")[0] == 0
    rows = eb.RunFolder("all").rows().set_index("suite")
    assert rows.loc["noise", "eq_psnr"].isna().all()
    assert rows.loc["loud", "eq_psnr"].notna().all()


@pytest.mark.parametrize(
    ("options", "suites", "message"),
    [((*SHIFTS, "--seed", "1"), None, "seed was 0 and is 1"),
     (("--shifts", "random:n=4,max=8"), None, "shifts was 'random:n=3,max=8' and is"),
     (SHIFTS, ("noise,n=3,size=24",), "suite noise arguments size was 16 and is 24")],
)  # fmt: skip
def test_runs_under_other_conditions_are_no_parts_of_one(
    cli, run, tmp_path, options, suites, message
):
    run("one")
    run("two", ("other",), suites or ("noise,n=3,size=16",), options)
    status, _, said = cli("merge", "one", "two", "--out", "all")
    assert status == 2
    assert message in said
    assert "equibench report RUN RUN" in said
    with pytest.raises(eb.UsageError):
        eb.RunFolder("all")


def test_a_model_that_changed_is_refused_by_name(cli, run, tmp_path):
    run("one")
    (tmp_path / "net.py").write_text(NETS.replace("x * x", "x * x * x"))
    run("two", suites=(MORE,))
    status, _, said = cli("merge", "one", "two", "--out", "all")
    assert status == 2
    assert "model net:base source_sha256 was" in said


def test_one_run_is_nothing_to_merge_and_a_folder_in_use_is_left_alone(cli, run, tmp_path):
    run("one")
    run("two", ("other",))
    assert "name two or more" in cli("merge", "one", "--out", "all")[2]
    status, _, said = cli("merge", "one", "two", "--out", "two")
    assert (status, "two is a run already: choose another --out" in said) == (2, True)
    assert len(eb.RunFolder("two").rows()) == 3 * 4


def test_nothing_is_resumed_in_a_merged_folder(cli, run):
    run("one")
    run("two", ("other",))
    assert cli("merge", "one", "two", "--out", "all")[0] == 0
    options = ("-m", "net.py:base", "-s", "noise,n=3,size=16", *SHIFTS)
    status, _, said = cli("run", *options, "--out", "all")
    assert status == 2
    assert "all holds another run" in said


# What is other in one run than in another


def test_equal_runs_differ_in_nothing(cli, run):
    run("one")
    run("two")
    status, shown, _ = cli("diff", "one", "two")
    assert status == 0
    assert shown == ("equal to the last bit: 6 of 6 figures, 12 of 12 rows that both runs have\n")


def test_what_differs_is_named_in_what_was_asked_for_and_in_numbers(cli, run, tmp_path):
    run("one", ("base", "other"))
    (tmp_path / "net.py").write_text(NETS.replace("MaxPool2d(3, 1, 1)", "MaxPool2d(5, 1, 2)"))
    run("two", ("other",), ("noise,n=3,size=16", MORE), (*SHIFTS, "--seed", "1"))
    _, shown, _ = cli("diff", "one", "two")
    assert "asked for: seed was 0 and is 1\n" in shown
    assert "asked for: net:other source_sha256 was" in shown
    assert "only in one: net:base · noise\n" in shown
    assert "only in two: net:other · loud\n" in shown
    before, after = (
        eb.RunFolder(name).summary().set_index(["model", "suite"]).loc[("net:other", "noise")]
        for name in ("one", "two")
    )
    change = after.eq_nmse_worst / before.eq_nmse_worst - 1
    assert (
        f"net:other · noise: eq_nmse_worst {before.eq_nmse_worst:.6g} → {after.eq_nmse_worst:.6g} "
        f"({change:+.2g})\n"
    ) in shown
    assert shown.endswith("0 of 6 figures, 3 of 3 rows that both runs have\n")


# One row again


@pytest.mark.long
def test_a_row_is_shown_again_with_its_numbers_and_a_picture(cli, run, tmp_path):
    run("one", ("base", "other"))
    row = eb.RunFolder("one").rows().query("case == '00001' and draw == 2 and model == 'net:other'")
    dy, dx = int(row.dy.iloc[0]), int(row.dx.iloc[0])
    status, shown, said = cli("show", "one", "00001", dy, dx, "-m", "net:other", "-o", "shown")
    assert status == 0, said
    first, *figures = shown.splitlines()
    place = f"net:other on noise, case 00001, shift ({dy}, {dx}): "
    assert first.startswith(f"{place}NMSE {row.eq_nmse.iloc[0]:.1e}, PSNR ")
    names = [f"shown/00001_{dy}_{dx}.{suffix}" for suffix in ("png", "pdf")]
    assert figures == [f"figure: {name}" for name in names]
    assert all((tmp_path / name).stat().st_size > 1000 for name in names)
    status, shown, _ = cli("show", "one", "00001", dy, dx, "-o", "shown")
    assert (status, len(shown.splitlines())) == (0, 4)


def test_the_picture_is_drawn_of_the_outputs_that_the_row_is_about(run, monkeypatch, tmp_path):
    from equibench.postprocessing.chosen_rows import rows_at
    from equibench.reports.diagnosis import row_picture
    from equibench.reports.findings.run_data import RunData

    run("one", ("other",))
    folder = eb.RunFolder("one")
    some = folder.rows().query("draw == 1").iloc[0]
    rows = rows_at(folder, some.case, (int(some.dy), int(some.dx)))
    drawn = []
    monkeypatch.setattr(row_picture, "write", lambda figure, out: drawn.append(figure) or [])
    row_picture.row_figure(RunData.read(folder), rows, tmp_path / "row")
    images = [ax.images[0].get_array() for ax in drawn[0].axes]
    given, output, shifted, difference = images
    error = ((output - shifted) ** 2).sum() / (output**2).sum()
    assert error == pytest.approx(some.eq_nmse, rel=1e-5)
    assert difference.max() == pytest.approx(abs(output - shifted).max())
    assert given.shape == (16, 16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("00001", 7, 7), "case 00001 was not measured under (7, 7); there are "),
     (("9", 1, 1), "one has no case '9' of circular shifts; there are 00000, 00001, 00002"),
     (("00001", 1, 1, "-m", "nobody"), "one has no model 'nobody' of circular shifts; there are "),
     (("00001", 1, 1, "-s", "nothing"), "one has no suite 'nothing'")],
)  # fmt: skip
def test_what_was_not_measured_is_answered_with_what_was(cli, run, arguments, message):
    run("one", options=("--shifts", "random:n=2,max=4"))
    status, _, said = cli("show", "one", *arguments)
    assert status == 2
    assert message in said
