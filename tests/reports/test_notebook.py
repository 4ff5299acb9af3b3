"""A result in a notebook, and the example notebook itself."""

import re
from pathlib import Path

import pytest
from report_runs import HOSTILE, constant, rising, rows

from equibench.errors import UsageError
from equibench.evaluation.evaluate import Result

NOTEBOOK = Path(__file__).parents[2] / "examples/notebook.ipynb"


def test_a_result_shows_its_summary_as_html():
    result = Result(rows("baseline", "noise", constant(1e-3), truth=False))
    shown = result._repr_html_()
    assert '<th colspan="4" style="text-align: center">NMSE ↓</th>' in shown
    assert '<td style="text-align: left">baseline</td>' in shown
    assert "1.0e-03" in shown


def test_a_result_that_is_printed_shows_its_summary_and_no_rows(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    result = Result(rows("baseline", "noise", constant(1e-3), truth=False))
    printed, count = str(result), len(result.rows)
    assert printed == repr(result)
    assert re.search(r"NMSE", printed)
    assert re.search(r"^noise +baseline +1\.0e-03 ", printed, re.MULTILINE)
    assert "draw" not in printed
    assert printed.endswith(f"{count} rows of 2 cases: .rows; the summary: .summary")
    assert max(map(len, printed.splitlines())) <= 100


def test_names_are_text_in_that_html():
    shown = Result(rows(HOSTILE, "noise", constant(1e-3)))._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize("name", ["heatmap", "distribution", "ranking", "pareto", "power_of_two"])
def test_every_figure_is_drawn_and_shown(name):
    result = Result(rows("m", "mri-sample", rising))
    drawing = getattr(result.plot, name)(width=4)
    assert drawing.figure.get_size_inches()[0] == 4
    assert drawing._repr_png_().startswith(b"\x89PNG")


def test_the_heat_map_draws_the_means_of_the_result():
    result = Result(rows("m", "noise", lambda case, dy, dx: 1e-3 * (4 + dy), truth=False))
    panel = result.plot.heatmap().figure.axes[0]
    drawn = panel.collections[0].get_array()
    assert drawn[0].tolist() == pytest.approx([1e-3] * 3)
    assert drawn[2].tolist() == pytest.approx([7e-3] * 3)


def test_a_pareto_plot_without_a_ground_truth_says_what_it_needs():
    result = Result(rows("m", "noise", rising, truth=False))
    with pytest.raises(UsageError, match="pareto needs a ground truth: choose a suite that has"):
        result.plot.pareto()


# the kernel's own libraries warn of what they do
@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_the_example_notebook_runs_and_carries_what_its_cells_show():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    def headings(data):
        return re.findall(r"<th[^>]*>(.*?)</th>", data.get("text/html", ""))

    def shown():
        outputs = [
            [(o["output_type"], o.get("data", {})) for o in cell.get("outputs", ())]
            for cell in notebook.cells
        ]
        return [[(kind, sorted(data), headings(data)) for kind, data in each] for each in outputs]

    stored = shown()
    nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
    assert shown() == stored, "run it, and commit it with its outputs"
    kinds = [kind for each in stored for _, data, _ in each for kind in data]
    assert (kinds.count("image/png"), kinds.count("text/html")) == (3, 2)
