"""Functions timed in turns within one run: ratios of their times mean something."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

__all__ = ["Race", "race"]


class Race:
    """Seconds of each runner in each round."""

    def __init__(self, times: Mapping[str, list[float]]) -> None:
        self.times = times

    def seconds(self, name: str) -> float:
        """The median of a runner."""
        return median(self.times[name])

    def ratio(self, one: str, other: str) -> float:
        """How many times as long as another a runner takes: the median of all rounds.

        A machine that is slow for a while is slow for both.
        """
        pairs = zip(self.times[one], self.times[other], strict=True)
        return median(a / b for a, b in pairs)


def race(runners: Mapping[str, Callable[[], object]], rounds: int = 5) -> Race:
    """Run some functions once to warm up, then in turns."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(1 + rounds):
        for name, run in runners.items():
            _finish()
            begun = time.perf_counter()
            run()
            _finish()
            if number:
                times[name].append(time.perf_counter() - begun)
    return Race(times)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
