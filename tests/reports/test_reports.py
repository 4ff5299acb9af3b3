"""Reports: what tables, figures and the page say of a run."""

import re
import shutil
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from report_runs import constant, described, rising, rows

from equibench.errors import UsageError
from equibench.registry.registries import REPORTS
from equibench.reports.figures.distribution import distribution_figure
from equibench.reports.figures.figure_files import FIGURES
from equibench.reports.figures.heatmap import heatmap_figure
from equibench.reports.figures.power_of_two import power_figure
from equibench.reports.figures.quality_front import pareto_figure, pareto_front
from equibench.reports.figures.ranking import ranking_figure
from equibench.reports.figures.style import COLUMN, PAGE
from equibench.reports.findings.leaderboard import leaderboard
from equibench.reports.findings.power_of_two import by_power_of_two, power_of_two
from equibench.reports.findings.run_data import RunData, short_names, shorten
from equibench.reports.findings.shift_maps import ShiftLattice
from equibench.reports.page.distance_from_best import distances
from equibench.reports.page.page import render
from equibench.reports.page.plain_words import cards, sentences
from equibench.reports.page.provenance import command
from equibench.reports.page.summary_sheet import sheet
from equibench.reports.registered import figures, tables
from equibench.reports.tables.summary_table import summary_table
from equibench.reports.tables.table_files import TABLES

MARKDOWN = """\
| suite        | model         |   NMSE ↓ mean |   median |   worst | worst at    |   SSIM ↑ mean |   worst |   ΔPSNR [dB] ↓ mean |   worst |
|:-------------|:--------------|--------------:|---------:|--------:|:------------|--------------:|--------:|--------------------:|--------:|
| mri-sample   | unet-baseline |       6.0e-03 |  6.0e-03 | 8.0e-03 | c1 (-3, -3) |        0.9940 |  0.9920 |                0.06 |    0.08 |
| mri-sample   | unet-aps      |             0 |        0 |       0 | –           |        1.0000 |  1.0000 |                   0 |       0 |
| photo-sample | unet-baseline |       2.0e-02 |  2.0e-02 | 2.0e-02 | c0 (-3, -3) |        0.9800 |  0.9800 |                   – |       – |
| photo-sample | unet-aps      |           NaN |      NaN |     NaN | c0 (-3, -3) |             – |       – |                   – |       – |

untrained: unet-baseline (networks start from a fixed seed)
"""  # noqa: E501


def test_the_markdown_table_says_mean_worst_and_where(two_suites):
    data = RunData.read(two_suites)
    assert summary_table(data.summary, weights=data.weights) == MARKDOWN


def test_the_latex_table_is_booktabs_and_escaped(make):
    run = make([rows("a_b & c", "noise", constant(float("inf")), truth=False, group="x%")])
    data = RunData.read(run)
    table = summary_table(data.summary, format="latex", weights={"a_b & c": "untrained"})
    assert (
        table
        == r"""% \usepackage{booktabs, siunitx}
\begingroup\sisetup{detect-weight, mode=text}
\begin{tabular}{lllrrrlrr}
\toprule
 &  &  & \multicolumn{4}{c}{NMSE $\downarrow$} & \multicolumn{2}{c}{SSIM $\uparrow$} \\
\cmidrule(lr){4-7}
\cmidrule(lr){8-9}
suite & group & model & mean & median & worst & worst at & mean & worst \\
\midrule
noise & x\% & a\_b \& c & $\infty$ & $\infty$ & $\infty$ & c0 (-3, -3) & $\infty$ & $\infty$ \\
\bottomrule
\end{tabular}
\par{\footnotesize untrained: all networks (networks start from a fixed seed)}
\endgroup
"""
    )


def test_latex_aligns_numbers_and_the_best_are_bold(two_suites):
    table = summary_table(RunData.read(two_suites).summary, format="latex")
    assert "S[table-format=1.1e-2]" not in table  # exponents have one digit here
    assert "llS[table-format=1.1e-1]S[table-format=1.1e-1]S[table-format=1.1e-1]l" in table
    assert "mri-sample & unet-baseline & 6.0e-3 & 6.0e-3 & 8.0e-3 & c1 (-3, -3) & 0.9940" in table
    assert r"unet-aps & \bfseries 0 & \bfseries 0 & \bfseries 0 & -- & \bfseries 1.0000" in table
    assert "photo-sample & unet-aps & {NaN} & {NaN} & {NaN} & c0 (-3, -3) & {--}" in table


@pytest.mark.parametrize("name", TABLES)
def test_latex_tables_compile(name, two_suites, hostile, tmp_path):
    """With TeX and siunitx where they are; the number of cells in each line in any case."""
    for run in (two_suites, hostile):
        text = TABLES[name](RunData.read(run))["tex"]
        check_latex(text)
        if latex_packages("booktabs.sty", "siunitx.sty"):
            document = r"\documentclass{article}\usepackage{booktabs, siunitx}"
            document += rf"\begin{{document}}{text}\end{{document}}"
            (tmp_path / "table.tex").write_text(document, encoding="utf-8")
            command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-2000:]


def latex_packages(*names):
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        return False
    return all(subprocess.run(["kpsewhich", n], capture_output=True).stdout for n in names)


def check_latex(text):
    """As many cells in each line as the table has columns, and balanced braces."""
    (columns,) = re.findall(r"\\begin\{tabular\}\{(.*)\}\n", text)
    count = len(re.sub(r"S\[[^]]*\]", "S", columns))
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(lines) > 1
    for line in lines:
        plain = re.sub(r"\\[&%$#_{}]", "", line)
        spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", plain)]
        assert plain.count("&") + 1 + sum(spans) - len(spans) == count
        assert plain.count("{") == plain.count("}")


def test_csv_is_the_whole_summary(two_suites):
    summary = RunData.read(two_suites).summary
    assert summary_table(summary, format="csv") == summary.to_csv(index=False)


def test_other_metrics_can_be_asked_for(two_suites):
    text = summary_table(RunData.read(two_suites).summary, metrics=["psnr"])
    assert "| mri-sample   | unet-baseline |              30.50 |    30.50 |   30.00 | c0 " in text


def test_an_unknown_format_is_a_usage_error(two_suites):
    with pytest.raises(UsageError, match="choose markdown, csv, latex or text"):
        summary_table(RunData.read(two_suites).summary, format="html")


def test_a_table_of_hostile_names_keeps_its_shape(hostile):
    summary = RunData.read(hostile).summary
    line = summary_table(summary).splitlines()[2]
    assert r"\<script>alert('1')\</script>" in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 11
    assert r"\textbar{}\&\$x\_\{1\}\$\%\textbackslash{}" in summary_table(summary, format="latex")


def test_tables_are_files_with_stable_names(two_suites, tmp_path):
    written = tables(two_suites, tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written]
    stems = ("summary", "leaderboard", "power-of-two")
    assert names == [f"tables/{n}.{s}" for n in stems for s in ("csv", "md", "tex")]
    assert all(file.stat().st_size for file in written)


TEXT = """\
                                             NMSE ↓
suite         model             mean   median    worst  worst at
mri-sample    unet-aps             0        0        0  –
              unet-baseline  6.0e-03  6.0e-03  8.0e-03  c1 (-3, -3)

photo-sample  unet-baseline  2.0e-02  2.0e-02  2.0e-02  c0 (-3, -3)
              unet-aps           NaN      NaN      NaN  c0 (-3, -3)

left out for width: SSIM ↑ mean, SSIM ↑ worst, ΔPSNR [dB] ↓ mean, ΔPSNR [dB] ↓ worst
"""


def test_text_fits_the_terminal_and_says_what_it_leaves_out(two_suites):
    summary = RunData.read(two_suites).summary
    text = summary_table(summary, format="text", width=70, sort="eq_nmse_mean")
    assert text == TEXT
    for width in (60, 80, 100, 200):
        text = summary_table(summary, format="text", width=width)
        assert max(map(len, text.split("\nleft out")[0].splitlines())) <= width


def test_colour_marks_the_best(two_suites):
    summary = RunData.read(two_suites).summary
    text = summary_table(summary, format="text", width=70, colour=True)
    assert "\x1b[1m      0\x1b[0m" in text
    assert re.sub(r"\x1b\[\dm", "", text) == summary_table(summary, format="text", width=70)


def test_models_are_sorted_best_first_and_nan_last(two_suites):
    summary = RunData.read(two_suites).summary
    text = summary_table(summary, sort="eq_ssim_worst")
    order = re.findall(r"(mri|photo)-sample *\| unet-(\w+)", text)
    assert order == [("mri", "aps"), ("mri", "baseline"), ("photo", "baseline"), ("photo", "aps")]


def test_what_cannot_be_sorted_by_or_shown_is_named(two_suites):
    summary = RunData.read(two_suites).summary
    with pytest.raises(UsageError, match="no such column; did you mean eq_nmse_worst"):
        summary_table(summary, sort="eq_nmse_wurst")
    with pytest.raises(UsageError, match="this run has no metric 'nmsse': choose eq_nmse, "):
        summary_table(summary, metrics=["nmsse"])


def test_models_and_suites_come_in_the_order_of_the_run(two_suites):
    data = RunData.read(two_suites)
    assert data.models == ["unet-baseline", "unet-aps"]
    assert data.suites == ["mri-sample", "photo-sample"]


def test_the_sheet_has_every_model_on_every_suite(two_suites):
    found = sheet({"run": RunData.read(two_suites)})
    assert [block.heading for block in found.blocks] == [
        *("NMSE ↓", "SSIM ↑", "ΔPSNR [dB] ↓", "reconstruction, unshifted", ""),
    ]
    first = found.entries[0]
    assert (first.place, first.model) == ("mri-sample", "unet-baseline")
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
    said = [cell.text for cell in found.entries[0].cells[-4:]]
    # two cases of six checks each
    assert said == ["sampled; up to 22.1% could deviate", "2 × 2", "384", "3.0e-16"]


def test_cards_name_the_most_and_the_least_robust(two_suites):
    mri, photo = cards({"run": RunData.read(two_suites)})
    assert mri.best.models == ("unet-aps",)
    assert mri.best.says == "does not change beyond rounding"
    assert mri.worst.models == ("unet-baseline",)
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
    said = {s.model: s for s in sentences({"run": RunData.read(two_suites)})}
    text = said["unet-baseline"].text.replace("\N{NO-BREAK SPACE}", " ")
    assert text == (
        "On mri-sample its output changes by 7.7 % on average and 8.9 % at worst (c1, shift "
        "(-3, -3)); its PSNR moves by up to 0.08 dB. On photo-sample its output changes by 14 % on "
        "average and 14 % at worst (c0, shift (-3, -3)). Its weights are untrained."
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


def test_what_charts_draw_is_a_distance_from_the_best(two_suites):
    found = {d.key: d for d in distances(RunData.read(two_suites).summary)}
    assert [d.title for d in found.values()] == ["NMSE", "1 − SSIM", "ΔPSNR"]
    assert found["eq_ssim"].of(0.9) == pytest.approx(0.1)
    assert found["delta_psnr"].of(0.3) == 0.3


def points(panel):
    """The (x, y) of all errors drawn in a panel."""
    drawn = [c for c in panel.collections if c.get_label() == "one case and shift"]
    return (
        np.concatenate([np.asarray(c.get_offsets()) for c in drawn]) if drawn else np.empty((0, 2))
    )


def test_every_finite_error_is_a_point_and_zeros_stand_at_the_left(two_suites):
    mri, photo = distribution_figure(RunData.read(two_suites)).axes
    baseline, aps = (points(mri)[points(mri)[:, 1].round() == y] for y in (0, 1))
    assert len(baseline) == len(aps) == 16
    assert sorted(baseline[:, 0])[-1] == pytest.approx(np.log10(8e-3))
    assert len(set(aps[:, 0])) == 1
    assert aps[0, 0] < baseline[:, 0].min()
    ticks = dict(zip(mri.get_xticks(), (t.get_text() for t in mri.get_xticklabels()), strict=True))
    assert ticks[aps[0, 0]] == "0"
    assert len(points(photo)) == 16


def test_median_and_worst_are_marked(make):
    run = make([rows("m", "noise", lambda case, dy, dx: 10.0 ** (dx - 6), cases=1)])
    (panel,) = distribution_figure(RunData.read(run)).axes
    marks = {c.get_label(): float(c.get_offsets()[0][0]) for c in panel.collections}
    assert marks["median"] == pytest.approx(-6)
    assert marks["worst"] == pytest.approx(-3)


def test_errors_that_cannot_be_drawn_are_counted_in_a_note(two_suites):
    figure = distribution_figure(RunData.read(two_suites))
    note = figure.get_supxlabel()
    assert "not drawn: 16 of 16 errors of unet-aps on photo-sample, NaN or infinite" in note


def test_an_error_below_1e_18_counts_as_zero(make):
    run = make([rows("m", "noise", lambda case, dy, dx: 1e-30 if dy else 1e-5)])
    data = RunData.read(run)
    (panel,) = distribution_figure(data).axes
    assert len(points(panel)) == 16
    assert panel.get_xlim()[0] > -10
    assert "grey: 0" in heatmap_figure(data).axes[-1].get_ylabel()


def test_the_heat_map_has_the_mean_over_cases_at_each_shift(two_suites):
    data = RunData.read(two_suites)
    lattice = ShiftLattice.of(data.shifted[data.shifted["suite"] == "mri-sample"])
    mean = lattice.means("unet-baseline")
    assert list(mean.index) == list(mean.columns) == [-3, 0, 3]
    assert mean.loc[-3, 3] == pytest.approx(7.5e-3)
    assert np.isnan(mean.loc[0, 0])


def test_the_panels_of_a_heat_map_share_one_scale(two_suites):
    figure = heatmap_figure(RunData.read(two_suites))
    *panels, bar = figure.axes
    assert len(panels) == 4
    assert [panel.get_title() for panel in panels] == ["unet-baseline", "unet-aps", "", ""]
    assert panels[0].get_ylabel() == "mri-sample\ndy [pixels]"
    assert figure.get_supxlabel() == "shift dx [pixels]"
    assert len({panel.collections[0].norm.vmin for panel in panels}) == 1
    assert "grey: 0" in bar.get_ylabel()
    assert "orange: NaN or infinite" in bar.get_ylabel()
    scale = panels[0].collections[0].norm
    exact, broken = (panels[i].collections[0].get_array().compressed() for i in (1, 3))
    assert len(exact) == len(broken) == 8
    assert (exact < scale.vmin).all()
    assert (broken > scale.vmax).all()


def test_random_shifts_lie_on_their_own_lattice():
    shifts = [(-16, 3), (5, -8), (15, 15)]
    lattice = ShiftLattice.of(rows("m", "s", rising, shifts=shifts).query("draw > 0"))
    mean = lattice.means("m")
    assert not lattice.thinned
    assert mean.notna().sum().sum() == 3
    assert mean.loc[5, -8] == pytest.approx(14.5e-3)


def test_a_lattice_of_many_shifts_is_thinned():
    shifts = [(dy, dx) for dy in range(100) for dx in range(0, 100, 7)]
    lattice = ShiftLattice.of(
        rows("m", "s", constant(1e-3), shifts=shifts, cases=1).query("draw > 0")
    )
    assert lattice.thinned
    assert lattice.cell == 2
    assert lattice.means("m").shape == (50, 50)
    assert lattice.means("m").loc[98].dropna().eq(1e-3).all()


@pytest.mark.slow
def test_figures_are_png_and_pdf_with_stable_names(two_suites, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    written = figures(two_suites, tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written]
    stems = [f"{name}{width}" for name in FIGURES for width in ("", "-column")]
    assert names == [f"figures/{stem}.{kind}" for stem in stems for kind in ("png", "pdf")]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_bytes().startswith(b"%PDF")
    assert dict(mpl.rcParams) == before
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", FIGURES)
def test_figures_have_the_widths_of_a_page(name, two_suites):
    data = RunData.read(two_suites)
    for width in (COLUMN, PAGE):
        assert FIGURES[name](data, width).get_size_inches()[0] == width


def test_the_ranking_has_mean_interval_and_worst(make):
    def by_case(case, dy, dx):
        return 1e-3 * (1 + int(case[1:]))

    (mri,) = ranking_figure(
        RunData.read(make([rows("unet-baseline", "mri-sample", by_case, cases=12)]))
    ).axes
    drawn = {c.get_label(): c for c in mri.collections}
    mean = np.log10(6.5e-3)
    assert drawn["mean over cases and shifts"].get_offsets()[0][0] == pytest.approx(mean)
    assert drawn["worst"].get_offsets()[0][0] == pytest.approx(np.log10(12e-3))
    low, high = drawn["95 % interval of the mean"].get_segments()[0][:, 0]
    assert low < mean < high


def test_the_ranking_says_why_a_mean_has_no_interval(two_suites):
    figure = ranking_figure(RunData.read(two_suites))
    mri, photo = figure.axes
    assert "95 % interval of the mean" not in {c.get_label() for c in mri.collections}
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "worst", "mean over cases and shifts",
    ]  # fmt: skip
    assert "no interval on mri-sample" in figure._supxlabel.get_text()
    assert len({c.get_label(): c for c in photo.collections}["worst"].get_offsets()) == 1


def test_the_pareto_front_is_what_no_other_beats_in_both():
    change, quality = np.array([0.0, 0.0, 0.1, 0.2]), np.array([30.0, 31.0, 30.5, 32.0])
    assert pareto_front(change, quality) == [1, 3]


def test_the_pareto_plot_needs_a_ground_truth(make):
    truth = rows("m", "mri-sample", rising)
    figure = pareto_figure(RunData.read(make([truth])))
    points = [
        line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_label() == "m"
    ]
    assert points == [[[pytest.approx(np.log10(0.08)), 30.5]]]
    untrue = make([rows("m", "noise", rising, truth=False)], name="second")
    assert pareto_figure(RunData.read(untrue)) is None


def test_the_power_figure_draws_the_mean_of_each_power(make):
    shifts = [(1, 0), (2, 0), (4, 4)]
    run = make([rows("m", "s", lambda case, dy, dx: 10.0**-dy, shifts=shifts)])
    (panel,) = power_figure(RunData.read(run)).axes
    assert panel.lines[0].get_xydata().tolist() == [[0.0, -1.0], [1.0, -2.0], [2.0, -4.0]]


def test_one_model_without_a_finite_error_still_has_figures(make):
    data = RunData.read(make([rows("m", "noise", constant(float("nan")), cases=1)]))
    assert len(points(distribution_figure(data).axes[0])) == 0
    assert "orange" in heatmap_figure(data).axes[-1].get_ylabel()
    assert "NaN" in render({"run": data})


def test_fifty_models_fit(make):
    shifts = [(0, 3)]
    parts = [rows(f"model-{i}", "noise", rising, shifts=shifts, cases=1) for i in range(50)]
    data = RunData.read(make(parts))
    assert len(points(distribution_figure(data).axes[0])) == 50
    titles = [panel.get_title() for panel in heatmap_figure(data).axes]
    assert [t for t in titles if t] == [f"model-{i}" for i in range(50)]


def test_a_run_with_models_for_suites_of_their_own_is_repeated_from_a_file():
    fields = {
        "models": ["unet-aps,label='a, b'"],
        "suites": ["mri-sample"],
        "also": [{"models": ["unet-aps,label=ct"], "suites": ["ct-sample", 'x,path="ü\\n"']}],
        "shifts": "paper",
        "limit": None,
        "seed": 3,
        "data": {"fastmri": "/private/place"},
    }
    file, _, line = command(fields).rpartition("\n\n")
    assert line == "equibench run --config bench.toml"
    wanted = {key: value for key, value in fields.items() if value is not None}
    assert tomllib.loads(file) == wanted | {"data": {"fastmri": "DIR"}}


def test_a_long_name_is_cut_in_the_middle():
    assert shorten("a" * 10 + "\n" + "b" * 10, 9) == "aaaa…bbbb"


def test_names_that_would_look_alike_are_numbered():
    names = ["a" * 9 + middle + "b" * 9 for middle in "xy"] + ["short"]
    assert list(short_names(names, 11).values()) == ["aaa…bbb #1", "aaa…bbb #2", "short"]


@pytest.mark.parametrize("name", ["html", "figures", "tables"])
def test_reports_are_registered_and_can_run(name):
    entry = REPORTS.get(name)
    assert entry.unavailable() is None
    assert entry.info.extra == {"tables": None}.get(name, "report")


def test_importing_reports_imports_nothing_that_draws():
    code = (
        "import sys, equibench.reports.page.page; print([m for m in sys.argv if m in sys.modules])"
    )
    heavy = ["matplotlib", "seaborn", "jinja2", "tabulate"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_only_picks_reports_tables_and_figures(cli, two_suites, tmp_path):
    assert cli("report", "run", "-o", "out", "--only", "ranking,leaderboard") == (0, "", "")
    written = sorted(file.name for file in (tmp_path / "out").rglob("*.*"))
    assert written == [
        *("leaderboard.csv", "leaderboard.md", "leaderboard.tex"),
        *("ranking-column.pdf", "ranking-column.png", "ranking.pdf", "ranking.png"),
    ]
    status, out, _ = cli("report", "run", "-o", "page", "--only", "html", "--image-seconds", "0")
    assert (status, out) == (0, "report: page/index.html\n")
    assert [file.name for file in (tmp_path / "page").iterdir()] == ["index.html"]
    status, _, err = cli("report", "run", "-o", "out", "--only", "heat")
    assert status == 2
    assert "--only heat: choose among figures, html, tables, summary, leaderboard, " in err


def test_the_table_is_markdown_where_there_is_no_terminal(cli, two_suites):
    status, out, _ = cli("table", "run", "--metrics", "psnr", "--sort", "psnr_mean")
    assert status == 0
    assert out.startswith("| suite        | model         |   PSNR [dB] ↑ mean |")
    status, out, _ = cli("table", "run", "--format", "text")
    assert "\x1b" not in out
    assert max(map(len, out.split("\nleft out")[0].splitlines())) <= 120


def test_on_a_terminal_the_table_has_colour_unless_it_is_not_wanted(cli, two_suites, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    assert "\x1b[1m" in cli("table", "run")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    _, out, _ = cli("table", "run")
    assert "\x1b" not in out
    assert "left out for width" in out
