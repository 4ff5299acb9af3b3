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
        EquibenchError: the run has nothing for Figure 4, or cannot be repeated; the others are
            written.
    """
    folder = out / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    # whatever run it is: these are of the layers alone
    write(downsampling_figure(), folder / "paper-figure-1", DPI)
    write(upsampling_figure(), folder / "paper-figure-2", DPI)
    data = RunData.read(run)
    choice = choose(data, asked)
    scene = reconstruct(data, choice)
    write(reconstruction_figure(scene), folder / "paper-figure-4", DPI)
    return f"{scene.where}, shift {choice.shift}, {' and '.join(choice.models)}"
