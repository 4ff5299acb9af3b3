"""Two networks on one case and one shift, reconstructed again: what Figure 4 of the paper shows."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from equibench.cases import Case, Suite, data_range, in_units
from equibench.errors import UsageError
from equibench.forward import call, roll
from equibench.loading import LoadedModel, build_suite, load_model
from equibench.precision import numerics, placed, resolve_device
from equibench.registry import METRICS
from equibench.reports.data import RunData
from equibench.reports.measured import Measured, Setting, measurements
from equibench.reports.paper import APS, original, paper_name

__all__ = ["Asked", "Choice", "Network", "Scene", "choose", "reconstruct"]

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What a user wants to see; the rest is chosen from the run.

    Args:
        shift: (dy, dx) in pixels.
        models: two labels; by default the paper's baseline and a network with APS.
    """

    suite: str | None = None
    case: str | None = None
    shift: tuple[int, int] | None = None
    models: tuple[str, str] | None = None

    @classmethod
    def parse(
        cls,
        suite: str | None = None,
        case: str | None = None,
        shift: str | None = None,
        models: Sequence[str] | None = None,
    ) -> "Asked":
        """Read what was typed: a shift is ``dy,dx``.

        Raises:
            UsageError: another shift, or other than two models.
        """
        match = re.fullmatch(r"\s*(-?\d+)\s*,\s*(-?\d+)\s*", shift or "0,0")
        if not match:
            raise UsageError(f"--shift {shift!r} is not DY,DX: write --shift 8,5")
        if models and len(models) != 2:
            raise UsageError("--figures compares two networks: give --model twice, or not at all")
        return cls(
            suite,
            case,
            (int(match[1]), int(match[2])) if shift else None,
            (models[0], models[1]) if models else None,
        )


@dataclass(frozen=True)
class Choice:
    """One case, one shift (dy, dx) in pixels and two models, by their labels in the run."""

    suite: str
    case: str
    shift: tuple[int, int]
    models: tuple[str, str]


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


def choose(data: RunData, asked: Asked) -> Choice:
    """Fill in what was not asked for: where the first model's error is the worst.

    Raises:
        UsageError: the run has no such model, suite or case, or none with a ground truth.
    """
    rows = data.shifted
    if rows.empty or "psnr" not in rows:
        raise UsageError("figure 4 needs measurements: this run has none")
    rows = rows[rows["psnr"].notna() & np.isfinite(rows["eq_nmse"].astype(float))]
    rows = _only(rows, "suite", asked.suite)
    pairs = _pairs(data, rows, asked.models)
    rows = pd.concat([rows[(rows["model"] == p[0]) & (rows["suite"] == s)] for s, p in pairs])
    rows = _only(rows, "case", asked.case)
    if asked.shift:  # one that was not measured is shown on the case that is worst under another
        same = rows[(rows["dy"] == asked.shift[0]) & (rows["dx"] == asked.shift[1])]
        rows = rows if same.empty else same
    worst = rows.iloc[int(rows["eq_nmse"].to_numpy(dtype=np.float64).argmax())]
    return Choice(
        suite=str(worst["suite"]),
        case=str(worst["case"]),
        shift=asked.shift or (int(worst["dy"]), int(worst["dx"])),
        models=next(p for s, p in pairs if (s, p[0]) == (worst["suite"], worst["model"])),
    )


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


def _only(rows: pd.DataFrame, column: str, wanted: str | None) -> pd.DataFrame:
    found = rows if wanted is None else rows[rows[column] == wanted]
    if found.empty:
        known = ", ".join(dict.fromkeys(rows[column].astype(str))) or "none"
        what = column if wanted is None else f"{column} {wanted!r}"
        raise UsageError(
            f"figure 4: this run has no {what} with a ground truth; there are: {known}"
        )
    return found


def _pairs(
    data: RunData, rows: pd.DataFrame, models: tuple[str, str] | None
) -> list[tuple[str, tuple[str, str]]]:
    """Suites with a ground truth, each with two models that were measured on it."""
    there = rows.groupby("suite", sort=False)["model"].agg(set).to_dict()
    if models:
        for label in models:
            _only(rows, "model", label)
        pairs = [(str(suite), models) for suite in there]
    else:
        pairs = list(_papers_pairs(data))
    found = [(suite, pair) for suite, pair in pairs if set(pair) <= there.get(suite, set())]
    if not found:
        who = " and ".join(models or ()) or "the paper's baseline and an APS network trained alike"
        raise UsageError(
            f"figure 4: {who} were not measured together on a suite with a ground truth: "
            "name two others with --model"
        )
    return found


def _papers_pairs(data: RunData) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each baseline, with the first of the APS family in the same setting, in distribution."""
    settings: dict[tuple[str, Setting], list[Measured]] = {}
    for each in measurements("", data):
        if each.domain in ("", original(each.setting.suite)):
            settings.setdefault((each.suite, each.setting), []).append(each)
    for (suite, _), networks in settings.items():
        family = [each.label for name in APS for each in networks if each.name == name]
        for each in networks:
            if each.name == "Baseline" and family:
                yield suite, (each.label, family[0])


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
