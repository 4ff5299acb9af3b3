"""The generators that a network may draw from: seeded for a pass, then put back."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch

__all__ = ["generators", "seed_of_generators"]

_SEED: ContextVar[int | None] = ContextVar("seed", default=None)


def seed_of_generators() -> int | None:
    """What ``generators`` has seeded them with, for a process elsewhere; None outside of it."""
    return _SEED.get()


@contextmanager
def generators(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Leave PyTorch's generators of a device and the CPU, Python's and NumPy's as they were.

    Args:
        seed: what they all begin with; None lets them go on.
    """
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    token = _SEED.set(seed)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            if seed is not None:
                torch.default_generator.manual_seed(seed)
                if device.type == "cuda":
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        _SEED.reset(token)
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
