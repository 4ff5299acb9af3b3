"""A few numbers that tell whether a model still computes the same outputs.

Rounding to a shorter mantissa commutes with shifts: an equivariance error cannot show it, nor a
constant output, nor another set of weights. A sketch of the outputs shows all three.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.foundation.seeds import generator
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics

__all__ = ["deviation", "sketch"]

PROJECTIONS = 8
DIGITS = 12


def sketch(
    model: Callable[[Tensor], Tensor],
    suite: Suite,
    cases: Sequence[str],
    device: torch.device,
    precision: Precision,
) -> list[float]:
    """The energy ‖y‖² of all unshifted outputs y, then their projections on random signs.

    The mean square of the projections of a difference d is ‖d‖² in expectation (Achlioptas 2003).
    """
    energy, projections = 0.0, [0.0] * PROJECTIONS
    with placed(model, device, precision) as forward:
        for case in cases:
            images = suite.load(case).input.to(device)
            with numerics(precision):
                output = forward(images).double().cpu().flatten().numpy()
            energy += float(output @ output)
            rng = generator("sketch", suite.name, case)
            for i in range(PROJECTIONS):
                signs = rng.integers(0, 2, output.size) * 2.0 - 1
                projections[i] += float(signs @ output)
    return [float(f"{value:.{DIGITS}g}") for value in (energy, *projections)]


def deviation(before: Sequence[float], after: Sequence[float]) -> float:
    """The NMSE between two sets of outputs, estimated from their sketches.

    NaN where the sketches are not finite.
    """
    squares = [(a - b) ** 2 for a, b in zip(before[1:], after[1:], strict=True)]
    error = sum(squares) / len(squares)
    if error == 0:
        return 0.0
    return error / before[0] if before[0] else float("inf")
