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

from equibench.errors import UsageError
from equibench.foundation.file_names import as_path
from equibench.foundation.seeds import generator

__all__ = ["DEFAULT_SHIFTS", "ShiftPlan", "Shifts", "parse_shifts"]

Shifts = NDArray[np.int64]
"""(n, 2): (dy, dx) in pixels."""

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
    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, int]) -> Shifts:
        """The shifts (n, 2) of one case with images of ``size`` (H, W)."""

    @abstractmethod
    def count(self) -> int | None:
        """Shifts per case; None where it depends on the size of the image."""

    def covers(self, size: tuple[int, int]) -> int:
        """How many circular shifts of an image of ``size`` (H, W) each of these stands for."""
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

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, int]) -> Shifts:
        rng = generator("shifts", seed, suite, case)
        drawn: dict[tuple[int, int], None] = {}
        tries = 0
        while len(drawn) < self.n:
            dy, dx = map(int, rng.integers(-self.max, self.max, 2))
            tries += 1
            if dy % size[0] or dx % size[1]:
                drawn[dy, dx] = None
            elif tries > 1000 * self.n:
                raise UsageError(
                    f"random:n={self.n},max={self.max}: images of {size[0]}×{size[1]} have too few "
                    "shifts"
                )
        return np.array(list(drawn), dtype=np.int64)

    def count(self) -> int:
        return self.n


@dataclass(frozen=True)
class Grid(ShiftPlan):
    """Every ``step``-th shift with components on −max … max − 1, identities left out."""

    max: int
    step: int = 1

    def __post_init__(self) -> None:
        _at_least_one("grid", max=self.max, step=self.step)
        if not len(self._grid()):
            raise UsageError(f"grid:max={self.max},step={self.step} has no shift other than zero")

    def _grid(self) -> Shifts:
        # through zero, so that the step also is the distance to the unshifted image
        axis = np.arange(-(self.max // self.step), (self.max - 1) // self.step + 1) * self.step
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        others: Shifts = grid[grid.any(axis=1)]
        return others

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, int]) -> Shifts:
        grid = self._grid()
        moving: Shifts = grid[(grid % size).any(axis=1)]
        return moving

    def count(self) -> int:
        return len(self._grid())


@dataclass(frozen=True)
class All(ShiftPlan):
    """Every circular shift of the image, H·W of them, zero included."""

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, int]) -> Shifts:
        every: Shifts = np.indices(size).reshape(2, -1).T
        return every

    def count(self) -> None:
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

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, int]) -> Shifts:
        draws = [
            generator("shifts", seed, suite, case, number).integers(-16, 16, 2)
            for number in range(self.passes)
        ]
        return np.array(draws, dtype=np.int64)

    def count(self) -> int:
        return self.passes


@dataclass(frozen=True)
class Fixed(ShiftPlan):
    """The same shifts for every case, from a CSV file with the columns dy and dx."""

    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, path: str) -> "Fixed":
        file = as_path(path)
        try:
            with file.open(newline="", encoding="utf-8-sig") as lines:
                rows = list(csv.DictReader(lines, skipinitialspace=True))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read shifts from {path}: {error}") from None
        pairs = []
        for number, row in enumerate(rows, start=2):
            try:
                pair = int(row["dy"]), int(row["dx"])
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

    def shifts(self, seed: int, suite: str, case: str, size: tuple[int, int]) -> Shifts:
        return np.array(self.pairs, dtype=np.int64)

    def count(self) -> int:
        return len(self.pairs)


_PLANS: dict[str, type[ShiftPlan]] = {"random": Random, "grid": Grid, "all": All, "paper": Paper}


def parse_shifts(text: str) -> ShiftPlan:
    """Read a plan as users write it.

    Raises:
        UsageError: an unknown plan, an unknown or missing setting, a value that is no integer.
    """
    name, _, rest = text.strip().partition(":")
    if name == "file" and rest:
        return Fixed.read(rest)
    if name not in _PLANS:
        raise UsageError(f"no shift plan is called {text!r}; write {EXAMPLES}")
    settings: dict[str, int] = {}
    for part in filter(None, rest.split(",")):
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+)\s*", part)
        if not match:
            raise UsageError(f"{part!r} in {text!r} is not setting=integer; write {EXAMPLES}")
        settings[match[1]] = int(match[2])
    try:
        return _PLANS[name](**settings)
    except TypeError:
        taken = ", ".join(f.name for f in fields(_PLANS[name])) or "no settings"  # type: ignore[arg-type]
        raise UsageError(f"shift plan {text!r}: {name} takes {taken}; write {EXAMPLES}") from None


def _at_least_one(plan: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UsageError(f"{plan}:{name}={value}: {name} is at least 1")
        if value > LARGEST:
            raise UsageError(f"{plan}:{name}={value}: {name} is at most {LARGEST}")
