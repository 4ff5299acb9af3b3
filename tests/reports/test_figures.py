"""Figures: what they draw, and what they say they leave out."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from report_runs import constant, rising, rows

from equibench.reports.figures.distribution import distribution_figure
from equibench.reports.figures.figure_files import FIGURES
from equibench.reports.figures.heatmap import heatmap_figure
from equibench.reports.figures.power_of_two import power_figure
from equibench.reports.figures.quality_front import pareto_figure, pareto_front
from equibench.reports.figures.ranking import ranking_figure
from equibench.reports.figures.style import COLUMN, PAGE, looks
from equibench.reports.findings.run_data import RunData
from equibench.reports.findings.shift_maps import ShiftLattice, few_shifts
from equibench.reports.page.distance_from_best import distances
from equibench.reports.page.page import render
from equibench.reports.registered import figures

pytestmark = pytest.mark.slow


def test_what_charts_draw_is_a_distance_from_the_best(two_suites):
    found = {d.key: d for d in distances(RunData.read(two_suites).summary)}
    assert [d.title for d in found.values()] == ["NMSE", "1 − SSIM between outputs", "ΔPSNR"]
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
    assert "not drawn: 16 of 16 errors of APS on photo-sample, NaN or infinite" in note


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
    assert [panel.get_title() for panel in panels] == ["Baseline", "APS", "", ""]
    assert panels[0].get_ylabel() == "mri-sample\ndy [pixels]"
    assert figure.get_supxlabel() == "dx [pixels]; a cell: one shift"
    assert [t.get_text() for t in panels[0].get_xticklabels()] == ["−3", "0", "3"]
    assert len({panel.collections[0].norm.vmin for panel in panels}) == 1
    assert "grey: 0" in bar.get_ylabel()
    assert "orange: NaN or infinite" in bar.get_ylabel()
    scale = panels[0].collections[0].norm
    exact, broken = (panels[i].collections[0].get_array().compressed() for i in (1, 3))
    assert len(exact) == len(broken) == 8
    assert (exact < scale.vmin).all()
    assert (broken > scale.vmax).all()


SCATTERED = [(-16, 3), (5, -8), (15, 15), (-13, 1), (0, 9), (7, 6), (-4, -14), (12, 2)]


def test_shifts_lie_on_their_own_lattice():
    lattice = ShiftLattice.of(
        rows("m", "s", rising, shifts=SCATTERED).query("draw > 0"), pooled=False
    )
    mean = lattice.means("m")
    assert not lattice.thinned
    assert mean.notna().sum().sum() == len(SCATTERED)
    assert mean.loc[5, -8] == pytest.approx(14.5e-3)


def test_few_shifts_are_pooled_by_magnitude():
    part = rows("m", "s", rising, shifts=SCATTERED).query("draw > 0")
    lattice = ShiftLattice.of(part)
    assert lattice.pooled
    assert (lattice.name("dy"), list(lattice.dy)) == ("|dy|", [0, 8, 16])
    assert lattice.cell_says == "the shifts with |dy| and |dx| in steps of 8 pixels"
    inside = part[(part["dy"].abs() < 8) & (part["dx"].abs() < 8)]
    assert lattice.means("m").loc[0, 0] == pytest.approx(inside["eq_nmse"].mean())
    whole = [(dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)]
    assert not few_shifts(rows("m", "s", rising, shifts=whole))


def test_few_shifts_of_signals_are_pooled_along_their_axis():
    shifts = [(np.nan, dx) for dx in (-60, -31, 5, 44)]
    lattice = ShiftLattice.of(
        rows("m", "s", lambda case, dy, dx: abs(dx) / 100, shifts=shifts).query("draw > 0")
    )
    assert (lattice.axes, list(lattice.dy), list(lattice.dx)) == (1, [0], [0, 16, 32, 48])
    assert lattice.means("m").loc[0].dropna().to_dict() == {0: 0.05, 16: 0.31, 32: 0.44, 48: 0.6}


def test_the_heat_map_says_what_a_cell_is_and_names_its_axes(make):
    run = make([rows("m", "noise", rising, shifts=SCATTERED)])
    for width in (COLUMN, PAGE):
        figure = heatmap_figure(RunData.read(run), width)
        label = figure.get_supxlabel().replace("\n", " ")
        assert label == (
            "|dx| [pixels]; a cell: the shifts with |dy| and |dx| in steps of 8 pixels"
        )
        assert figure.axes[0].get_ylabel() == "noise\n|dy| [pixels]"
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["0", "8", "16"]


@pytest.mark.parametrize(
    ("starts", "named"),
    [
        (range(-3, 4, 3), [-3, 0, 3]),
        (range(-15, 16), [-8, 0, 8]),
        (range(0, 100, 2), [0, 32, 64, 96]),
    ],
)
def test_round_numbers_are_named_along_a_map(starts, named):
    assert ShiftLattice.ticks(starts, 4) == named


def test_a_lattice_of_many_shifts_is_thinned():
    shifts = [(dy, dx) for dy in range(100) for dx in range(0, 100, 7)]
    lattice = ShiftLattice.of(
        rows("m", "s", constant(1e-3), shifts=shifts, cases=1).query("draw > 0")
    )
    assert lattice.thinned
    assert lattice.cell == 2
    assert lattice.means("m").shape == (50, 50)
    assert lattice.means("m").loc[98].dropna().eq(1e-3).all()


@pytest.mark.long
def test_figures_are_png_and_pdf_with_stable_names(two_suites, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    written = figures(two_suites, tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written]
    stems = [f"{name}{width}" for name in FIGURES if name != "border" for width in ("", "-column")]
    assert names == [f"figures/{stem}.{kind}" for stem in stems for kind in ("png", "pdf")]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_bytes().startswith(b"%PDF")
    assert dict(mpl.rcParams) == before
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "border"])
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


def test_the_ranking_names_the_networks_without_an_interval_where_others_have_one(make):
    parts = [rows("unet-lpf", "photos", constant(1e-3), cases=8)]
    parts += [rows(m, "photos", constant(0.0), cases=8) for m in ("aps-2", "aps-3")]
    parts += [rows("aps-2", "scans", constant(1e-3))]
    caption = ranking_figure(RunData.read(make(parts)))._supxlabel.get_text().split("\n")
    assert caption[1:] == [
        "no interval for aps-2, aps-3 on photos: within rounding",
        "no interval on scans: 2 clusters, 8 needed",
    ]


@pytest.mark.parametrize(
    ("draw", "axis", "ends"),
    [
        (distribution_figure, "x", [(-3, -2), (-9, -8)]),
        (ranking_figure, "x", [(-3, -2), (-9, -8)]),
        (power_figure, "y", [(-3, -2), (-9, -8)]),
    ],
)
def test_each_panel_has_an_axis_as_long_as_its_own_errors(make, draw, axis, ends):
    errors = {"near": 2e-3, "far": 2e-9}
    data = RunData.read(make([rows("m", suite, constant(e)) for suite, e in errors.items()]))
    figure = draw(data)
    for panel, (low, high) in zip(figure.axes, ends, strict=True):
        limits = getattr(panel, f"get_{axis}lim")()
        assert low - 0.5 < min(limits) < max(limits) < high + 0.5
        assert len(getattr(panel, f"get_{axis}ticks")()) > 1
    assert "an axis for each panel" in figure._supxlabel.get_text()
    alone = draw(RunData.read(make([rows("m", "near", constant(2e-3))], name="alone")))
    assert "an axis for each panel" not in alone._supxlabel.get_text()


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


def of_labels(model, suite, dice):
    part = rows(model, suite, rising).drop(columns=["psnr", "delta_psnr", "psnr_shifted"])
    return part.assign(dice=dice, delta_dice=part["eq_nmse"])


def test_of_labels_the_pareto_plot_shows_dice_beside_the_psnr_of_images(make):
    labels = [of_labels("m", "masks", 0.8), of_labels("n", "masks", 0.9)]
    both = RunData.read(make([rows("m", "mri-sample", rising), *labels]))
    figure = pareto_figure(both)
    titles = {panel.get_title(): panel for panel in figure.axes}
    assert titles["mri-sample"].get_ylabel() == "PSNR with the truth [dB] ↑"
    assert titles["masks"].get_ylabel() == "Dice with the truth ↑"
    assert titles["mri-sample"].get_xlabel() == "worst ΔPSNR [dB] ↓"
    assert titles["masks"].get_xlabel() == "worst ΔDice ↓"
    heights = {line.get_label(): line.get_ydata().tolist() for line in titles["masks"].lines}
    assert (heights["m"], heights["n"]) == ([0.8], [0.9])
    alone = pareto_figure(RunData.read(make(labels, name="labels")))
    assert alone.axes[0].get_ylabel() == "Dice with the truth ↑"
    assert alone._supxlabel.get_text() == "worst ΔDice ↓"


def test_the_power_figure_draws_the_mean_of_each_power(make):
    shifts = [(1, 0), (2, 0), (4, 4)]
    run = make([rows("m", "s", lambda case, dy, dx: 10.0**-dy, shifts=shifts)])
    (panel,) = power_figure(RunData.read(run)).axes
    assert panel.lines[0].get_xydata().tolist() == [[0.0, -1.0], [1.0, -2.0], [2.0, -4.0]]


def test_no_line_crosses_a_power_that_no_shift_has(make):
    shifts = [(1, 0), (2, 2), (8, 8), (16, 0)]
    run = make([rows("m", "s", lambda case, dy, dx: 10.0**-dy, shifts=shifts)])
    (panel,) = power_figure(RunData.read(run)).axes
    places = panel.lines[0].get_ydata()
    assert np.isnan(places).tolist() == [False, False, True, False, False]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["1", "2", "4", "8", "≥ 16"]


@pytest.mark.parametrize("width", [COLUMN, PAGE])
@pytest.mark.parametrize("name", ["distribution", "pareto", "ranking"])
def test_tick_labels_do_not_overlap_and_every_column_has_them(make, name, width):
    def wide(case, dy, dx):
        return 0.0 if dy == 3 else 10.0 ** (-2.1 * (dy + dx + 6))

    suites = ("one", "two", "three", "four", "five")
    networks = {"m": wide, "another network": constant(1e-11)}
    run = make([rows(m, suite, e) for suite in suites for m, e in networks.items()])
    figure = FIGURES[name](RunData.read(run), width)
    figure.draw_without_rendering()
    lowest = {panel.get_subplotspec().colspan.start: panel for panel in figure.axes}
    for panel in lowest.values():
        labels = [t for t in panel.get_xticklabels() if t.get_visible() and t.get_text()]
        boxes = sorted((t.get_window_extent() for t in labels), key=lambda box: box.x0)
        assert len(boxes) >= 3
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("width", [COLUMN, PAGE])
def test_notes_are_not_wider_than_the_figure(make, width):
    broken = [rows("a network with a long name", f"suite {i}", constant(np.nan)) for i in range(3)]
    for draw in (distribution_figure, ranking_figure):
        figure = draw(RunData.read(make(broken, name=draw.__name__ + str(width))), width)
        figure.draw_without_rendering()
        assert figure._supxlabel.get_window_extent().width <= figure.bbox.width


def test_the_distribution_has_a_panel_for_each_transform(make):
    turned = rows("m", "noise", constant(1e-1)).assign(transform="d4", element="rot90")
    both = pd.concat([rows("m", "noise", constant(1e-5)), turned])
    panels = distribution_figure(RunData.read(make([both]))).axes
    assert [panel.get_title() for panel in panels] == ["noise", "noise, d4"]
    assert [set(points(panel)[:, 0].round()) for panel in panels] == [{-5.0}, {-1.0}]


def test_one_network_that_wins_has_a_front(make):
    better = rows("better", "mri-sample", constant(1e-5)).assign(psnr=31.0)
    run = make([rows("worse", "mri-sample", constant(1e-3)), better])
    (panel,) = pareto_figure(RunData.read(run)).axes
    (front,) = (line for line in panel.lines if line.get_label() == "no other is better in both")
    (low, high), (_, right) = panel.get_ylim(), panel.get_xlim()
    at = np.log10(1e-4)
    assert front.get_xydata() == pytest.approx(np.array([[at, low], [at, 31.0], [right, 31.0]]))
    assert high > 31.0


def test_names_differ_in_grey():
    found = [tuple(look.values()) for look in looks(map(str, range(48))).values()]
    assert len(set(found)) == 48
    assert all(a[1] != b[1] for a, b in pairwise(found))


def test_one_model_without_a_finite_error_still_has_figures(make):
    data = RunData.read(make([rows("m", "noise", constant(float("nan")), cases=1)]))
    assert len(points(distribution_figure(data).axes[0])) == 0
    assert "orange" in heatmap_figure(data).axes[-1].get_ylabel()
    assert "NaN" in render({"run": data})


@pytest.mark.long
def test_fifty_models_fit(make):
    shifts = [(0, 3)]
    parts = [rows(f"model-{i}", "noise", rising, shifts=shifts, cases=1) for i in range(50)]
    data = RunData.read(make(parts))
    assert len(points(distribution_figure(data).axes[0])) == 50
    titles = [panel.get_title() for panel in heatmap_figure(data).axes]
    assert [t for t in titles if t] == [f"model-{i}" for i in range(50)]
