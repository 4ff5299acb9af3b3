"""Which adaptive layers changed their choice under a shift, and what that did to the output.

Of an image moved by k, adaptive polyphase sampling keeps the samples that it keeps of the image
itself, moved by k. Where two components have nearly equal norms rounding decides, and may decide
otherwise for the moved image: the choice *flips*, and the output is off by far more than rounding.

A layer takes part by having ``record_choices`` and ``stride``, whoever wrote it: while
``record_choices`` is true, a forward pass leaves in ``choices`` (B,) the row-major offset of the
component that was kept, and in ``gaps`` (B,) the gap of the two best norms relative to the larger.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from equibench.cases.suite import Case, Suite, in_units
from equibench.errors import UsageError
from equibench.evaluation.evaluate import suite_of
from equibench.foundation.rounding import NEAR_TIE
from equibench.inference.forward_pass import align, call, roll
from equibench.inference.precision import Precision, numerics, placed, resolve_device
from equibench.loading.models import case_names
from equibench.metrics.image_metrics import nmse
from equibench.transforms.shift_plans import ShiftPlan, parse_shifts

__all__ = [
    "LAYER_COLUMNS",
    "SAMPLE_COLUMNS",
    "Choice",
    "Forensics",
    "adaptive_layers",
    "flips",
    "forensics",
]

LAYER_COLUMNS = ("name", "smallest_gap", "median_gap", "near_ties", "judged", "flip_rate")
SAMPLE_COLUMNS = ("case", "image", "dy", "dx", "flipped", "eq_nmse")

Pair = tuple[int, int]


@dataclass(frozen=True)
class Choice:
    """What an adaptive layer kept of one image.

    Args:
        layer: its name.
        size: (H, W) of its input.
        stride: along both axes.
        offset: of the component that was kept, (row, column).
        gap: of the two best norms, relative to the larger.
    """

    layer: str
    size: Pair
    stride: Pair
    offset: Pair
    gap: float


@dataclass(frozen=True)
class Forensics:
    """What was found.

    Args:
        layers: one line for each adaptive layer, in network order: ``name``; ``smallest_gap`` and
            ``median_gap`` over the unshifted images; ``near_ties``, the share of images below a
            gap of 1e-6; ``judged``, how many comparisons reached the layer without a flip before
            it; ``flip_rate`` among them.
        samples: one line for each image and shift: ``case``, ``image`` (its number within the
            case), ``dy``, ``dx`` in pixels, ``flipped`` (the layers whose choice flipped, by
            spaces; empty where none did), ``eq_nmse`` of the output.
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


def forensics(
    model: nn.Module,
    suite: Suite | Tensor | str,
    shifts: ShiftPlan | str = "random:n=10,max=16",
    *,
    device: str = "auto",
    precision: Precision = "fp32",
    batch: int = 2,
    limit: int | None = None,
    seed: int = 0,
    label: str | None = None,
) -> Forensics:
    """Find the flips of a network's adaptive layers, image by image and shift by shift.

    Args:
        model: (B, C, H, W) to (B, C', H, W); it is put back as it was.
        suite: a suite, its name, or images (B, C, H, W).
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
    place = resolve_device(device)
    found = _Findings()
    with placed(model, place, precision) as forward, _recording(model) as recorded:
        network = _Network(forward, recorded, name, suite, place, batch)
        for case_name in case_names(suite, limit):
            case = suite.load(case_name)
            size: Pair = (case.input.shape[-2], case.input.shape[-1])
            drawn = plan.shifts(seed, suite.name, case.name, size)
            wanted: list[Pair] = [(int(dy), int(dx)) for dy, dx in drawn]
            for image in range(len(case.input)):
                with numerics(precision):
                    found.add(case, image, *network.run(case, image, [(0, 0), *wanted]))
    return found.tables()


def adaptive_layers(model: object) -> list[tuple[str, Any]]:
    """The layers of a model that record their choices, with their names."""
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    return [
        (name, m) for name, m in modules if hasattr(m, "record_choices") and hasattr(m, "stride")
    ]


def flips(
    unshifted: Sequence[Choice], shifted: Sequence[Choice], shift: Pair, size: Pair
) -> dict[str, bool]:
    """Which layers kept other samples of a shifted image than those they kept of the image.

    A layer whose input moved by d flips if the offset q that it keeps is not the unshifted one, p,
    plus d (modulo its stride s). If it does not, its output moves by (p + d − q) / s: the next
    layer's d. An input is known to have moved by what the last layer moved its output by whose
    output has that size, or else by the shift divided by the stride between image and input.

    Args:
        unshifted, shifted: the choices of one image in the order of layers.
        shift: of the image, (dy, dx) in pixels.
        size: of the image, (H, W).

    Returns:
        Whether each layer flipped. Layers behind one that did are left out: by how much their
        input moved is not defined.
    """
    judged: dict[str, bool] = {}
    moved: dict[Pair, Pair | None] = {size: shift}
    for one, other in zip(unshifted, shifted, strict=False):
        if (one.layer, one.size) != (other.layer, other.size):
            break  # the network took another way
        d = moved[one.size] if one.size in moved else _scaled(shift, size, one.size)
        output: Pair = (one.size[0] // one.stride[0], one.size[1] // one.stride[1])
        moved[output] = None
        if d is None:
            continue
        over = [p + k - q for p, k, q in zip(one.offset, d, other.offset, strict=True)]
        flipped = any(n % s for n, s in zip(over, one.stride, strict=True))
        judged[one.layer] = judged.get(one.layer, False) or flipped
        if not flipped:
            moved[output] = (over[0] // one.stride[0], over[1] // one.stride[1])
    return judged


def _scaled(shift: Pair, image: Pair, size: Pair) -> Pair | None:
    """A shift of the image in samples of a map; None where they are no integers."""
    moves = [divmod(k * n, whole) for k, n, whole in zip(shift, size, image, strict=True)]
    return None if any(rest for _, rest in moves) else (moves[0][0], moves[1][0])


@contextmanager
def _recording(model: nn.Module) -> Iterator[list[list[Choice]]]:
    """Yields a list to which every call of an adaptive layer adds its choices, slot by slot."""
    recorded: list[list[Choice]] = []
    layers = adaptive_layers(model)
    handles = []
    for name, layer in layers:
        hook = partial(_record, recorded, name or type(layer).__name__)
        handles.append(layer.register_forward_hook(hook, with_kwargs=True))
        layer.record_choices = True
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
        for _, layer in layers:
            layer.record_choices, layer.choices, layer.gaps = False, None, None


def _record(
    recorded: list[list[Choice]], name: str, layer: Any, args: Any, kwargs: Any, output: Any
) -> None:
    inputs = tree_leaves((args, kwargs))
    maps = next(leaf for leaf in inputs if isinstance(leaf, Tensor) and leaf.ndim == 4)
    size: Pair = (maps.shape[-2], maps.shape[-1])
    stride: Pair = (layer.stride,) * 2 if isinstance(layer.stride, int) else tuple(layer.stride)
    offsets: list[Pair] = [divmod(index, stride[1]) for index in layer.choices.tolist()]
    gaps = layer.gaps.tolist()
    recorded.append(
        [Choice(name, size, stride, o, gap) for o, gap in zip(offsets, gaps, strict=True)]
    )


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
        self, case: Case, image: int, shifts: Sequence[Pair]
    ) -> tuple[Sequence[Pair], Tensor, list[list[Choice]]]:
        """Pass one image of a case with each shift: outputs (n, C, H, W) rolled back, choices."""
        pixels = case.input[image : image + 1].to(self.device)
        outputs, choices = [], []
        for first in range(0, len(shifts), self.batch):
            part = list(shifts[first : first + self.batch])
            # one batch shape throughout: another would give other bits
            filled = torch.tensor((part * self.batch)[: self.batch], device=self.device)
            self.recorded.clear()
            images = roll(pixels.expand(self.batch, -1, -1, -1), filled)
            place = f"{self.suite.label}, case {case.name}"
            raw = call(self.forward, images, self.label, place)
            outputs.append(align(raw, filled, images)[: len(part)].to(torch.float64))
            choices += [[record[slot] for record in self.recorded] for slot in range(len(part))]
        one = torch.ones(1, dtype=torch.float64)
        scale, offset = (
            (one * default if given is None else given[image : image + 1]).to(outputs[0])
            for given, default in ((case.scale, 1), (case.offset, 0))
        )
        return shifts, in_units(torch.cat(outputs), self.suite.clamp, scale, offset), choices


class _Findings:
    """What was found so far."""

    def __init__(self) -> None:
        self.gaps: dict[str, list[float]] = {}
        self.judged: dict[str, list[bool]] = {}
        self.samples: list[Mapping[str, object]] = []

    def add(
        self,
        case: Case,
        image: int,
        shifts: Sequence[Pair],
        outputs: Tensor,
        choices: list[list[Choice]],
    ) -> None:
        """Compare what came of an image under shifts with what came of it under the first."""
        size: Pair = (case.input.shape[-2], case.input.shape[-1])
        errors = nmse(outputs[:1].expand_as(outputs), outputs, 1.0).tolist()
        for choice in choices[0]:
            self.gaps.setdefault(choice.layer, []).append(choice.gap)
        for shift, made, error in zip(shifts[1:], choices[1:], errors[1:], strict=True):
            judged = flips(choices[0], made, shift, size)
            for layer, flipped in judged.items():
                self.judged.setdefault(layer, []).append(flipped)
            names = " ".join(layer for layer, flipped in judged.items() if flipped)
            place = {"case": case.name, "image": image, "dy": shift[0], "dx": shift[1]}
            self.samples.append({**place, "flipped": names, "eq_nmse": error})

    def tables(self) -> Forensics:
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
        return Forensics(
            pd.DataFrame(lines, columns=list(LAYER_COLUMNS)),
            pd.DataFrame(self.samples, columns=list(SAMPLE_COLUMNS)),
        )
