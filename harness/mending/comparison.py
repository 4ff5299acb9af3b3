"""Treatments compared: a network before and after each of them, on one suite."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any, Literal

import numpy as np
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import EquibenchError
from equibench.evaluation.evaluate import Result, evaluate
from equibench.evidence.proof import prove
from equibench.foundation.rounding import allowance
from equibench.inference.forward_pass import relative_time
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics, resolve_device
from equibench.loading.treatments import mend, treatments_of
from equibench.mending.moved_images import Averaged, Canonical
from equibench.mending.periods import probe_of
from equibench.mending.rewriting.rewritten import Rewritten, survey
from equibench.registry.registries import TREATMENTS
from equibench.transforms.shift_plans import parse_shifts

__all__ = ["Comparison", "Trial", "compare", "fitting"]

_NO_LOSS = 0.1
"""PSNR that a treatment may lose and be recommended as it is, in dB."""


@dataclass(frozen=True)
class Trial:
    """A network after one treatment; the first of a comparison is the network as it is.

    Args:
        treatment: as ``mend=`` takes it; empty for none.
        layers: that are carried out otherwise; 0 where only images are moved.
        mean, worst: NMSE over all shifts that were tried.
        psnr: of outputs against the ground truth, in dB; NaN where there is none.
        cost: time of a forward pass over the untreated network's, in one run.
        exact: ``proved``, ``sampled`` (no shift of those tried was above rounding), or nothing.
        retraining: whether the treatment changes features, so that it asks for retraining.
        refused: why it cannot be applied, or nothing.
    """

    treatment: str
    layers: int = 0
    mean: float = nan
    worst: float = nan
    psnr: float = nan
    cost: float = nan
    exact: Literal["proved", "sampled", ""] = ""
    retraining: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Comparison:
    """What treatments do to one network on one suite.

    Args:
        shifts: how many each image was given.
    """

    model: str
    suite: str
    shifts: int
    before: Trial
    trials: Sequence[Trial]

    @property
    def recommended(self) -> Trial | None:
        """The cheapest exact treatment that loses no quality, or else the best of the others."""
        done = [trial for trial in self.trials if not trial.refused]
        exact = [trial for trial in done if trial.exact]
        as_it_is = [t for t in exact if not t.retraining and not self.gain(t) < -_NO_LOSS]
        if self.before.exact:
            return None
        if as_it_is:
            return min(as_it_is, key=lambda trial: trial.cost)
        if exact:
            return max(exact, key=lambda trial: np.nan_to_num(self.gain(trial)))
        better = [trial for trial in done if trial.worst < self.before.worst]
        return min(better, key=lambda trial: trial.worst, default=None)

    def gain(self, trial: Trial) -> float:
        """Change of PSNR in dB; NaN without a ground truth."""
        return trial.psnr - self.before.psnr

    @property
    def sentence(self) -> str:
        """What follows from the numbers."""
        if self.before.exact:
            return f"{self.model} commutes with the {self.shifts} shifts tried: nothing to mend."
        best = self.recommended
        if best is None:
            return f"No treatment lowers the worst error of {self.model} on {self.suite}."
        effect = (
            f"its worst NMSE goes from {self.before.worst:.2g} to {best.worst:.2g}, a pass takes "
            f"{best.cost:.2f} times as long"
        )
        gain = self.gain(best)
        quality = "" if gain != gain else f", PSNR changes by {gain:+.3f} dB"
        how = f"Take mend={best.treatment}: {effect}{quality}"
        if not best.exact:
            return f"{how}; no treatment that was tried is exact."
        if best.retraining:
            return f"{how}; fine-tune it (equibench train … --from WEIGHTS) to win back quality."
        return f"{how}, and nothing is retrained."

    @property
    def described(self) -> dict[str, Any]:
        """All of it, for a file."""
        found = asdict(self)
        best = self.recommended
        found["recommended"] = best.treatment if best is not None else None
        return found | {"sentence": self.sentence}


def fitting(model: Callable[..., Any], images: Tensor) -> list[str]:
    """The treatments to be tried: after ``circular``, where no shift commutes without it.

    Args:
        images: (B, C, H, W), of which the first is tried.
    """
    probed = probe_of(model, "the network", images)
    names = [entry.name for entry in TREATMENTS.entries() if entry.unavailable() is None]
    names = ["average:n=8" if name == "average" else name for name in names]
    if all(s != n for s, n in zip(probed.stride, probed.size, strict=True)) or probed.verified:
        return [name for name in names if name != "circular"]
    return ["circular", *(f"circular+{name}" for name in names if name != "circular")]


def compare(
    model: Callable[..., Any],
    label: str,
    suite: Suite,
    treatments: Sequence[str] = (),
    *,
    shifts: str,
    device: str = "auto",
    precision: Precision = "fp32",
    limit: int | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Measure a network before and after each treatment.

    Args:
        treatments: as ``mend=`` takes them; by default those that fit.
        progress: is told what is measured next.

    Raises:
        UsageError: a treatment or an option that does not exist.
        ModelError: the untreated network cannot be measured.
        DataError: a case cannot be loaded.
    """
    for text in treatments:
        for spec in treatments_of(text):
            TREATMENTS.get(spec.reference).check(spec.arguments)
    options: dict[str, Any] = {
        "shifts": shifts, "device": device, "precision": precision, "limit": limit, "seed": seed,
        "progress": False,
    }  # fmt: skip
    parse_shifts(shifts)
    place = resolve_device(device)
    image = suite.load(next(iter(suite.cases()))).input[:1].to(place)
    progress("as it is")
    result = evaluate(model, suite, **options)
    before = _trial("", result, precision)
    with placed(model, place, precision) as forward, numerics(precision):
        chosen = list(treatments) or fitting(forward.model, image)
    trials = []
    for text in chosen:
        progress(text)
        try:
            trials.append(_measured(model, text, suite, image, precision, options))
        except EquibenchError as error:
            trials.append(Trial(text, refused=str(error)))
    number = int((result.rows["draw"] > 0).sum() / max(1, result.rows["case"].nunique()))
    return Comparison(label, suite.label or suite.name, number, before, trials)


def _measured(
    model: Callable[..., Any],
    text: str,
    suite: Suite,
    image: Tensor,
    precision: Precision,
    options: dict[str, Any],
) -> Trial:
    mended = mend(model, text)
    found = _trial(text, evaluate(mended, suite, **options), precision)
    with placed(mended, image.device, precision) as after, numerics(precision):
        layers = _layers(after.model, image)
        with placed(model, image.device, precision) as before:
            cost = relative_time(before, after, image)
    entries = [TREATMENTS.get(spec.reference) for spec in treatments_of(text)]
    exact = found.exact
    if exact and _proved(mended, image):
        exact = "proved"
    return Trial(
        text, layers, found.mean, found.worst, found.psnr, cost, exact,
        any(bool(entry.info.details.get("retraining")) for entry in entries),
    )  # fmt: skip


def _trial(text: str, result: Result, precision: str) -> Trial:
    rows = result.rows
    shifted = rows[rows["draw"] > 0]
    errors = shifted["eq_nmse"].to_numpy(dtype=np.float64)
    worst = float(np.nan_to_num(errors, nan=np.inf).max())
    rounding = allowance(precision, float(rows["floor_nmse"].max()))
    psnr = float(rows.loc[rows["draw"] == 0, "psnr"].mean()) if "psnr" in rows else nan
    return Trial(
        text, mean=float(errors.mean()), worst=worst, psnr=psnr, cost=1.0,
        exact="sampled" if worst <= rounding else "",
    )  # fmt: skip


def _wrappers(network: Any) -> Iterator[Any]:
    while network is not None:
        yield network
        network = getattr(network, "model", None) or getattr(network, "network", None)


def _layers(network: Any, image: Tensor) -> int:
    """How many layers are carried out otherwise."""
    rewritten = next((w for w in _wrappers(network) if isinstance(w, Rewritten)), None)
    if rewritten is None:
        return 0
    return len({change.layer for change in survey(rewritten, image) if change.done})


def _proved(network: Any, image: Tensor) -> bool:
    """Whether reading the network proves what moved images rest on: its total stride."""
    moving = next((w for w in _wrappers(network) if isinstance(w, Canonical | Averaged)), None)
    if moving is None or not isinstance(network, Canonical | Averaged):
        return False
    size = (image.shape[-2], image.shape[-1])
    proof = prove(moving.model, size, channels=image.shape[1])
    return proof.covers(moving.stride(image)) and not proof.conditions
