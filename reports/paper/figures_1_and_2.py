"""Figures 1 and 2 of the paper: what down- and upsampling make of a 1-D signal and its shift.

The sampling is not drawn from a formula of its own: APS-D and APS-U are the package's layers,
found as any third party's are, through the registry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equibench.registry.registries import MODELS
from equibench.reports.figures.style import BLUE, COLUMN, FONT, ORANGE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Samples", "downsampling", "downsampling_figure", "upsampling", "upsampling_figure"]

SIGNAL = (0.25, 0.85, 0.5, 1.0, 0.4, 0.65, 0.15, 0.75)
"""x: its samples of odd index have the larger norm, so APS-D keeps those."""

STRIDE = 2
_DOWN = "equibench.models.polyphase:aps_downsample"
_UP = "equibench.models.polyphase:aps_upsample"
_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "label": "even samples of $x$"},
    {"color": ORANGE, "marker": "s", "label": "odd samples of $x$"},
    {"color": "0.4", "marker": "o", "markerfacecolor": "white", "label": "inserted zeros"},
)
"""Of the two polyphase components of x, and of zeros between samples."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Samples:
    """A signal, and which sample of x each of its values is; −1 for zeros put in between."""

    values: Floats
    origin: NDArray[np.int64]

    def shift_to(self, other: "Samples") -> int | None:
        """By how much ``other`` is a circular shift of this signal; None if it is none."""
        shifts = (k for k in range(len(self.values)) if self._shifted(k, other))
        return next(shifts, None)

    def _shifted(self, shift: int, other: "Samples") -> bool:
        return bool(np.array_equal(np.roll(self.values, shift), other.values))


def signals() -> tuple[Samples, Samples]:
    """The signal x and its shift by one sample."""
    values, origin = np.array(SIGNAL), np.arange(len(SIGNAL))
    return Samples(values, origin), Samples(np.roll(values, 1), np.roll(origin, 1))


def downsampling(signal: Samples) -> tuple[Samples, Samples, int]:
    """Conventional downsampling (even indices), APS-D, and the component that APS-D keeps."""
    import torch

    image = torch.from_numpy(signal.values)[None, None]
    kept, index = _operator(_DOWN)(image, STRIDE)
    component = int(index)
    conventional = Samples(signal.values[::STRIDE], signal.origin[::STRIDE])
    adaptive = Samples(kept[0, 0].numpy(), signal.origin[component::STRIDE])
    return conventional, adaptive, component


def upsampling(signal: Samples, component: int) -> tuple[Samples, Samples]:
    """Conventional upsampling, which puts samples at even indices, and APS-U."""
    return _upsampled(signal, 0), _upsampled(signal, component)


def downsampling_figure() -> "Figure":
    """Figure 1: x and its shift, downsampled by 2 in the conventional way and by APS-D."""
    lines = []
    for signal in signals():
        conventional, adaptive, _ = downsampling(signal)
        lines.append((signal, conventional, adaptive))
    return _figure(("signal", "conventional\ndownsampling", "adaptive\n(APS-D)"), lines)


def upsampling_figure() -> "Figure":
    """Figure 2: what APS-D kept, upsampled by 2 in the conventional way and by APS-U."""
    lines = []
    for signal in signals():
        _, adaptive, component = downsampling(signal)
        lines.append((adaptive, *upsampling(adaptive, component)))
    return _figure(("after APS-D", "conventional\nupsampling", "adaptive\n(APS-U)"), lines)


def _operator(reference: str) -> Callable[..., Any]:
    return MODELS.get(reference).require()


def _upsampled(signal: Samples, component: int) -> Samples:
    import torch

    values = torch.from_numpy(signal.values)[None, None]
    spread = _operator(_UP)(values, torch.tensor([component]), STRIDE)
    origin = np.full(STRIDE * len(signal.origin), -1)
    origin[component::STRIDE] = signal.origin
    return Samples(spread[0, 0].numpy(), origin)


def _figure(titles: Sequence[str], lines: Sequence[Sequence[Samples]]) -> "Figure":
    """Two lines of panels (x, and x shifted), one column for each stage."""
    with style():
        figure = new_figure(COLUMN, 2.5)
        grid = figure.subplots(2, len(titles), sharey=True)
        for panels, samples, name in zip(grid, lines, ("$x$", "$T_1\\,x$"), strict=True):
            for panel, each in zip(panels, samples, strict=True):
                _stems(panel, each)
            panels[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for column, title in enumerate(titles):
            upper, lower = (line[column] for line in lines)
            grid[0, column].set_title(title, fontsize=FONT)
            grid[0, column].tick_params(labelbottom=False)
            shift = upper.shift_to(lower)
            said = "not a shift" if shift is None else f"shifted by {shift}"
            grid[1, column].set_xlabel(f"$n$\n{said}")
        handles = {
            text: handle
            for panel in grid.ravel()
            for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=2, frameon=False,
            handletextpad=0.2,
        )  # fmt: skip
    return figure


def _stems(panel: "Axes", samples: Samples) -> None:
    """Samples as stems, looking after the parity of their index in x."""
    x = np.arange(len(samples.values))
    panel.axhline(0, color="0.4", linewidth=0.6)
    kind = np.where(samples.origin < 0, len(_LOOKS) - 1, samples.origin % STRIDE)
    for number, look in enumerate(_LOOKS):
        n, values = x[kind == number], samples.values[kind == number]
        if len(n):
            panel.vlines(n, 0, values, color=look["color"], linewidth=1.2)
            panel.plot(n, values, linestyle="none", markersize=3.5, **look)
    panel.set_xlim(-0.6, len(x) - 0.4)
    panel.set_ylim(-0.12, 1.15)
    panel.set_xticks(x[:: max(1, len(x) // 4)])
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.spines[:].set_visible(False)  # the line at 0 is enough
