"""Figures 1, 2 and 4 of the paper as files."""

from pathlib import Path

from equibench.reports.figures.figure_files import DPI, write
from equibench.reports.findings.run_data import RunData
from equibench.reports.paper.figure4 import reconstruction_figure
from equibench.reports.paper.figure4_choice import Asked, choose
from equibench.reports.paper.figure4_scene import reconstruct
from equibench.reports.paper.figures_1_and_2 import downsampling_figure, upsampling_figure
from equibench.runs.run_folder import RunFolder

__all__ = ["write_paper_figures"]


def write_paper_figures(run: RunFolder, out: Path, asked: Asked) -> str:
    """Write ``figures/paper-figure-1``, ``-2`` and ``-4`` below ``out``, as PDF and PNG.

    Returns:
        What Figure 4 shows, in a line.

    Raises:
        EquibenchError: the run has nothing for Figure 4, or cannot be repeated.
    """
    data = RunData.read(run)
    choice = choose(data, asked)
    scene = reconstruct(data, choice)
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "paper-figure-1": downsampling_figure(),
        "paper-figure-2": upsampling_figure(),
        "paper-figure-4": reconstruction_figure(scene),
    }
    for name, figure in drawn.items():
        write(figure, folder / name, DPI)
    return f"{scene.where}, shift {choice.shift}, {' and '.join(choice.models)}"
