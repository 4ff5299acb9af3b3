"""Reports: what tables, figures and the page say of a run."""

import re
import subprocess
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest

from equibench.errors import UsageError
from equibench.measurement import row_columns
from equibench.metrics import nmse, psnr, ssim, ssim_columns
from equibench.registry import REPORTS
from equibench.reports.data import RunData, short_names, shorten
from equibench.reports.distribution import distribution_figure
from equibench.reports.figures import figures
from equibench.reports.heatmap import ShiftLattice, heatmap_figure
from equibench.reports.lead import lead
from equibench.reports.page import html, render
from equibench.reports.provenance import command
from equibench.reports.sections import sections
from equibench.reports.tables import summary_table, tables
from equibench.store import RunFolder

COLUMNS = row_columns([nmse, psnr, ssim, ssim_columns])
GRID = [(dy, dx) for dy in (-3, 0, 3) for dx in (-3, 0, 3) if dy or dx]
MARKDOWN = """\
| suite        | model         |   NMSE ↓ mean |   median |   worst | worst at    |   SSIM ↑ mean |   worst |   ΔPSNR [dB] ↓ mean |   worst |
|:-------------|:--------------|--------------:|---------:|--------:|:------------|--------------:|--------:|--------------------:|--------:|
| mri-sample   | unet-baseline |       6.0e-03 |  6.0e-03 | 8.0e-03 | c1 (-3, -3) |        0.9940 |  0.9920 |                0.06 |    0.08 |
| mri-sample   | unet-aps      |             0 |        0 |       0 | –           |        1.0000 |  1.0000 |                   0 |       0 |
| photo-sample | unet-baseline |       2.0e-02 |  2.0e-02 | 2.0e-02 | c0 (-3, -3) |        0.9800 |  0.9800 |                   – |       – |
| photo-sample | unet-aps      |           NaN |      NaN |     NaN | c0 (-3, -3) |             – |       – |                   – |       – |

untrained: unet-baseline (networks start from a fixed seed)
"""  # noqa: E501
HOSTILE = "<script>alert('1')</script>\"|&$x_{1}$%\\" + "long" * 40


def rows(model, suite, errors, *, shifts=GRID, cases=2, truth=True, group="all"):
    """Rows of one model on one suite; ``errors`` maps (case, dy, dx) to the NMSE."""
    lines = []
    for number in range(cases):
        case = f"c{number}"
        base = {"model": model, "suite": suite, "group": group, "case": case, "batch": 4}
        base |= {"frame": "canonical", "precision": "fp32", "near_ties": 0, "floor_nmse": 2e-15}
        base |= {"covers": 1, "exact": False}
        if truth:
            base |= {"nmse": 0.01, "psnr": 30.0 + number, "ssim": 0.8}
        for draw, (dy, dx) in enumerate([(0, 0), *shifts]):
            error = 2e-15 if draw == 0 else errors(case, dy, dx)
            line = base | {"draw": draw, "dy": dy, "dx": dx, "eq_nmse": error, "eq_psnr": 40.0}
            line["eq_ssim"] = 1 - error if np.isfinite(error) else error
            if truth:
                line |= {"delta_psnr": 10 * error, "psnr_shifted": base["psnr"]}
            lines.append(line)
    return pd.DataFrame(lines).reindex(columns=COLUMNS)


def constant(value):
    return lambda case, dy, dx: value


def rising(case, dy, dx):
    return 1e-3 * (1 + abs(dy) + abs(dx) + (case == "c1"))


def described(paper=None, weights="untrained"):
    details = {"paper": paper} if paper else {}
    return {"spec": "spec", "weights": weights, "details": details, "parameters": 1234}


@pytest.fixture
def make(tmp_path):
    """Write a run folder: rows, and what its manifest says of the models."""

    def make(parts, models=None, failures=(), state="finished", **configuration):
        folder = RunFolder(tmp_path / "run", create=True)
        suites = {part["suite"].iloc[0]: {"version": 1, "arguments": {"n": 2}} for part in parts}
        labels = dict.fromkeys(part["model"].iloc[0] for part in parts)
        folder.write_manifest(
            {
                "state": state,
                "configuration": {
                    "models": list(labels),
                    "suites": list(suites),
                    "shifts": "grid:max=6,step=3",
                    "precision": "fp32",
                    "seed": 7,
                    "data": {"fastmri": "/private/place"},
                    **configuration,
                },
                "fingerprint": {
                    "suites": suites,
                    "metric versions": {"nmse": 1},
                },
                "environment": {"versions": {"torch": "2.14.1"}, "commit": "abc-dirty"},
                "models": models or {label: described(weights="") for label in labels},
            }
        )
        for number, part in enumerate(reversed(parts)):  # files come in no useful order
            folder.write_rows(f"unit{number}", part)
        folder.write_failures(list(failures))
        return folder

    return make


@pytest.fixture
def two_suites(make):
    """A baseline and an APS network, the latter exact, with and without a ground truth."""
    parts = [
        rows("unet-baseline", "mri-sample", rising),
        rows("unet-aps", "mri-sample", constant(0.0)),
        rows("unet-baseline", "photo-sample", constant(2e-2), truth=False),
        rows("unet-aps", "photo-sample", constant(float("nan")), truth=False),
    ]
    models = {"unet-baseline": described("Baseline"), "unet-aps": described("APS", "mine")}
    return make(parts, models)


@pytest.fixture
def hostile(make):
    part = rows(HOSTILE, HOSTILE, rising, cases=1)
    failure = {"model": HOSTILE, "suite": HOSTILE, "cases": [HOSTILE] * 5}
    return make(
        [part.assign(case=HOSTILE)], failures=[failure | {"error": "E", "message": HOSTILE}]
    )


def test_the_markdown_table_says_mean_worst_and_where(two_suites):
    data = RunData.read(two_suites)
    assert summary_table(data.summary, weights=data.weights) == MARKDOWN


def test_the_latex_table_is_booktabs_and_escaped(make):
    run = make([rows("a_b & c", "noise", constant(float("inf")), truth=False, group="x%")])
    data = RunData.read(run)
    table = summary_table(data.summary, format="latex", weights={"a_b & c": "untrained"})
    assert (
        table
        == r"""\begin{tabular}{lllrrrlrr}
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
"""
    )


def test_latex_writes_powers_of_ten(two_suites):
    table = summary_table(RunData.read(two_suites).summary, format="latex")
    assert (
        r"unet-baseline & $6.0\times10^{-3}$ & $6.0\times10^{-3}$ & $8.0\times10^{-3}$ & c1 (-3"
        in table
    )


def test_csv_is_the_whole_summary(two_suites):
    summary = RunData.read(two_suites).summary
    assert summary_table(summary, format="csv") == summary.to_csv(index=False)


def test_other_metrics_can_be_asked_for(two_suites):
    text = summary_table(RunData.read(two_suites).summary, metrics=["psnr"])
    assert "| mri-sample   | unet-baseline |              30.50 |    30.50 |   30.00 | c0 " in text


def test_an_unknown_format_is_a_usage_error(two_suites):
    with pytest.raises(UsageError, match="choose markdown, csv or latex"):
        summary_table(RunData.read(two_suites).summary, format="html")


def test_a_table_of_hostile_names_keeps_its_shape(hostile):
    summary = RunData.read(hostile).summary
    line = summary_table(summary).splitlines()[2]
    assert r"\<script>alert('1')\</script>" in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 11
    assert r"\textbar{}\&\$x\_\{1\}\$\%\textbackslash{}" in summary_table(summary, format="latex")


def test_tables_writes_three_files(two_suites, tmp_path):
    written = tables(two_suites, tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written]
    assert names == ["tables/summary.csv", "tables/summary.md", "tables/summary.tex"]
    assert all(file.stat().st_size for file in written)


def test_models_and_suites_come_in_the_order_of_the_run(two_suites):
    data = RunData.read(two_suites)
    assert data.models == ["unet-baseline", "unet-aps"]
    assert data.suites == ["mri-sample", "photo-sample"]


def test_a_section_has_the_metrics_statistics_and_the_quality(two_suites):
    mri, photo = sections(RunData.read(two_suites))
    error = mri.blocks[0]
    assert error.heading == "NMSE ↓"
    assert [name.text for name in error.names] == ["mean", "median", "worst", "worst at"]
    baseline = [cell.text.replace("\N{NO-BREAK SPACE}", " ") for cell in mri.lines[0].cells]
    assert baseline[:4] == ["6.0e-03", "6.0e-03", "8.0e-03", "c1 (-3, -3)"]
    assert [block.heading for block in mri.blocks][-1] == "reconstruction, unshifted"
    assert [block.heading for block in photo.blocks] == ["NMSE ↓", "SSIM ↑"]


def test_the_lead_names_the_most_and_the_least_equivariant(two_suites):
    found = lead(RunData.read(two_suites))
    assert [(e.models, e.places) for e in found.best] == [
        (("unet-aps",), [("mri-sample", "0")]),
        (("unet-baseline",), [("photo-sample", "2.0e-02")]),
    ]
    assert [(e.models, e.places) for e in found.worst] == [
        (("unet-baseline",), [("mri-sample", "6.0e-03")]),
        (("unet-aps",), [("photo-sample", "NaN")]),
    ]


def test_equal_networks_are_neither_best_nor_worst(make):
    parts = [rows(f"m{i}", "noise", constant(0.0)) for i in range(6)]
    found = lead(RunData.read(make(parts)))
    assert not found.best
    assert [(e.models, e.more) for e in found.tied] == [(("m0", "m1", "m2", "m3"), 2)]


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
    mean = lattice.means["unet-baseline"]
    assert list(mean.index) == list(mean.columns) == [-3, 0, 3]
    assert mean.loc[-3, 3] == pytest.approx(7.5e-3)
    assert np.isnan(mean.loc[0, 0])


def test_the_panels_of_a_heat_map_share_one_scale(two_suites):
    figure = heatmap_figure(RunData.read(two_suites))
    *panels, bar = figure.axes
    assert len(panels) == 4
    assert [panel.get_title() for panel in panels] == ["unet-baseline", "unet-aps", "", ""]
    assert panels[0].get_ylabel() == "mri-sample\nshift dy [pixels]"
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
    mean = lattice.means["m"]
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
    assert lattice.means["m"].shape == (50, 50)
    assert lattice.means["m"].loc[98].dropna().eq(1e-3).all()


def test_figures_are_png_and_pdf_with_stable_names(two_suites, tmp_path):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    written = figures(two_suites, tmp_path / "out")
    names = [file.relative_to(tmp_path / "out").as_posix() for file in written]
    assert names == [
        f"figures/{n}.{s}" for n in ("distribution", "heatmap") for s in ("png", "pdf")
    ]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert written[1].read_bytes().startswith(b"%PDF")
    assert dict(mpl.rcParams) == before
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []


def test_one_model_without_a_finite_error_still_has_figures(make):
    data = RunData.read(make([rows("m", "noise", constant(float("nan")), cases=1)]))
    assert len(points(distribution_figure(data).axes[0])) == 0
    assert "orange" in heatmap_figure(data).axes[-1].get_ylabel()
    assert "NaN" in render(data)


def test_fifty_models_fit(make):
    shifts = [(0, 3)]
    parts = [rows(f"model-{i}", "noise", rising, shifts=shifts, cases=1) for i in range(50)]
    data = RunData.read(make(parts))
    assert len(points(distribution_figure(data).axes[0])) == 50
    titles = [panel.get_title() for panel in heatmap_figure(data).axes]
    assert [t for t in titles if t] == [f"model-{i}" for i in range(50)]


def test_the_page_stands_alone(two_suites, tmp_path):
    (file,) = html(two_suites, tmp_path / "out")
    assert file.name == "index.html"
    page = file.read_text(encoding="utf-8")
    assert len(page) < 1_000_000
    assert page.count("data:image/png;base64,") == 2
    sources = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)|url\(([^)]*)\)""", page)
    assert all(re.match(r"data:|#", "".join(found)) for found in sources)
    assert not re.search(r"<script|<link|@import", page)


def test_the_page_says_what_was_measured_on_what(two_suites):
    text = " ".join(re.sub(r"<[^>]+>", "", render(RunData.read(two_suites))).split())
    assert "the most shift-equivariant is unet-aps on mri-sample (NMSE 0)" in text
    assert "The least is unet-baseline on mri-sample (NMSE 6.0e-03)" in text
    assert "Untrained: unet-baseline. An untrained network starts from a fixed seed" in text
    assert "mri-sample holds other data than the paper’s." in text
    assert "derived from the test data of pyradiomics" in text
    assert "abc-dirty" in text
    assert "mri-sample version 1 (n=2)" in text
    assert "--shifts grid:max=6,step=3 --precision fp32 --seed 7 --data fastmri=DIR" in text
    assert "/private/place" not in text


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


def test_the_page_shows_hostile_names_as_text(hostile):
    page = render(RunData.read(hostile))
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;" in page
    assert "and 2 more" in page


def test_a_run_of_failures_only_has_a_page_and_no_figures(make, tmp_path):
    failures = [
        {"model": "m", "error": "ModelError", "message": f"m raised {i}"} for i in range(60)
    ]
    run = make([], {"m": described()}, failures, state="interrupted")
    (file,) = html(run, tmp_path / "out")
    page = file.read_text(encoding="utf-8")
    assert "This run has no measurements" in page
    assert "This run is interrupted, not finished" in page
    assert "m raised 49" in page
    assert "And 10 more in <code>failures.json</code>" in page
    assert figures(run, tmp_path / "out") == []
    assert (tables(run, tmp_path / "out")[1]).read_text() == "No measurements.\n"


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
    code = "import sys, equibench.reports.page; print([m for m in sys.argv if m in sys.modules])"
    heavy = ["matplotlib", "seaborn", "jinja2", "tabulate"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
