"""Which circular shifts an image is put through.

Every draw is seeded by names (suite, case, pass), never by order: adding a model or a case
changes nobody's shifts.
"""

import csv
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from equibench.errors import ModelError, UsageError
from equibench.foundation.file_names import as_path
from equibench.foundation.seeds import generator

__all__ = ["DEFAULT_SHIFTS", "PLANS", "ShiftPlan", "Shifts", "parse_shifts"]

Shifts = NDArray[np.int64]
"""(n, axes): (dy, dx) in pixels of images, (dx,) of signals, (dz, dy, dx) of volumes."""

LARGEST = 2**31
"""Pixels; no image is that large."""

DEFAULT_SHIFTS = "random:n=10,max=16"
"""The shift plan of whoever does not choose one."""

EXAMPLES = f"{DEFAULT_SHIFTS} · grid:max=16,step=4 · all · file:shifts.csv · paper"


class ShiftPlan(ABC):
    """A rule that gives every case its shifts."""

    seeded: ClassVar[bool] = False
    """Whether another seed draws other shifts."""

    @abstractmethod
    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        """The shifts (n, axes) of one case with images of ``size``, in pixels for each axis."""

    @abstractmethod
    def count(self, axes: int = 2) -> int | None:
        """Shifts per case along so many axes; None where it depends on the size of the image."""

    def coarser(self, step: int) -> "ShiftPlan":
        """The plan on a grid of every ``step``-th pixel, for outputs that are smaller.

        Raises:
            ModelError: there is none.
        """
        raise ModelError(
            f"an output of 1/{step} is compared at shifts by multiples of {step}: take "
            "--shifts random:… or grid:…, or out.resize=bilinear in the place of out.scale"
        )

    def checks(self, shifts: Shifts) -> NDArray[np.int64] | None:
        """Which of its shifts of an image hold others to account; None where it has none such."""
        return None

    def covers(self, size: tuple[int, ...]) -> int:
        """How many circular shifts of an image of ``size`` each of these stands for."""
        return 1

    @property
    def evidence(self) -> str:
        """How these shifts tell the worst of all circular ones; empty where they do not."""
        return ""


@dataclass(frozen=True)
class Random(ShiftPlan):
    """``n`` different shifts, none the identity, each component uniform on −max … max − 1.

    A larger n keeps the shifts of a smaller one.
    """

    seeded: ClassVar[bool] = True

    n: int
    max: int

    def __post_init__(self) -> None:
        _at_least_one("random", n=self.n, max=self.max)
        if self.n > (2 * self.max) ** 2 - 1:
            raise UsageError(
                f"random:n={self.n},max={self.max}: there are only {(2 * self.max) ** 2 - 1} "
                f"shifts other than zero on −{self.max} … {self.max - 1}"
            )

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        rng = generator("shifts", seed, suite, case)
        drawn: dict[tuple[int, ...], None] = {}
        tries = 0
        while len(drawn) < self.n:
            shift = tuple(map(int, rng.integers(-self.max, self.max, len(size))))
            tries += 1
            if any(k % n for k, n in zip(shift, size, strict=True)):
                drawn[shift] = None
            if len(drawn) < self.n and tries > 1000 * self.n:
                raise UsageError(
                    f"random:n={self.n},max={self.max}: images of {'×'.join(map(str, size))} have "
                    "too few shifts"
                )
        return np.array(list(drawn), dtype=np.int64)

    def count(self, axes: int = 2) -> int:
        return self.n

    def coarser(self, step: int) -> ShiftPlan:
        return Coarser(Random(self.n, max(1, self.max // step)), step)


@dataclass(frozen=True)
class Coarser(ShiftPlan):
    """Shifts of a plan, each ``step`` times as far."""

    seeded: ClassVar[bool] = True

    plan: ShiftPlan
    step: int

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        coarse = tuple(n // self.step for n in size)
        shifts: Shifts = self.plan.shifts(seed, suite, case, coarse) * self.step
        return shifts

    def count(self, axes: int = 2) -> int | None:
        return self.plan.count(axes)


@dataclass(frozen=True)
class Grid(ShiftPlan):
    """Every ``step``-th shift with components on −max … max − 1, identities left out."""

    max: int
    step: int = 1

    def __post_init__(self) -> None:
        _at_least_one("grid", max=self.max, step=self.step)
        if not len(self._grid(2)):
            raise UsageError(f"grid:max={self.max},step={self.step} has no shift other than zero")

    def _grid(self, axes: int) -> Shifts:
        # through zero, so that the step also is the distance to the unshifted image
        axis = np.arange(-(self.max // self.step), (self.max - 1) // self.step + 1) * self.step
        each = np.meshgrid(*[axis] * axes, indexing="ij")
        grid = np.stack(each, axis=-1).reshape(-1, axes)
        others: Shifts = grid[grid.any(axis=1)]
        return others

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        grid = self._grid(len(size))
        moving: Shifts = grid[(grid % size).any(axis=1)]
        return moving

    def count(self, axes: int = 2) -> int:
        return len(self._grid(axes))

    def coarser(self, step: int) -> ShiftPlan:
        return Coarser(Grid(max(1, self.max // step), max(1, self.step // step)), step)


@dataclass(frozen=True)
class All(ShiftPlan):
    """Every circular shift of the image, as many as it has pixels, zero included."""

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        every: Shifts = np.indices(size).reshape(len(size), -1).T
        return every

    def count(self, axes: int = 2) -> None:
        return None

    @property
    def evidence(self) -> str:
        return "enumerated"


@dataclass(frozen=True)
class Paper(ShiftPlan):
    """One shift per case and pass, each component uniform on the integers −16 … 15."""

    seeded: ClassVar[bool] = True

    passes: int = 1

    def __post_init__(self) -> None:
        _at_least_one("paper", passes=self.passes)

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        draws = [
            generator("shifts", seed, suite, case, number).integers(-16, 16, len(size))
            for number in range(self.passes)
        ]
        return np.array(draws, dtype=np.int64)

    def count(self, axes: int = 2) -> int:
        return self.passes


@dataclass(frozen=True)
class Fixed(ShiftPlan):
    """The same shifts for every case, from a CSV file with the columns dy and dx.

    Signals have dx alone, volumes dz as well.
    """

    pairs: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, path: str) -> "Fixed":
        file = as_path(path)
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                rows = list(csv.DictReader(lines, skipinitialspace=True))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read shifts from {path}: {error}") from None
        pairs = []
        axes = [name for name in ("dz", "dy") if rows and name in rows[0]] or ["dy"]
        axes = [] if rows and list(rows[0]) == ["dx"] else axes
        for number, row in enumerate(rows, start=2):
            try:
                pair = tuple(int(row[name]) for name in (*axes, "dx"))
                if max(map(abs, pair)) > LARGEST:
                    raise ValueError
                pairs.append(pair)
            except (KeyError, TypeError, ValueError):
                raise UsageError(
                    f"{path}, line {number}: not two integers dy,dx (the first line is 'dy,dx')"
                ) from None
        if not pairs:
            raise UsageError(f"{path} holds no shift: write 'dy,dx', then a line for each shift")
        return cls(tuple(pairs))

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, ...]) -> Shifts:
        if len(self.pairs[0]) != len(size):
            raise UsageError(
                f"the shifts in the file have {len(self.pairs[0])} components, and images of "
                f"{'×'.join(map(str, size))} {len(size)} axes: write its columns "
                f"{','.join(('dz', 'dy', 'dx')[-len(size) :])}"
            )
        return np.array(self.pairs, dtype=np.int64)

    def count(self, axes: int = 2) -> int:
        return len(self.pairs)


_PLANS: dict[str, type[ShiftPlan]] = {"random": Random, "grid": Grid, "all": All, "paper": Paper}

PLANS = (*_PLANS, "file")
"""What plans of shifts begin with."""


def parse_shifts(text: str, transform: str = "") -> ShiftPlan:
    """Read a plan as users write it.

    Args:
        transform: that draws its elements by the plan, where it does not stand for itself.

    Raises:
        UsageError: an unknown plan, an unknown or missing setting, a value that is no integer.
    """
    name, _, rest = text.strip().partition(":")
    if name == "file" and rest:
        return Fixed.read(rest)
    examples, said = EXAMPLES, f"shift plan {text!r}"
    if transform:
        examples = " · ".join(f"{transform}:{each}" for each in EXAMPLES.split(" · ")[:2])
        said = f"transform {transform!r}, plan {text!r}"
    if name not in _PLANS:
        what = f"{said}: no such plan" if transform else f"no shift plan is called {text!r}"
        raise UsageError(f"{what}; write {examples}")
    settings: dict[str, int] = {}
    for part in filter(None, rest.split(",")):
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part)
        if not match:
            raise UsageError(f"{part!r} in {text!r} is not setting=integer; write {examples}")
        settings[match[1]] = int(match[2])
    try:
        return _PLANS[name](**settings)
    except TypeError:
        taken = ", ".join(f.name for f in fields(_PLANS[name])) or "no settings"  # type: ignore[arg-type]
        raise UsageError(f"{said}: {name} takes {taken}; write {examples}") from None


def _at_least_one(plan: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UsageError(f"{plan}:{name}={value}: {name} is at least 1")
        if value > LARGEST:
            raise UsageError(f"{plan}:{name}={value}: {name} is at most {LARGEST}")
