"""One forward pass, with its output checked; and how long one takes."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from equibench.errors import ModelError, reason
from equibench.foundation.foreign_code import guarded, kind_and_reason
from equibench.inference.adapters import Unfit
from equibench.inference.model_outputs import frame_of, mismatch, shape
from equibench.inference.remedies import Failure, remedy

__all__ = ["attempt", "call", "out_of_memory", "relative_time"]

_TURNS = 5
"""Passes that are timed, in turns with those of what they are compared with."""


def call(
    model: Callable[[Tensor], object],
    images: Tensor,
    label: str,
    where: str,
    *,
    moved: bool = False,
) -> Tensor:
    """Pass images (B, C, *size) through a model.

    Args:
        label, where: what messages call the model, and the data that it was given.
        moved: give the output as it is where something was added to it to bring it into the
            units of the input, and not without that.

    Raises:
        ModelError: it raises, or returns anything but a real tensor (B, C', *size), as large as
            its frame says; the message says what mends it.
    """
    output = attempt(model, images, label, where)
    frame = frame_of(model)
    with guarded(
        lambda error: (
            f"{label} returned a {type(output).__name__} on {where} that cannot be looked at: "
            f"{kind_and_reason(error)}"
        )
    ):
        wrong = mismatch(output, images, frame.output_scale)
        if wrong is not None:
            advice = remedy(model, images, Failure(output=output))
            raise ModelError(
                f"{label} returned {wrong.given} on {where} (input {shape(images)}), not "
                f"{wrong.wanted}: {advice}",
                topic="no-image",
            )
    assert isinstance(output, Tensor)
    return output if moved or frame.unmoved is None else frame.unmoved


def attempt(model: Callable[[Tensor], object], images: Tensor, label: str, where: str) -> object:
    """Pass images (B, C, *size) through a model, whatever it returns.

    Raises:
        ModelError: it raises; the message says what mends it.
    """

    def said(error: BaseException) -> str:
        advice = remedy(model, images, Failure(error))
        return (
            f"{label} raised {type(error).__name__} on {where} (input {shape(images)}): "
            f"{reason(error)}{f'; {advice}' if advice else ''}"
        )

    try:
        with guarded(said, but=out_of_memory, topic="network-raises"):
            return model(images)
    except Unfit as error:
        advice = remedy(model, images, Failure(error))
        raise ModelError(
            f"{error} on {where}{f': {advice}' if advice else ''}", topic="no-image"
        ) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help; the CPU's allocator has no exception of its own."""
    memory = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, memory) or "allocate memory" in reason(error)


@torch.no_grad()
def relative_time(
    before: Callable[[Tensor], object], after: Callable[[Tensor], object], images: Tensor
) -> float:
    """The time of a pass of ``after`` over that of ``before``.

    It is the median of their ratios, turn by turn, after one pass of each: what else a machine
    does meanwhile slows both.
    """
    before(images), after(images)
    ratios = []
    for _ in range(_TURNS):
        times = []
        for forward in (before, after):
            begun = perf_counter()
            forward(images)
            if images.is_cuda:
                torch.cuda.synchronize(images.device)
            times.append(perf_counter() - begun)
        ratios.append(times[1] / times[0])
    return median(ratios)
