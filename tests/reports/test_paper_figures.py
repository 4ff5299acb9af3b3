"""Figures 1, 2 and 4 of the paper: what they draw, and how they are asked for."""

import numpy as np
import pytest
import torch

from equibench.errors import UsageError
from equibench.measurement.run_config import validated
from equibench.models.polyphase import aps_downsample, aps_upsample
from equibench.reports.figures.figure_files import write
from equibench.reports.figures.style import COLUMN, PAGE
from equibench.reports.findings.run_data import RunData
from equibench.reports.paper.figure4 import reconstruction_figure
from equibench.reports.paper.figure4_choice import Asked, Choice, choose
from equibench.reports.paper.figure4_scene import reconstruct
from equibench.reports.paper.figures_1_and_2 import (
    SIGNAL,
    downsampling,
    downsampling_figure,
    signals,
    upsampling,
    upsampling_figure,
)
from equibench.runs.runner import run

pytestmark = pytest.mark.slow

PLUGIN = """
class Volumes(eb.Suite):
    name = "volumes"
    metrics = ("nmse", "psnr", "ssim")
    clamp = 4.0

    def __init__(self, slices: int = 1, truth: bool = True):
        self.slices, self.truth = slices, truth

    def cases(self):
        return ["a$b", "c"]

    def load(self, name):
        draw = torch.Generator().manual_seed(len(name))
        x = torch.randn(self.slices, 1, 16, 24, generator=draw)
        one = torch.ones(self.slices)
        truth = 50 * (x + 0.1 * x.roll(1, -1)) + 7 if self.truth else None
        return eb.Case(name, x, truth, scale=50 * one, offset=7 * one)

class Uneven(torch.nn.Module):
    def __init__(self, gain: float = 1.0):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        return x * (1 + self.gain * torch.linspace(0, 0.1, x.shape[-1]))

def even():
    return torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
"""
SHIFTS = [(-2, -2), (-2, 0), (0, -2)]


@pytest.fixture
def measured(plugin, tmp_path):
    """Run two models on volumes of a plugin; the arguments are those of the suite."""
    file = plugin(PLUGIN)

    def measured(*suites, labels=("uneven", "even"), **fields):
        models = [f"{file}:Uneven,label='{labels[0]}'", f"{file}:even,label='{labels[1]}'"]
        texts = [f"{file}:Volumes{suite}" for suite in suites or ("",)]
        fields |= {"models": models, "suites": texts, "shifts": "grid:max=2,step=2"}
        return run(validated(fields, "test"), tmp_path / "run", progress=False)

    return measured


def drawn(figure):
    """The samples of each panel, line by line: (n, value) in order of n."""
    panels = []
    for panel in figure.axes:
        points = [
            point
            for line in panel.lines
            if line.get_label().startswith(("even", "odd", "inserted"))
            for point in zip(line.get_xdata(), line.get_ydata(), strict=True)
        ]
        panels.append([float(value) for _, value in sorted(points)])
    return panels


def test_figure_1_draws_a_signal_its_shift_and_both_downsamplings():
    x = torch.tensor([[SIGNAL]], dtype=torch.float64)
    shifted = x.roll(1, -1)
    wanted = [
        panel[0, 0].tolist()
        for signal in (x, shifted)
        for panel in (signal, signal[..., ::2], aps_downsample(signal, 2)[0])
    ]
    figure = downsampling_figure()
    assert drawn(figure) == wanted
    assert figure.get_figwidth() == COLUMN
    below = [panel.get_xlabel() for panel in figure.axes[3:]]
    assert below == ["$n$\nshifted by 1", "$n$\nnot a shift", "$n$\nshifted by 1"]


def test_figure_2_draws_both_upsamplings_of_what_aps_kept():
    x = torch.tensor([[SIGNAL]], dtype=torch.float64)
    wanted = []
    for signal in (x, x.roll(1, -1)):
        kept, index = aps_downsample(signal, 2)
        spread = (kept, aps_upsample(kept, 0 * index, 2), aps_upsample(kept, index, 2))
        wanted += [panel[0, 0].tolist() for panel in spread]
    figure = upsampling_figure()
    assert drawn(figure) == wanted
    below = [panel.get_xlabel() for panel in figure.axes[3:]]
    assert below == ["$n$\nshifted by 1", "$n$\nshifted by 2", "$n$\nshifted by 1"]


def test_samples_keep_their_colour_through_every_stage():
    for signal in signals():
        conventional, adaptive, component = downsampling(signal)
        for each in (conventional, adaptive, *upsampling(adaptive, component)):
            there = each.origin >= 0
            assert np.array(SIGNAL)[each.origin[there]].tolist() == each.values[there].tolist()
            assert not each.values[~there].any()


def test_figure_4_takes_the_worst_found_unless_told_otherwise(measured):
    data = RunData.read(measured(labels=("uneven", "even")))
    rows = data.shifted[data.shifted["model"] == "uneven"]
    worst = rows.loc[rows["eq_nmse"].idxmax()]
    asked = Asked(models=("uneven", "even"))
    assert choose(data, asked) == Choice(
        "volumes", worst["case"], (worst["dy"], worst["dx"]), ("uneven", "even")
    )
    told = Asked(case="c", shift=(8, 5), models=("uneven", "even"))
    assert choose(data, told) == Choice("volumes", "c", (8, 5), ("uneven", "even"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Asked(), "the paper's baseline and an APS network trained alike were not measured "
                  "together on a suite with a ground truth: name two others with --model"),
        (Asked(models=("uneven", "x")), "this run has no model 'x' with a ground "
                                        "truth; there are: uneven, even"),
        (Asked(models=("uneven", "even"), case="z"), r"no case 'z' with a ground truth; there "
                                                     r"are: a\$b, c"),
        (Asked(suite="noise"), "no suite 'noise' with a ground truth; there are: volumes"),
    ],
)  # fmt: skip
def test_what_a_run_does_not_have_is_a_usage_error(measured, asked, message):
    with pytest.raises(UsageError, match=message):
        choose(RunData.read(measured()), asked)


def test_a_run_without_a_ground_truth_has_no_figure_4(measured):
    with pytest.raises(UsageError, match="no suite with a ground truth; there are: none"):
        choose(RunData.read(measured(",truth=false")), Asked())


def test_figures_1_and_2_are_written_of_a_run_without_a_figure_4(cli, measured, tmp_path):
    measured(",truth=false")
    status, _, err = cli("report", "--figures", "run", "-o", "out", "--only", "tables")
    assert (status, err.splitlines()[0]) == (
        2, "equibench: figure 4: this run has no suite with a ground truth; there are: none"
    )  # fmt: skip
    names = {file.stem for file in (tmp_path / "out/figures").glob("paper-*.pdf")}
    assert names == {"paper-figure-1", "paper-figure-2"}


def test_the_rerun_agrees_with_the_rows(measured):
    data = RunData.read(measured())
    scene = reconstruct(data, Choice("volumes", "c", (-2, 0), ("uneven", "even")))
    assert scene.where == "volumes, case c"
    error = np.mean((scene.input - scene.truth) ** 2)
    assert scene.input_psnr == pytest.approx(10 * np.log10(scene.truth.max() ** 2 / error))
    rows = data.rows.set_index(["model", "case", "dy", "dx"])
    for network in scene.networks:
        row = rows.loc[(network.name, "c", -2, 0)]
        assert network.psnr == pytest.approx(row["psnr"])
        assert network.psnr_shifted == pytest.approx(row["psnr_shifted"])
        assert network.nmse == pytest.approx(row["eq_nmse"], abs=1e-12)


def test_of_a_volume_the_slice_with_the_largest_error_is_shown(measured):
    data = RunData.read(measured(",slices=3"))
    scene = reconstruct(data, Choice("volumes", "c", (0, 5), ("uneven", "even")))
    x = torch.randn(3, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    ramp = 1 + torch.linspace(0, 0.1, 24)
    error = (x * ramp).roll(5, -1) - x.roll(5, -1) * ramp
    worst = int(error.square().sum(dim=(1, 2, 3)).argmax())
    assert scene.where == f"volumes, case c, slice {worst}"
    difference = 50 * error[worst, 0].abs().numpy()
    assert scene.networks[0].difference == pytest.approx(difference, abs=1e-4)


def test_a_difference_is_that_of_the_two_aligned_reconstructions(measured):
    data = RunData.read(measured())
    scene = reconstruct(data, Choice("volumes", "c", (3, 5), ("uneven", "even")))
    uneven, even = scene.networks
    moved = np.roll(uneven.plain, (3, 5), (0, 1))
    assert uneven.difference == pytest.approx(np.abs(moved - uneven.shifted))
    assert uneven.difference.max() > 1
    assert even.difference.max() < 1e-3


def test_other_weights_than_those_of_the_run_are_refused(measured):
    folder = measured()
    manifest = folder.manifest
    manifest["models"]["uneven"]["state_sha256"] = "0"
    folder.write_manifest(manifest)
    with pytest.raises(UsageError, match="weights of uneven are not those of the run: repeat"):
        reconstruct(RunData.read(folder), Choice("volumes", "c", (0, 5), ("uneven", "even")))


@pytest.fixture
def scene(measured):
    data = RunData.read(measured(labels=("uneven", r"e$v_{e}n")))
    return reconstruct(data, Choice("volumes", "a$b", (3, 5), ("uneven", r"e$v_{e}n")))


def test_figure_4_draws_images_on_one_scale_and_differences_on_another(scene):
    figure = reconstruction_figure(scene)
    assert figure.get_figwidth() == PAGE
    *panels, bar = figure.axes
    images = [panel.images[0] for panel in panels]
    upper, lower = images[:4], images[5:9]
    uneven, even = scene.networks
    for moved, line in enumerate((upper, lower)):
        wanted = [scene.input, scene.truth]
        if moved:
            wanted = [np.roll(image, (3, 5), (0, 1)) for image in wanted]
        wanted += [uneven.shifted, even.shifted] if moved else [uneven.plain, even.plain]
        for image, each in zip(line, wanted, strict=True):
            assert np.array_equal(image.get_array(), each)
    assert {image.get_clim() for image in (*upper, *lower)} == {
        (scene.truth.min(), scene.truth.max())
    }
    assert np.array_equal(images[4].get_array(), uneven.difference)
    assert np.array_equal(images[9].get_array(), even.difference)
    assert images[4].get_clim() == images[9].get_clim() == (0, uneven.difference.max())
    assert bar.get_ylabel() == r"$|T\,G(x) - G(T\,x)|$"


def test_figure_4_has_the_psnr_under_each_image(scene):
    panels = reconstruction_figure(scene).axes
    uneven, even = scene.networks
    assert [panel.get_xlabel() for panel in panels[:5]] == [
        f"PSNR {scene.input_psnr:.2f} dB", "",
        f"PSNR {uneven.psnr:.2f} dB", f"PSNR {even.psnr:.2f} dB",
        f"NMSE {uneven.nmse:.1e}",
    ]  # fmt: skip
    assert [panel.get_title() for panel in panels[:5]] == [
        "input", "ground truth", "uneven", r"e\$v_{e}n", "difference",
    ]  # fmt: skip
    assert [panels[i].get_ylabel() for i in (0, 5)] == ["unshifted", "shifted by (3, 5)"]


def labels(axis):
    """The texts of ticks that are in view."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for tick in ticks for text in (tick.label1, tick.label2) if text.get_visible()]


def overlaps(figure):
    """Pairs of texts that cover each other, and texts that leave the page."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [
        text
        for panel in figure.axes
        for text in (
            *(panel.title, panel.xaxis.label, panel.yaxis.label),
            *(label for axis in (panel.xaxis, panel.yaxis) for label in labels(axis)),
        )
    ]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t.get_text()]
    boxes = [(text, box) for text, box in boxes if box.width and box.height]
    page = figure.bbox
    outside = [
        text
        for text, box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1
    ]
    pairs = [
        (a, b)
        for i, (a, first) in enumerate(boxes)
        for b, second in boxes[:i]
        if first.x0 < second.x1 - 1 and second.x0 < first.x1 - 1
        and first.y0 < second.y1 - 1 and second.y0 < first.y1 - 1
    ]  # fmt: skip
    return pairs, outside


def test_no_text_of_a_figure_covers_another_or_leaves_the_page(scene):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for figure in (downsampling_figure(), upsampling_figure(), reconstruction_figure(scene)):
        FigureCanvasAgg(figure)
        assert overlaps(figure) == ([], [])


def test_figures_are_vector_files_with_their_fonts(tmp_path):
    png, pdf = write(downsampling_figure(), tmp_path / "f", 300)
    assert png.read_bytes().startswith(b"\x89PNG")
    content = pdf.read_bytes()
    assert b"/FontFile2" in content
    assert b"/Subtype /Image" not in content


@pytest.mark.long
def test_the_command_line_writes_figures_and_tables_beside_the_report(cli, measured, tmp_path):
    measured()
    status, out, err = cli(
        "report", "--paper", "--figures", "run", "-o", "out", "--suite", "volumes", "--case", "c",
        "--shift", "8,5", "--model", "uneven", "--model", "even", "--only", "html",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "report: out/index.html",
        "None of the paper's networks was measured on MRI, CT or photos.",
        "",
        "figure 4: volumes, case c, shift (8, 5), uneven and even",
    ]
    for name in ("paper-figure-1", "paper-figure-2", "paper-figure-4"):
        for suffix in ("png", "pdf"):
            assert (tmp_path / "out" / "figures" / f"{name}.{suffix}").stat().st_size


def test_several_runs_share_tables_and_a_page(cli, measured, tmp_path):
    measured()
    (tmp_path / "run").rename(tmp_path / "one")
    measured()
    (tmp_path / "run").rename(tmp_path / "two")
    status, out, _ = cli("report", "--paper", "one", "two", "-o", "out", "--only", "html,tables")
    assert status == 0
    assert out.splitlines()[0] == "report: out/index.html"
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert '<tr data-run="two" data-subset="' in page
    assert (tmp_path / "out" / "tables" / "paper.md").exists()
    assert (tmp_path / "out" / "one" / "tables" / "summary.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shift", "8,5"], "--suite, --case, --shift and --model choose what --figures shows: "
                             "add it"),
        (["--figures", "run2"], "--figures takes one run"),
        (["--figures", "--shift", "8"], "--shift '8' is not DY,DX: write --shift 8,5"),
        (["--figures", "--model", "a"], "--figures compares two networks: give --model twice, or "
                                        "not at all"),
    ],
)  # fmt: skip
def test_a_mistyped_figure_is_one_line_before_anything_is_drawn(
    cli, measured, tmp_path, arguments, message
):
    measured()
    (tmp_path / "run2").symlink_to(tmp_path / "run")
    status, _, err = cli("report", "run", *arguments, "-o", "out")
    assert (status, err) == (2, f"equibench: {message}\n")
    assert not (tmp_path / "out").exists()
