"""How a value inside a network moves when the network's input moves: the abstract domain.

Every dimension of a tensor is an ordered product of factors, row-major as in a reshape. A factor
stands still, counts the images of a batch, or moves with an axis of the input. Reshapes,
permutations, windows, tokens and pixel shuffles then only regroup factors.

When the input moves by k pixels along an axis, a factor of stride s moves by k/s samples of a
sequence of its period. It shows a window of that sequence: as long as the period for a map, longer
after circular padding, shorter after a crop. Samples at its ends may be spoiled: what was computed
from beyond the border does not move, and is forgiven if it is cropped away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import lcm, prod

from torch import fx

__all__ = [
    "Axis",
    "Blame",
    "Breaks",
    "Dim",
    "Factor",
    "Images",
    "Lattice",
    "Lost",
    "Moving",
    "Still",
    "Value",
    "size_of",
]


@dataclass(frozen=True, eq=False)
class Axis:
    """An axis of the input, or the grid that an adaptive layer chose on one.

    Args:
        size: in samples.
        parent: of an adaptive grid, the factor that was sampled; any integer motion of the parent
            makes this grid move by some integer, and nobody knows which.
    """

    name: str
    size: int
    parent: "Moving | None" = None

    @property
    def root(self) -> "Axis":
        return self if self.parent is None else self.parent.axis.root


@dataclass(frozen=True)
class Blame:
    """The operator that is to blame, and what it did."""

    node: fx.Node
    reason: str


class Breaks(Exception):
    """A motion is lost.

    Args:
        axes: of the input, on which; none for all of them.
        blame: an operator before this one, whose effect cannot be cropped away any more.
    """

    def __init__(self, reason: str, axes: Iterable[Axis] = (), blame: Blame | None = None) -> None:
        super().__init__(reason)
        self.reason, self.blame = reason, blame
        self.axes = frozenset(axis.root for axis in axes)


@dataclass(frozen=True)
class Lost:
    """A value of which no motion is known, and why; no axes are all of them."""

    blame: Blame
    axes: frozenset[Axis] = frozenset()


@dataclass(frozen=True)
class Still:
    """Does not move. ``even``: the same everywhere along it, so that it fits any motion."""

    size: int
    even: bool = False

    def split(self, outer: int) -> tuple["Still", "Still"]:
        return Still(outer, self.even), Still(self.size // outer, self.even)


@dataclass(frozen=True)
class Images:
    """The images of a batch, each of which moves by a shift of its own."""

    size: int

    def split(self, outer: int) -> tuple["Images", "Images"]:
        raise Breaks("reshapes the images of a batch")


@dataclass(frozen=True)
class Moving:
    """A window on a periodic sequence that moves with an axis.

    Args:
        stride: pixels of the axis per sample; negative where it runs against it.
        period: of the sequence; ``period · |stride|`` is the size of the axis.
        size: of the window.
        before, after: samples at its ends that are spoiled.
        blame: the operator that spoiled them.
    """

    axis: Axis
    stride: Fraction
    period: int
    size: int
    before: int = 0
    after: int = 0
    blame: Blame | None = None

    @property
    def spoiled(self) -> bool:
        return bool(self.before or self.after)

    @property
    def whole(self) -> bool:
        """Whether it shows every sample of the sequence equally often."""
        return self.size % self.period == 0 and not self.spoiled

    def split(self, outer: int) -> tuple["Moving", Still]:
        """Into a coarser factor and the places between its samples; see :class:`Lattice`."""
        inner = self.size // outer
        if self.period % inner:
            if self.spoiled:
                raise self.broken()
            raise Breaks(f"parts a map of {self.period} into windows of {inner}", [self.axis])
        coarse = replace(
            self,
            stride=self.stride * inner,
            period=self.period // inner,
            size=outer,
            before=-(-self.before // inner),
            after=-(-self.after // inner),
        )
        return coarse, Still(inner)

    def finer(self, inner: int) -> "Moving":
        """The factor and ``inner`` places between its samples as one."""
        return replace(
            self,
            stride=self.stride / inner,
            period=self.period * inner,
            size=self.size * inner,
            before=self.before * inner,
            after=self.after * inner,
        )

    def with_ends(self, size: int, before: int, after: int, blame: Blame) -> "Moving":
        """Another window, whose ends are spoiled by what came before or by ``blame``."""
        before, after = max(0, before), max(0, after)
        if before + after >= size:
            raise self.broken(blame)
        keep = self.blame if self.spoiled else blame
        spoiled = keep if before or after else None
        return replace(self, size=size, before=before, after=after, blame=spoiled)

    def broken(self, blame: Blame | None = None) -> Breaks:
        """What is lost where spoiled samples cannot be cropped away any more."""
        cause = self.blame if self.spoiled else blame
        return Breaks(cause.reason if cause else "needs a whole map", [self.axis], cause)


Factor = Still | Images | Moving
Dim = tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that depends on the input.

    Args:
        dims: factors of every dimension; none for a size of 1.
        source: shared by windows on the same tensor, with ``offsets`` of their first samples.
        choice: of an adaptive layer, the grids that it chose, as its index.
    """

    dims: tuple[Dim, ...]
    source: object = field(default_factory=object)
    offsets: tuple[int, ...] = ()
    choice: "tuple[Factor, ...] | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size_of(dim) for dim in self.dims)

    def offset(self, dim: int) -> int:
        return self.offsets[dim] if self.offsets else 0


class Lattice:
    """Which shifts are claimed to commute: multiples of one number for every axis.

    Operators ask for what they need, and it is never taken back.

    Attributes:
        asked: what one operator has asked for, since somebody emptied it.
    """

    def __init__(self) -> None:
        self.strides: dict[Axis, int] = {}
        self.asked: dict[Axis, int] = {}

    def require(self, axis: Axis, pixels: Fraction | int) -> None:
        """Only shifts that are multiples of so many pixels are claimed from here on.

        Raises:
            Breaks: an adaptive grid, whose motion can be any integer, or a whole turn.
        """
        wanted = abs(Fraction(pixels)).numerator
        now = self.strides.get(axis, 1)
        strides = lcm(now, wanted)
        if axis.parent is not None and strides > 1:
            raise Breaks(f"needs a map that moves by multiples of {strides}", [axis])
        self.strides[axis] = strides
        self.asked[axis] = lcm(self.asked.get(axis, 1), wanted)

    def stride(self, axis: Axis) -> int:
        return self.strides.get(axis, 1)


def size_of(dim: Sequence[Factor]) -> int:
    return prod(factor.size for factor in dim)
