"""What a device allows: where a model runs that cannot be moved, and how many images fit."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import EquibenchError, ModelError
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.foundation.validation import checked
from equibench.inference.forward_pass import out_of_memory
from equibench.inference.model_outputs import frame_of, mismatch
from equibench.inference.placement import placed
from equibench.inference.precision import numerics
from equibench.measurement.run_config import Conditions
from equibench.measurement.settings import Settings

__all__ = ["device_of", "where_it_runs", "within_memory"]

T = TypeVar("T")


def where_it_runs(
    model: Callable[[Tensor], Tensor], image: Callable[[], Tensor], settings: Settings
) -> tuple[Settings, list[str]]:
    """Settings under which a model runs, and a note where these are not those that were given.

    Args:
        image: gives (1, C, H, W) to try; it may raise, and then nothing is known.
    """
    cpu = torch.device("cpu")
    if not settings.elsewhere or settings.device == cpu:
        return settings, []
    try:
        one = image()
    except EquibenchError:
        return settings, []
    there = replace(settings, device=cpu)
    fault = _fault(model, one, settings)
    if fault is None or _fault(model, one, there) is not None:
        return settings, []  # what it raises everywhere, its first unit tells
    return there, [f"it runs on the CPU, as it cannot on {settings.device} ({fault})"]


def device_of(
    model: Callable[[Tensor], Tensor],
    image: Callable[[], Tensor],
    label: str,
    **conditions: object,
) -> torch.device:
    """Where a model runs under some conditions; a warning says where that is no choice of its own.

    Raises:
        UsageError: the device does not exist here, or a condition is none.
    """
    settings = Settings.of(checked(Conditions, conditions, label))
    settings, notes = where_it_runs(model, image, settings)
    for note in notes:
        warnings.warn(f"{label}: {note}", stacklevel=3)
    return settings.device


def within_memory(label: str, suite: Suite, settings: Settings, work: Callable[[Settings], T]) -> T:
    """Do a piece of work; the batch is halved while memory runs out, for this piece alone.

    Raises:
        ModelError: there is no room for a single image.
    """
    batch = settings.batch
    while True:
        try:
            with numerics(settings.precision):
                return work(replace(settings, batch=batch))
        except Exception as error:
            if not out_of_memory(error):
                raise
        if settings.device.type == "cuda":  # what was kept for the larger batch is in pieces
            torch.cuda.empty_cache()
        if batch == 1:
            raise ModelError(
                f"{label} runs out of memory on {suite.label} with one image at a time: take a "
                "smaller model or another --device",
                topic="out-of-memory",
            )
        batch //= 2


def _fault(model: Callable[[Tensor], Tensor], image: Tensor, settings: Settings) -> str | None:
    """Why a model does not run on its device; None where it does, or only runs out of memory."""
    try:
        with (
            guarded(kind_and_reason, ModelError, but=out_of_memory),
            placed(model, settings.device, settings.precision) as forward,
            numerics(settings.precision),
        ):
            images = image.to(settings.device)
            output = forward(images)
            wrong = mismatch(output, images, frame_of(forward).output_scale)
    except EquibenchError as error:
        return str(error)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return None
    return None if wrong is None else f"it returned {wrong.given}, not {wrong.wanted}"
