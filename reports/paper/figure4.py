"""Figure 4 of the paper: what two networks make of an image and of its shift."""

from math import isnan
from typing import TYPE_CHECKING, Any

from equibench.reports.figures.style import FONT, PAGE, new_figure, plain, style
from equibench.reports.findings.run_data import shorten
from equibench.reports.paper.figure4_scene import Image, Scene
from equibench.reports.tables.values import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reconstruction_figure"]

_WIDTH = 16


def reconstruction_figure(scene: Scene) -> "Figure":
    """Input, ground truth and reconstructions, unshifted above and shifted below.

    All images share the grey scale of the ground truth, both difference maps one colour scale.
    """
    height, width = scene.truth.shape
    grey = {"cmap": "gray", "vmin": scene.truth.min(), "vmax": scene.truth.max()}
    largest = max(float(network.difference.max()) for network in scene.networks)
    colours = {"cmap": "inferno", "vmin": 0.0, "vmax": largest or 1.0}
    dy, dx = scene.shift
    with style():
        figure = new_figure(PAGE, 0.75 + 2 * 1.15 * height / width, pad=0.02)
        grid = figure.subplots(2, 5)
        for moved, panels in enumerate(grid):
            shown = scene.images(bool(moved))
            for panel, (name, image, psnr) in zip(panels, shown, strict=False):
                below = "" if isnan(psnr) else f"PSNR {number(psnr, '.2f')} dB"
                _show(panel, image, "" if moved else _title(name), below, grey)
            panels[0].set_ylabel(f"shifted by ({dy}, {dx})" if moved else "unshifted")
        for moved, (panel, network) in enumerate(zip(grid[:, -1], scene.networks, strict=True)):
            title, below = "" if moved else "difference", number(network.nmse, ".1e")
            drawn = _show(panel, network.difference, title, f"NMSE {below}", colours)
            panel.set_ylabel(_title(network.name))
        bar = figure.colorbar(drawn, ax=grid[:, -1], aspect=35, pad=0.04)
        bar.set_label("$|T\\,G(x) - G(T\\,x)|$")
        bar.ax.ticklabel_format(scilimits=(-2, 3))
        bar.outline.set_visible(False)
    return figure


def _title(name: str) -> str:
    return plain(shorten(name, _WIDTH))


def _show(panel: "Axes", image: Image, title: str, below: str, look: dict[str, Any]) -> Any:
    panel.set_xticks([])
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.set_title(title, fontsize=FONT)
    panel.set_xlabel(below)
    return panel.imshow(image, interpolation="none", **look)
