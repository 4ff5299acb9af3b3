"""The columns of a board's tables: what each says of an entry on a suite."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan, nan, prod

from equibench.board.standings import Figures, Standing
from equibench.reports.tables.grid import Block, Cell, Name
from equibench.reports.tables.values import NONE, number
from equibench.transforms.transform import CIRCULAR

__all__ = ["Column", "blocks_of", "columns_of", "network_name", "rank"]

_MOTIONS = {
    "circular": "circular shifts ↓",
    "crop": "crops ↓",
    "tile": "tiles ↓",
    "fourier": "fractions ↓",
    "d4": "rotations ↓",
}
_QUALITY = {"psnr": ("PSNR [dB]", ".2f"), "dice": ("Dice", ".3f"), "iou": ("IoU", ".3f")}


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        block: the heading that it shares with its neighbours.
        first: how it is sorted by the first click.
        cell: what it says of a line.
    """

    block: str
    name: str
    cell: Callable[[Standing], Cell]
    first: str = "ascending"
    left: bool = False


def columns_of(lines: Sequence[Standing]) -> list[Column]:
    """Those that any of the lines has something in."""
    found = []
    for motion in dict.fromkeys(motion for line in lines for motion in line.figures):
        heading = _MOTIONS.get(motion, f"{motion} ↓")
        found += [
            Column(heading, "mean", lambda line, m=motion: _mean(line, m)),  # type: ignore[misc]
            Column(heading, "worst", lambda line, m=motion: _worst(line, m)),  # type: ignore[misc]
        ]
    if any(line.figures["circular"].labels for line in lines):
        found += [
            Column("labels kept ↑", "mean", lambda line: _kept(line, "mean"), "descending"),
            Column("labels kept ↑", "worst", lambda line: _kept(line, "worst"), "descending"),
        ]
    for name, (title, spec) in _QUALITY.items():
        if any(name in line.quality for line in lines):
            found.append(
                Column(
                    "quality ↑",
                    title,
                    lambda line, n=name, s=spec: _value(line.quality.get(n, nan), s),  # type: ignore[misc]
                    "descending",
                )
            )
    found += [
        Column("network", "parameters", _parameters),
        Column("network", "time ×", _time),
        Column("network", "padding", _padding, left=True),
        Column("total stride", "pixels", _stride, left=True),
    ]
    if any(line.best for line in lines):
        found += [
            Column("best treatment", "mend=", _treatment, left=True),
            Column("best treatment", "worst error ÷", _bought, "descending"),
        ]
    return found


def blocks_of(columns: Sequence[Column]) -> list[Block]:
    """Headings in two rows."""
    found: dict[str, list[Name]] = {}
    for column in columns:
        found.setdefault(column.block, []).append(Name(column.name, left=column.left))
    return [Block(heading, names) for heading, names in found.items()]


def network_name(line: Standing) -> str:
    """What a line is called: commas of a spec let a line break behind them."""
    return line.entry.label.replace(",", ", ")


def rank(line: Standing) -> Cell:
    """Nothing, which stands behind all others, where a network's outputs are one value."""
    return Cell(str(line.rank), value=line.rank) if line.rank else Cell(NONE)


def _mean(line: Standing, motion: str) -> Cell:
    figures = line.figures.get(motion)
    if figures is None:
        return _missing(line, motion)
    if figures.all_constant:
        return Cell(NONE, note="constant")
    if figures.rounding:
        return Cell("0", note="rounding only", value=0.0)
    low, high = figures.within.low, figures.within.high
    note = (
        ""
        if isnan(low) or motion != CIRCULAR
        else f"{_error(figures, low)} … {_error(figures, high)}"
    )
    return Cell(_error(figures, figures.mean), note=note, value=figures.mean)


def _worst(line: Standing, motion: str) -> Cell:
    figures = line.figures.get(motion)
    if figures is None or figures.all_constant:
        return Cell(NONE)
    if figures.rounding:
        return Cell("0", value=0.0)
    return Cell(_error(figures, figures.worst), value=figures.worst)


def _error(figures: Figures, value: float) -> str:
    return f"{value:.2%}" if figures.labels else number(value, ".1e")


def _missing(line: Standing, motion: str) -> Cell:
    refused = line.entry.refused.get(f"{line.suite} · {motion}")
    return Cell(NONE, note="refused" if refused else "")


def _kept(line: Standing, statistic: str) -> Cell:
    figures = line.figures["circular"]
    if not figures.labels or figures.all_constant:
        return Cell(NONE)
    value = 1 - float(getattr(figures, statistic))
    return Cell(f"{value:.2%}", value=value)


def _value(value: float, spec: str) -> Cell:
    return Cell(NONE) if isnan(value) else Cell(number(value, spec), value=value)


def _stride(line: Standing) -> Cell:
    stride, evidence = line.facts.get("stride") or (), str(line.facts.get("evidence", ""))
    obstacle = str(line.facts.get("obstacle", ""))
    if not stride:
        text = "none" if obstacle else "none found"
        return Cell(text, note=obstacle, left=True, value=float("inf"))
    same = len(set(stride)) == 1
    text = str(stride[0]) if same else " × ".join(map(str, stride))
    return Cell(text, note=evidence, left=True, value=prod(stride) ** (1 / len(stride)))


def _padding(line: Standing) -> Cell:
    return Cell(str(line.facts.get("padding") or NONE), left=True)


def _parameters(line: Standing) -> Cell:
    count = line.entry.identity.get("parameters")
    if count is None:
        return Cell(NONE)
    text = f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count:,}"
    return Cell(text, value=float(count))


def _time(line: Standing) -> Cell:
    return _value(float(str(line.facts.get("time", "nan"))), ".2g")


def _treatment(line: Standing) -> Cell:
    if line.best is None:
        return Cell(NONE, left=True)
    quality = line.best.quality
    change = "" if isnan(quality) else f", PSNR {quality:+.2f} dB"
    return Cell(line.best.name, left=True, note=f"time × {line.best.time:.2g}{change}")


def _bought(line: Standing) -> Cell:
    if line.best is None:
        return Cell(NONE)
    factor = line.best.worst
    return Cell("to rounding" if factor == float("inf") else f"{factor:.2g}", value=factor)
