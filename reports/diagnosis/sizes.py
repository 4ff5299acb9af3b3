"""At which sizes which shifts commute: as a table for a terminal and as a figure."""

from collections.abc import Sequence
from pathlib import Path

from equibench.evaluation.size_sweep import AtSize
from equibench.reports.tables.values import number
from equibench.transforms.transform import Size, as_shift

__all__ = ["sizes_figure", "sizes_text"]


def sizes_text(found: Sequence[AtSize], label: str, suite: str) -> str:
    """A line for each size, and one for each stride with the sizes at which it is found."""
    lines = [f"{label} on {suite}, {len(found)} sizes"]
    lines += [f"{each.size:>6}  {_said(each)}" for each in found]
    strides = dict.fromkeys(each.stride for each in found if each.stride)
    for stride in sorted(strides):
        sizes = ", ".join(str(each.size) for each in found if each.stride == stride)
        lines.append(f"multiples of {_by(stride)} commute at {sizes}")
    if not strides:
        lines.append("no shift commutes at any of them")
    return "\n".join(lines)


def _said(each: AtSize) -> str:
    if each.refusal:
        return f"refused: {each.refusal}"
    if each.stride is None:
        return f"no shift commutes: NMSE {number(each.deviation, '.1e')} at the best one tried"
    return f"multiples of {_by(each.stride)} commute"


def _by(stride: Size) -> str:
    return str(stride[0]) if len(set(stride)) == 1 else as_shift(stride)


def sizes_figure(found: Sequence[AtSize], path: Path) -> list[Path]:
    """The stride at each size, and where there is none: PNG and PDF."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.0, 2.6), layout="constrained")
    exact = [each for each in found if each.stride]
    levels = sorted({max(each.stride) for each in exact if each.stride}) or [1]
    broken = [each.size for each in found if each.stride is None and not each.refusal]
    refused = [each.size for each in found if each.refusal]
    places = {stride: place for place, stride in enumerate(levels, start=2)}
    axes.plot(
        [each.size for each in exact], [places[max(each.stride)] for each in exact if each.stride],
        "o", color="#009e73",
    )  # fmt: skip
    axes.plot(broken, [1] * len(broken), "x", color="#d55e00")
    axes.plot(refused, [0] * len(refused), "|", color="0.5")
    axes.set_yticks(
        [0, 1, *places.values()], ["refused", "no shift", *(f"multiples of {n}" for n in levels)]
    )
    axes.set(xlabel="size of the image [pixels]", ylim=(-0.5, len(levels) + 1.5))
    path.mkdir(parents=True, exist_ok=True)
    files = [path / f"sizes.{suffix}" for suffix in ("png", "pdf")]
    for file in files:
        figure.savefig(file, dpi=200)
    plt.close(figure)
    return files
