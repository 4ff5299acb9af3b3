"""What belongs to the whole process and a model may change: random states, switches, the folder."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from equibench.foundation.seeds import generator

__all__ = ["process_kept", "seed_everything"]


@contextmanager
def process_kept() -> Iterator[None]:
    """Put back, in the end, whatever may have been set meanwhile."""
    before = _noted()
    try:
        yield
    finally:
        _put_back(before)


def seed_everything(*names: object) -> None:
    """Let every generator of this process begin anew, by names and never by order."""
    seed = int(generator(*names).integers(2**31))
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def _noted() -> dict[str, Any]:
    noted = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "random": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "errors": np.geterr(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        noted["cuda"] = torch.cuda.get_rng_state_all()
    with suppress(OSError):  # it may have been deleted
        noted["folder"] = os.getcwd()
    return noted


def _put_back(noted: dict[str, Any]) -> None:
    torch.set_rng_state(noted["torch"])
    if "cuda" in noted:
        torch.cuda.set_rng_state_all(noted["cuda"])
    np.random.set_state(noted["numpy"])  # noqa: NPY002
    random.setstate(noted["random"])
    torch.set_default_dtype(noted["dtype"])
    if torch.get_num_threads() != noted["threads"]:
        torch.set_num_threads(noted["threads"])
    if torch.get_deterministic_debug_mode() != noted["deterministic"]:
        torch.set_deterministic_debug_mode(noted["deterministic"])
    np.seterr(**noted["errors"])
    with suppress(OSError):
        if "folder" in noted and os.getcwd() != noted["folder"]:
            os.chdir(noted["folder"])
