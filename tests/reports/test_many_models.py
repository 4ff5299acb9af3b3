"""Figures of a run with more models than a figure can show."""

import warnings

import numpy as np
import pytest
from report_runs import constant, rows

from equibench.reports.figures import figure_files
from equibench.reports.findings.run_data import RunData

MODELS = [f"network-{number:03d},width=0.125" for number in range(100)]


@pytest.fixture
def figures(make, tmp_path, monkeypatch):
    """Draw a figure of a hundred models, of which the last are the most robust."""
    errors = np.geomspace(1e-1, 1e-6, len(MODELS))
    parts = [
        rows(model, "mri-sample", constant(error), shifts=[(1, 1)], cases=1)
        for model, error in zip(MODELS, errors, strict=True)
    ]
    data, drawn = RunData.read(make(parts)), []
    monkeypatch.setattr(figure_files, "write", lambda figure, stem: drawn.append(figure) or [])

    def draw(name):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure_files.write_figures(data, tmp_path, [name])
            for figure in drawn:
                figure.draw_without_rendering()
        return drawn

    return draw


@pytest.mark.long
def test_the_most_robust_are_shown_and_the_figure_says_so(figures):
    for figure in figures("ranking"):
        (panel,) = figure.axes
        shown = [label.get_text() for label in panel.get_yticklabels()]
        assert len(shown) == figure_files.MOST
        assert "099" in shown[-1]
        assert "075" not in "".join(shown)
        note = "the 24 most robust of 100 models; tables have all of them"
        assert figure.get_supxlabel().splitlines()[-1] == note


@pytest.mark.long
def test_a_legend_of_many_has_room(figures):
    for figure in figures("pareto"):
        (panel,) = figure.axes
        *networks, front = figure.legends[0].get_texts()
        assert len(networks) == figure_files.MOST
        assert front.get_text() == "no other is better in both"
        assert panel.get_position().height * figure.get_figheight() > 1  # inches
