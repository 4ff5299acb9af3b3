"""A table of the page: headings in two rows, and lines of cells."""

from dataclasses import dataclass

__all__ = ["Block", "Cell", "Line", "Name"]


@dataclass(frozen=True)
class Name:
    """What a column is called; ``paper`` where it holds published values."""

    text: str
    paper: bool = False
    left: bool = False


@dataclass(frozen=True)
class Block:
    """Columns that belong to one metric."""

    heading: str
    names: list[Name]


@dataclass(frozen=True)
class Cell:
    """Text, and whether it is the paper's or the best of its column.

    Args:
        note: what stands below it, in small.
        value: what it is sorted by, where that is not the text.
    """

    text: str
    paper: bool = False
    best: bool = False
    left: bool = False
    note: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Line:
    model: str
    cells: list[Cell]
