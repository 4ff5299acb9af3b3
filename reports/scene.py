"""Two networks on one case and one shift, reconstructed again: what Figure 4 of the paper shows."""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equibench.cases import Case, Suite, data_range, in_units
from equibench.errors import UsageError
from equibench.forward import call, roll
from equibench.loading import LoadedModel, build_suite, load_model
from equibench.precision import numerics, placed, resolve_device
from equibench.registry import METRICS
from equibench.reports.choice import Choice
from equibench.reports.data import RunData
from equibench.reports.paper import paper_name

__all__ = ["Network", "Scene", "reconstruct"]

Image = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Network:
    """One network's reconstructions (H, W), in the units of the ground truth.

    Args:
        name: as the paper calls it, or its label.
        plain, shifted: G(x) and G(T x).
        psnr, psnr_shifted: of both, in dB.
        difference: of T G(x) and G(T x), in magnitude, pixel by pixel.
        nmse: of the same two.
    """

    name: str
    plain: Image
    shifted: Image
    psnr: float
    psnr_shifted: float
    difference: Image
    nmse: float


@dataclass(frozen=True, eq=False)
class Scene:
    """What a figure shows, all images (H, W) in the units of the ground truth.

    Args:
        place: suite and case, and of a volume the slice.
        input, truth: x and the ground truth; what is shifted is theirs, rolled.
        input_psnr: NaN where input and ground truth differ in channels.
    """

    place: str
    shift: tuple[int, int]
    input: Image
    input_psnr: float
    truth: Image
    networks: tuple[Network, Network]

    def images(self, moved: bool) -> list[tuple[str, Image, float]]:
        """Input, ground truth and reconstructions, each with its name and PSNR in dB.

        Args:
            moved: under the shift.
        """
        given = [("input", self.input, self.input_psnr), ("ground truth", self.truth, nan)]
        made = [
            (n.name, n.shifted, n.psnr_shifted) if moved else (n.name, n.plain, n.psnr)
            for n in self.networks
        ]
        if moved:
            given = [(name, np.roll(i, self.shift, (0, 1)), psnr) for name, i, psnr in given]
        return [*given, *made]


def reconstruct(data: RunData, choice: Choice) -> Scene:
    """Run both networks again, on the case and on its shift.

    Of a volume, the slice on which the first network errs most is shown.

    Raises:
        EquibenchError: a model or the case cannot be loaded, or weights are not those of the run.
    """
    suite = _suite(data, choice.suite)
    place = f"{suite.label}, case {choice.case}"
    case, shift = suite.load(choice.case), choice.shift
    if case.target is None:
        raise UsageError(f"{place} has no ground truth: choose another suite")
    shifted_input = roll(case.input, torch.tensor([shift]).expand(len(case.input), 2))
    outputs = []
    for label in choice.models:
        forward = _forward(data, label, suite, case, place)
        outputs.append((forward(case.input), forward(shifted_input)))
    plain, shifted = outputs[0]
    i = int((_moved(plain, shift) - shifted).square().sum(dim=(1, 2, 3)).argmax())
    truth, given = case.target.double(), _in_units(case, case.input.double(), None)
    r = data_range(suite.data_range.get("psnr", "max"), truth)
    first, second = (
        _network(name, plain[i], shifted[i], truth[i], shift, r)
        for name, (plain, shifted) in zip(_names(data, choice.models), outputs, strict=True)
    )
    comparable = given.shape == truth.shape
    return Scene(
        place=place if len(truth) == 1 else f"{place}, slice {i}",
        shift=shift,
        input=_grey(given[i]),
        input_psnr=_measure("psnr", truth[i], given[i], r) if comparable else nan,
        truth=_grey(truth[i]),
        networks=(first, second),
    )


def _names(data: RunData, labels: tuple[str, str]) -> list[str]:
    """What the paper calls two models; their labels where it has no names that differ."""
    described = data.manifest.get("models", {})
    names = [paper_name(described.get(label, {})) or label for label in labels]
    return names if names[0] != names[1] else list(labels)


def _network(
    name: str, plain: Tensor, shifted: Tensor, truth: Tensor, shift: tuple[int, int], r: Tensor
) -> Network:
    """Compare reconstructions (C, H, W) of an image and of its shift."""
    moved = _moved(plain, shift)
    return Network(
        name=name,
        plain=_grey(plain),
        shifted=_grey(shifted),
        psnr=_measure("psnr", truth, plain, r),
        psnr_shifted=_measure("psnr", _moved(truth, shift), shifted, r),
        difference=_grey((moved - shifted).abs()),
        nmse=_measure("nmse", moved, shifted, r),
    )


def _moved(images: Tensor, shift: tuple[int, int]) -> Tensor:
    return torch.roll(images, shift, (-2, -1))


def _suite(data: RunData, label: str) -> Suite:
    """The suite of a run that is called so."""
    roots = data.manifest.get("configuration", {}).get("data", {})
    specs = data.specs("suites").values()
    likely = sorted(specs, key=lambda spec: spec.reference != data.suite_names[label])
    for spec in likely:
        if spec.chosen_label in (None, label):
            suite = build_suite(spec, roots)
            if suite.label == label:
                return suite
    raise UsageError(f"the configuration of this run names no suite {label!r}: repeat the run")


def _model(data: RunData, label: str) -> LoadedModel:
    """A model of a run, with the weights that it had."""
    spec = data.specs("models").get(label)
    if spec is None:
        raise UsageError(f"the configuration of this run names no model {label!r}: repeat the run")
    loaded = load_model(spec, int(data.manifest["configuration"].get("seed", 0)))
    before = data.manifest["models"].get(label, {}).get("state_sha256")
    if before != loaded.provenance.get("state_sha256"):
        raise UsageError(f"the weights of {label} are not those of the run: repeat the run")
    return loaded


def _forward(
    data: RunData, label: str, suite: Suite, case: Case, place: str
) -> Callable[[Tensor], Tensor]:
    """From inputs (N, C, H, W) to outputs in the units of the ground truth, on the CPU."""
    model = _model(data, label).model
    precision = data.manifest["configuration"].get("precision", "fp32")
    device = resolve_device("auto")

    def forward(images: Tensor) -> Tensor:
        with placed(model, device, precision) as pass_on, numerics(precision):
            outputs = [call(pass_on, i[None].to(device), label, place).cpu() for i in images]
        return _in_units(case, torch.cat(outputs).double(), suite.clamp)

    return forward


def _in_units(case: Case, images: Tensor, clamp: float | None) -> Tensor:
    one = images.new_ones(len(images))
    scale = one if case.scale is None else case.scale.to(one)
    offset = 0 * one if case.offset is None else case.offset.to(one)
    return in_units(images, clamp, scale, offset)


def _measure(metric: str, reference: Tensor, image: Tensor, r: Tensor) -> float:
    """A metric of two images (C, H, W)."""
    return float(METRICS.get(metric).require()(reference[None], image[None], r))


def _grey(image: Tensor) -> Image:
    """The mean over channels of (C, H, W)."""
    grey: Image = image.double().mean(dim=0).numpy()
    return grey
