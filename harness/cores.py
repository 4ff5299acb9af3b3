"""Work on single images, on one core.

PyTorch spreads an operation over all cores and waits for the slowest. For one image that is
dozens of waits, and its data leave the cache each time.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

__all__ = ["on_one_core"]

R = TypeVar("R")


def on_one_core(work: Callable[[], R]) -> R:
    """The result of some work with tensors, in inference mode."""
    if torch.get_num_threads() == 1:
        return work()

    def inferred() -> R:
        with torch.inference_mode():
            return work()

    return _thread().submit(inferred).result()


@cache
def _thread() -> ThreadPoolExecutor:
    # the number of cores is a setting of each thread
    return ThreadPoolExecutor(1, "equibench-core", torch.set_num_threads, (1,))
