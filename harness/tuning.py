"""How many images to pass through a model at once: measured, then remembered.

Which batch is fastest is the machine's affair: few images stay in a CPU's cache, many fill a GPU.
But another batch gives other last bits. So a choice is kept for as long as the cache folder is,
and equal runs on one machine are equal.
"""

import hashlib
import json
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from equibench.atomic import replacing
from equibench.folders import cache_folder
from equibench.forward import out_of_memory
from equibench.lock import locked
from equibench.precision import numerics, placed
from equibench.settings import Settings

__all__ = ["CANDIDATES", "tuned", "worth_tuning"]

CANDIDATES = {"cpu": (2, 4, 8), "cuda": (16, 32, 64, 128, 256)}
"""Batches that are tried; two is the least that shows the floor."""

_REPEATS = 3

_GAIN = 1.03
"""A larger batch must be faster by so much, for the memory that it takes."""


_SHARE = 50
"""Work is worth tuning for if it is so many times what trying takes."""


def worth_tuning(device: torch.device, forwards: int) -> bool:
    """Whether so many forward passes of one image pay for the trials."""
    return forwards >= _SHARE * _REPEATS * sum(CANDIDATES[device.type])


def tuned(
    model: Callable[[Tensor], Tensor], image: Tensor, settings: Settings, conditions: str
) -> int:
    """The batch of the highest throughput for a model and images like one, (1, C, H, W).

    Args:
        conditions: all that the choice depends on but the machine, the size and the settings.
    """
    file = cache_folder() / "batches.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    machine = f"{_name(settings.device)}, {torch.get_num_threads()}, {torch.__version__}"
    everything = f"{conditions}\n{machine}\n{tuple(image.shape)}\n{settings.precision}"
    key = hashlib.sha256(everything.encode()).hexdigest()
    # several workers of one run find the same
    with locked(file.with_suffix(".lock"), wait=True):
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if key not in known:
            with (
                placed(model, settings.device, settings.precision) as forward,
                numerics(settings.precision),
            ):
                known[key] = _fastest(forward, image.to(settings.device))
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return int(known[key])


def _fastest(forward: Callable[[Tensor], Tensor], image: Tensor) -> int:
    chosen, best = 0, float("inf")
    for batch in CANDIDATES[image.device.type]:
        images = image.expand(batch, -1, -1, -1).contiguous()
        try:
            seconds = min(_seconds(forward, images) for _ in range(_REPEATS)) / batch
        except Exception as error:
            if chosen and out_of_memory(error):
                break
            raise
        if seconds * _GAIN < best:
            chosen, best = batch, seconds
    return chosen


def _seconds(forward: Callable[[Tensor], Tensor], images: Tensor) -> float:
    begin = perf_counter()
    forward(images)
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return perf_counter() - begin


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
