"""Which adaptive layers changed their choice under a shift, and what that did to the output.

Of an image moved by k, adaptive polyphase sampling keeps the samples that it keeps of the image
itself, moved by k. Where two components have nearly equal norms rounding decides, and may decide
otherwise for the moved image: the choice *flips*, and the output is off by far more than rounding.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from equibench.cases.suite import Case, Suite, in_units
from equibench.errors import UsageError
from equibench.evaluation.model_device import device_of
from equibench.foundation.rounding import NEAR_TIE
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics
from equibench.layers.adaptive_choices import Choice, adaptive_layers, flips, recording
from equibench.loading.suites import case_names, suite_of
from equibench.measurement.shifted_passes import shifted_outputs
from equibench.metrics.squared_error import nmse
from equibench.transforms.shift_plans import DEFAULT_SHIFTS, ShiftPlan, parse_shifts
from equibench.transforms.transform import AXES, Size

__all__ = ["LAYER_COLUMNS", "SAMPLE_COLUMNS", "Flips", "trace_flips"]

LAYER_COLUMNS = ("name", "smallest_gap", "median_gap", "near_ties", "judged", "flip_rate")
SAMPLE_COLUMNS = ("case", "image", "dy", "dx", "flipped", "eq_nmse")


@dataclass(frozen=True)
class Flips:
    """What was found.

    Args:
        layers: one line for each adaptive layer, in network order: ``name``; ``smallest_gap`` and
            ``median_gap`` over the unshifted images; ``near_ties``, the share of images below a
            gap of 1e-6; ``judged``, how many comparisons reached the layer without a flip before
            it; ``flip_rate`` among them.
        samples: one line for each image and shift: ``case``, ``image`` (its number within the
            case), ``dy``, ``dx`` in pixels (``dz`` of volumes), ``flipped`` (the layers whose
            choice flipped, by spaces; empty where none did), ``eq_nmse`` of the output.
    """

    layers: pd.DataFrame
    samples: pd.DataFrame

    @property
    def flip_rate(self) -> float:
        """The share of samples in which any layer flipped."""
        return float((self.samples["flipped"] != "").mean())

    @property
    def share(self) -> float:
        """The share of the mean error that flipped samples make; NaN where there is none to share,
        or where an error is not finite.
        """
        errors = self.samples["eq_nmse"]
        flipped = errors[self.samples["flipped"] != ""].sum(skipna=False)
        total = errors.sum(skipna=False)
        return float(flipped / total) if total else float("nan")


def trace_flips(
    model: nn.Module,
    suite: Suite | Tensor | str,
    shifts: ShiftPlan | str = DEFAULT_SHIFTS,
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    batch: int = 2,
    limit: int | None = None,
    seed: int = 0,
    label: str | None = None,
) -> Flips:
    """Find the flips of a network's adaptive layers, image by image and shift by shift.

    Args:
        model: (B, C, *size) to (B, C', *size); it is put back as it was.
        suite: a suite, its name, or images (B, C, *size).
        shifts: a shift plan.
        batch: images per forward pass.
        limit: the first so many cases.
        seed: of the shifts.
        label: what messages call the model.

    Raises:
        UsageError: no layer of the model records its choices.
        ModelError: the model raises, or returns what cannot be measured.
        DataError: a case cannot be loaded.
    """
    name = label or type(model).__name__
    if not adaptive_layers(model):
        raise UsageError(
            f"{name} has no adaptive layers: a layer takes part by having record_choices and stride"
        )
    suite = suite_of(suite)
    plan = parse_shifts(shifts) if isinstance(shifts, str) else shifts
    cases = case_names(suite, limit)
    conditions = {"device": device, "precision": precision, "batch": batch}
    resolved = device_of(model, lambda: suite.load(cases[0]).input[:1], name, **conditions)
    found = _Findings()
    with placed(model, resolved, precision) as forward, recording(model) as recorded:
        network = _Network(forward, recorded, name, suite, resolved, batch)
        for case_name in cases:
            case = suite.load(case_name)
            size = tuple(case.input.shape[2:])
            drawn = plan.shifts(seed, suite.name, case.name, size).tolist()
            wanted = [(0,) * len(size), *map(tuple, drawn)]
            for image in range(len(case.input)):
                with numerics(precision):
                    found.add(case, image, *network.run(case, image, wanted))
    return found.tables()


@dataclass(frozen=True, eq=False)
class _Network:
    """A network in place, and what its layers record."""

    forward: Callable[[Tensor], Tensor]
    recorded: list[list[Choice]]
    label: str
    suite: Suite
    device: torch.device
    batch: int

    def run(
        self, case: Case, image: int, shifts: Sequence[Size]
    ) -> tuple[Sequence[Size], Tensor, list[list[Choice]]]:
        """Pass one image of a case with each shift: outputs (n, C, *size) rolled back, choices."""
        pixels = case.input[image : image + 1].to(self.device)
        where = f"{self.suite.label}, case {case.name}"
        outputs: list[Tensor] = []
        choices: list[list[Choice]] = []
        self.recorded.clear()
        for part in shifted_outputs(self.forward, pixels, shifts, self.batch, self.label, where):
            outputs.append(part)
            choices += [[record[slot] for record in self.recorded] for slot in range(len(part))]
            self.recorded.clear()
        scale, offset = (each[image : image + 1].to(self.device) for each in case.units())
        return shifts, in_units(torch.cat(outputs), self.suite.clamp, scale, offset), choices


class _Findings:
    """What was found so far."""

    def __init__(self) -> None:
        self.gaps: dict[str, list[float]] = {}
        self.judged: dict[str, list[bool]] = {}
        self.samples: list[Mapping[str, object]] = []
        self.axes: dict[str, int] = {}

    def add(
        self,
        case: Case,
        image: int,
        shifts: Sequence[Size],
        outputs: Tensor,
        choices: list[list[Choice]],
    ) -> None:
        """Compare what came of an image under shifts with what came of it under the first."""
        size = tuple(case.input.shape[2:])
        errors = nmse(outputs[:1].expand_as(outputs), outputs, 1.0).tolist()
        for choice in choices[0]:
            self.gaps.setdefault(choice.layer, []).append(choice.gap)
        for shift, made, error in zip(shifts[1:], choices[1:], errors[1:], strict=True):
            judged = flips(choices[0], made, shift, size)
            for layer, flipped in judged.items():
                self.judged.setdefault(layer, []).append(flipped)
            names = " ".join(layer for layer, flipped in judged.items() if flipped)
            pixels = dict(zip(AXES[-len(size) :], shift, strict=True))
            self.axes.update(pixels)
            row = {"case": case.name, "image": image, **pixels}
            self.samples.append({**row, "flipped": names, "eq_nmse": error})

    def tables(self) -> Flips:
        lines = []
        for layer, values in self.gaps.items():
            gaps, judged = pd.Series(values), pd.Series(self.judged.get(layer, []), dtype=float)
            lines.append(
                {
                    "name": layer,
                    "smallest_gap": gaps.min(),
                    "median_gap": gaps.median(),
                    "near_ties": (gaps <= NEAR_TIE).mean(),
                    "judged": len(judged),
                    "flip_rate": judged.mean(),
                }
            )
        return Flips(
            pd.DataFrame(lines, columns=list(LAYER_COLUMNS)),
            pd.DataFrame(self.samples, columns=_columns(self.axes)),
        )


def _columns(axes: Container[str]) -> list[str]:
    """Of samples: the shifts of images, and those of volumes where there are any."""
    further = [axis for axis in AXES if axis in axes and axis not in SAMPLE_COLUMNS]
    return [*SAMPLE_COLUMNS[:2], *further, *SAMPLE_COLUMNS[2:]]
