"""The figure of a finding, as SVG that takes the colours of its page: pairs, or a scatter."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, isfinite, log10

from equibench.board.findings import Finding, Point

__all__ = ["figure"]

_WIDTH, _LEFT, _TOP = 360, 10, 8
_LINE = 11
_TALL = 210


def figure(finding: Finding) -> str:
    """Of pairs a line each, the first side hollow; of a trend a scatter. Nothing where none is."""
    points = [p for p in finding.points if isfinite(p.first) and isfinite(p.second)]
    if not points:
        return ""
    if finding.question.trend is not None:
        return _scatter(points, finding.question.names)
    return _pairs(points, finding.question.names)


def _pairs(points: Sequence[Point], names: tuple[str, str]) -> str:
    ordered = sorted(points, key=lambda point: point.second / point.first)
    scale = _Log([value for point in points for value in (point.first, point.second)], _WIDTH - 20)
    bottom = _TOP + _LINE * len(ordered)
    parts = _grid(scale, bottom)
    for number, point in enumerate(ordered):
        y = _TOP + _LINE * (number + 0.5)
        first, second = (_LEFT + scale.place(each) for each in (point.first, point.second))
        said = f"{point.name}: {names[0]} {point.first:.2g}, {names[1]} {point.second:.2g}"
        parts.append(
            f"<g><title>{escape(said)}</title>"
            f'<line class="pair" x1="{first:.1f}" x2="{second:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle class="one" cx="{first:.1f}" cy="{y:.1f}" r="3.2"/>'
            f'<circle class="two" cx="{second:.1f}" cy="{y:.1f}" r="3.2"/></g>'
        )
    label = f"{names[0]} and {names[1]}: the error of each of {len(points)} pairs"
    return _svg(parts, bottom + 20, label)


def _scatter(points: Sequence[Point], names: tuple[str, str]) -> str:
    across = _Log([point.first for point in points], _WIDTH - 60)
    up = _Log([point.second for point in points], _TALL - 30)
    bottom, left = _TALL - 20, 44
    parts = []
    for power, place in up.ticks():
        y = bottom - place
        parts.append(
            f'<line class="grid" x1="{left}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(
            f'<text x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{_power(power)}</text>'
        )
    for power, place in across.ticks():
        x = left + place
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{_power(power)}</text>'
        )
    for point in points:
        x, y = left + across.place(point.first), bottom - up.place(point.second)
        said = f"{point.name}: {names[0]} {point.first:.3g}, {names[1]} {point.second:.2g}"
        parts.append(
            f'<circle class="two" cx="{x:.1f}" cy="{y:.1f}" r="3.4">'
            f"<title>{escape(said)}</title></circle>"
        )
    return _svg(parts, _TALL, f"{names[1]} over {names[0]} of {len(points)} networks")


class _Log:
    """A logarithmic scale of so many units; narrow ranges get their own digits."""

    def __init__(self, values: Sequence[float], length: float) -> None:
        logs = [log10(value) for value in values if value > 0]
        low, high = min(logs), max(logs)
        room = max(high - low, 0.08) * 0.04
        self.low, self.high, self.length = low - room, high + room, length

    def place(self, value: float) -> float:
        return (log10(value) - self.low) / (self.high - self.low) * self.length

    def ticks(self) -> list[tuple[float, float]]:
        """Powers of ten, or 1, 2 and 5 times them where there is room for no two."""
        powers = range(ceil(self.low), floor(self.high) + 1)
        wanted = [10.0**p for p in powers]
        if len(wanted) < 2:
            decades = range(floor(self.low), ceil(self.high) + 1)
            every = [m * 10.0**p for p in decades for m in (1, 1.5, 2, 3, 5, 7)]
            wanted = [value for value in every if self.low <= log10(value) <= self.high]
        step = ceil(len(wanted) / 6) or 1
        return [(value, self.place(value)) for value in wanted[::step]]


def _grid(scale: _Log, bottom: float) -> list[str]:
    parts = []
    for value, place in scale.ticks():
        x = _LEFT + place
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{_power(value)}</text>'
        )
    return parts


def _power(value: float) -> str:
    power = round(log10(value))
    if value == 10.0**power and not -3 < power < 4:
        return f'10<tspan dy="-4" font-size="8">{str(power).replace("-", "−")}</tspan>'
    return f"{value:.3g}"


def _svg(parts: Sequence[str], height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
