"""Two networks on one case and one shift, reconstructed again: what Figure 4 of the paper shows."""

from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equibench.cases.suite import data_range, images_in_units
from equibench.errors import UsageError
from equibench.postprocessing.rerun import Rerun
from equibench.registry.registries import METRICS
from equibench.reports.findings.published_results import paper_name
from equibench.reports.findings.run_data import RunData
from equibench.reports.paper.figure4_choice import Choice
from equibench.transforms.circular_shift import roll

__all__ = ["Image", "Network", "Scene", "grey", "reconstruct"]

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
        where: suite and case, and of a volume the slice.
        input, truth: x and the ground truth; what is shifted is theirs, rolled.
        input_psnr: NaN where input and ground truth differ in channels.
    """

    where: str
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
    rerun = Rerun(data.manifest)
    suite = rerun.suite(choice.suite)
    where = f"{suite.label}, case {choice.case}"
    case, shift = suite.load(choice.case), choice.shift
    if case.target is None:
        raise UsageError(f"{where} has no ground truth: choose another suite")
    shifted_input = roll(case.input, torch.tensor([shift]).expand(len(case.input), 2))
    outputs = []
    for label in choice.models:
        forward = rerun.forward(label, suite, case)
        outputs.append((forward(case.input), forward(shifted_input)))
    plain, shifted = outputs[0]
    i = int((_moved(plain, shift) - shifted).square().sum(dim=(1, 2, 3)).argmax())
    truth, given = case.target.double(), images_in_units(case, case.input.double(), None)
    r = data_range(suite.data_range.get("psnr", "max"), truth)
    first, second = (
        _network(name, plain[i], shifted[i], truth[i], shift, r)
        for name, (plain, shifted) in zip(_names(data, choice.models), outputs, strict=True)
    )
    comparable = given.shape == truth.shape
    return Scene(
        where=where if len(truth) == 1 else f"{where}, slice {i}",
        shift=shift,
        input=grey(given[i]),
        input_psnr=_measure("psnr", truth[i], given[i], r) if comparable else nan,
        truth=grey(truth[i]),
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
        plain=grey(plain),
        shifted=grey(shifted),
        psnr=_measure("psnr", truth, plain, r),
        psnr_shifted=_measure("psnr", _moved(truth, shift), shifted, r),
        difference=grey((moved - shifted).abs()),
        nmse=_measure("nmse", moved, shifted, r),
    )


def _moved(images: Tensor, shift: tuple[int, int]) -> Tensor:
    return torch.roll(images, shift, (-2, -1))


def _measure(metric: str, reference: Tensor, image: Tensor, r: Tensor) -> float:
    """A metric of two images (C, H, W)."""
    return float(METRICS.get(metric).require()(reference[None], image[None], r))


def grey(image: Tensor) -> Image:
    """The mean over channels of (C, H, W)."""
    grey: Image = image.double().mean(dim=0).numpy()
    return grey
