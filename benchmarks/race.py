"""Times of several functions, taken in turns within one run: their ratios mean something."""

import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["race"]


def race(runners: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """The least seconds that each of some functions took; all take part in every round."""
    for run in runners.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, run in runners.items():
            _finish()
            begun = time.perf_counter()
            run()
            _finish()
            times[name].append(time.perf_counter() - begun)
    return {name: min(seconds) for name, seconds in times.items()}


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
