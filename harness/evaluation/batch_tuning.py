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

from equibench.errors import EquibenchError
from equibench.foundation.atomic_files import replacing
from equibench.foundation.file_locks import locked
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.foundation.platform_folders import cache_folder
from equibench.inference.parallel_copies import Lanes, side_by_side
from equibench.inference.placement import Placed, placed
from equibench.inference.precision import numerics
from equibench.measurement.settings import Settings

__all__ = ["CANDIDATES", "fitting", "tuned", "worth_tuning"]

CANDIDATES = {"cpu": (2, 4, 8), "cuda": (16, 32, 64, 128, 256)}
"""Batches that are tried; two is the least that shows the floor."""

_REPEATS = 3

_GAIN = 1.03
"""A larger batch must be faster by so much, for the memory that it takes."""


_ROOM = 0.5
"""Share of the free memory for forward passes: references, comparisons and cuDNN take the rest."""

_SHARE = 50
"""Work is worth tuning for if it is so many times what trying takes."""


def worth_tuning(device: torch.device, forwards: int) -> bool:
    """Whether so many forward passes of one image pay for the trials."""
    return forwards >= _SHARE * _REPEATS * sum(CANDIDATES[device.type])


def tuned(
    model: Callable[[Tensor], Tensor], image: Tensor, settings: Settings, conditions: str
) -> int:
    """The batch of the highest throughput for a model and images like one, (1, C, *size).

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
                known[key] = _fastest(Lanes(side_by_side(forward)), image.to(settings.device))
            with replacing(file) as temporary:
                temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return int(known[key])


def fitting(model: Callable[[Tensor], Tensor], image: Tensor, settings: Settings) -> int:
    """The batch of the settings, halved until a GPU's free memory holds it.

    What an image takes is measured on one and on two; two is the least that shows the floor.

    Args:
        image: one like those of the model, (1, C, *size).
    """
    if settings.device.type != "cuda":
        return settings.batch
    try:
        with (
            placed(model, settings.device, settings.precision) as forward,
            numerics(settings.precision),
            guarded(kind_and_reason),
        ):
            one, two = (_peak(forward, image.to(settings.device), n) for n in (1, 2))
            free = _free(settings.device)
    except EquibenchError:  # what it raises, the first unit tells
        return settings.batch
    batch = settings.batch
    while batch > 2 and one + (batch - 1) * (two - one) > _ROOM * free:
        batch //= 2
    return batch


def _peak(forward: Callable[[Tensor], Tensor], image: Tensor, batch: int) -> int:
    """Bytes that a forward pass of so many images takes beside what is there already."""
    images = image.expand(batch, *image.shape[1:]).contiguous()
    torch.cuda.reset_peak_memory_stats(image.device)
    before = torch.cuda.memory_allocated(image.device)
    forward(images)
    return torch.cuda.max_memory_allocated(image.device) - before


def _free(device: torch.device) -> int:
    """Bytes that nobody has on a GPU, and those that PyTorch keeps for the next tensors."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _fastest(lanes: Lanes[Placed], image: Tensor) -> int:
    times: dict[int, float] = dict.fromkeys(CANDIDATES[image.device.type], float("inf"))
    for _ in range(_REPEATS):  # in turns: a machine is slow for a while
        for batch in list(times):
            images = image.expand(batch, *image.shape[1:]).contiguous()
            try:
                with guarded(kind_and_reason):
                    times[batch] = min(times[batch], _seconds(lanes, images) / batch)
            except EquibenchError:  # memory runs out, or an export keeps its batch
                if batch == min(times):
                    return batch  # what it raises, the first unit tells
                times = {smaller: seconds for smaller, seconds in times.items() if smaller < batch}
                break
    chosen = min(times)
    for batch, seconds in times.items():
        if seconds * _GAIN < times[chosen]:
            chosen = batch
    return chosen


def _seconds(lanes: Lanes[Placed], images: Tensor) -> float:
    """Of one forward pass in every lane."""
    begin = perf_counter()
    for _ in lanes.in_order([lambda forward: forward(images)] * len(lanes.each)):
        pass
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return perf_counter() - begin


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
