"""How cases are split into units of work."""

from collections.abc import Sequence

from equibench.cases.suite import Suite
from equibench.transforms.transform import Transform

__all__ = ["forwards_per_case", "units"]

FORWARDS_PER_UNIT = {"cpu": 64, "cuda": 4096}
"""About how many images a unit of work passes through the model, unless one case has more."""


def units(
    suite: Suite, transforms: Sequence[Transform], cases: Sequence[str], device: str = "cpu"
) -> list[Sequence[str]]:
    """Split cases into units of work; a longer list fills the last one and adds others."""
    wanted = FORWARDS_PER_UNIT[device]
    forwards = forwards_per_case(suite, transforms) or wanted
    size = max(1, wanted // forwards)
    return [cases[i : i + size] for i in range(0, len(cases), size)]


def forwards_per_case(suite: Suite, transforms: Sequence[Transform]) -> int | None:
    """About how many images a case passes through the model; None where its size decides."""
    counts = [transform.count(suite.axes) for transform in transforms]
    each = [2 + count for count in counts if count]
    return sum(each) * suite.images_per_case if len(each) == len(counts) else None
