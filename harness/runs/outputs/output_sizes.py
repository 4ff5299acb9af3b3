"""How large the outputs of a run will be, said before they are made."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from equibench.cases.suite import Suite
from equibench.errors import DataError, UsageError
from equibench.measurement.batching import load_case
from equibench.measurement.settings import Settings
from equibench.runs.units import Unit

__all__ = ["announced"]


def announced(
    units: Sequence[Unit], suites: Mapping[str, Suite], settings: Settings, out: Path
) -> str:
    """A line that says what the outputs of units will come to, judged by first cases.

    Args:
        suites: by the labels of their specs.

    Raises:
        UsageError: more than the disk has free.
    """
    number, size = 0, 0
    for label, suite in suites.items():
        mine = [unit for unit in units if unit.job.suite.label == label]
        case = load_case(suite, mine[0].cases[0]) if mine else None
        if case is None or isinstance(case, DataError):
            continue
        pixels = tuple(case.input.shape[2:])
        draws = sum(
            2 + len(each.elements(settings.seed, suite.name, case.name, pixels))
            for each in settings.transforms
        )
        each = len(case.input) * draws * sum(len(unit.cases) for unit in mine)
        like = case.input if case.target is None else case.target
        number, size = number + each, size + each * 4 * like[0].numel()
    free = shutil.disk_usage(next(p for p in (out, *out.absolute().parents) if p.exists())).free
    line = f"outputs to keep: about {number:,}, {_bytes(size)} before compression"
    if size > free:
        raise UsageError(
            f"{line}, and {out} has {_bytes(free)} free: take fewer --shifts, --limit, or another "
            "--out"
        )
    return f"{line}; {_bytes(free)} are free"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"
