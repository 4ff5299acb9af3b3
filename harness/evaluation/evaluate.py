"""Evaluating a model from Python, in memory."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd
from torch import Tensor
from tqdm import tqdm

from equibench.evaluation.model_on_suite import Evaluation
from equibench.evidence.certificate import Proof
from equibench.evidence.repeatability import Repeatability
from equibench.evidence.stride_probing import PROBED, Probe
from equibench.foundation.validation import checked
from equibench.inference.placement import label_of
from equibench.inference.precision import Precision
from equibench.loading.load import load_spec
from equibench.loading.suites import case_names, suite_of
from equibench.measurement.run_config import Conditions
from equibench.measurement.settings import Frame, Settings
from equibench.measurement.work_units import units
from equibench.registry.registries import DISPLAYS
from equibench.registry.specs import Spec
from equibench.statistics.summary import summarize

__all__ = ["Result", "evaluate"]


@dataclass(frozen=True, repr=False)
class Result:
    """What was measured.

    Args:
        rows: one for each case and shift, or for each residue class of shifts.
        probe: the total stride that was found, where all shifts were asked for.
        repeatability: what the model does with the same image once more.
        proof: of that stride, or what stands in its way.
    """

    rows: pd.DataFrame
    probe: Probe | None = None
    repeatability: Repeatability | None = None
    proof: Proof | None = None

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One line for each model × suite × group: mean, interval, median, worst."""
        return summarize(self.rows)

    @property
    def plot(self) -> Any:
        """Figures: ``plot.heatmap()``, ``.distribution()``, ``.ranking()``, ``.pareto()`` and more.

        Raises:
            UnavailableError: the extra ``report`` is missing.
        """
        return DISPLAYS.get("plot").require()(self)

    def __repr__(self) -> str:
        """The summary, fitted to the terminal."""
        return str(DISPLAYS.get("text").require()(self))

    def _repr_html_(self) -> str:
        """The summary, as a notebook shows it."""
        return str(DISPLAYS.get("html").require()(self))


def evaluate(
    model: Callable[[Tensor], Tensor] | str,
    data: Any,
    *,
    targets: Any = None,
    input_key: str | int | None = None,
    target_key: str | int | None = None,
    dims: int | None = None,
    metrics: Sequence[str] = (),
    shifts: str | None = None,
    transforms: Sequence[str] = (),
    device: str = "auto",
    precision: Precision = "fp32",
    screen: Literal["tf32", "bf16"] | None = None,
    batch: int | Literal["auto"] = "auto",
    limit: int | None = None,
    frame: Frame | None = None,
    seed: int = 0,
    exhaustive: bool = False,
    spots: int = 6,
    seed_forward: bool = False,
    trust_pickle: bool = False,
    isolate: bool = False,
    progress: bool | None = None,
) -> Result:
    """Measure the shift equivariance of one model on one suite, or on images.

    Args:
        model: any callable from (B, C, H, W) to (B, C', H, W), or a name as on the command line;
            of signals (B, C, L) to (B, C', L), of volumes (B, C, D, H, W) to (B, C', D, H, W).
        data: a suite or its name, with settings as on the command line; or images: a tensor or
            array (B, C, H, W), (B, C, L) of signals or (B, C, D, H, W) of volumes, a list of images
            of any sizes, a ``torch.utils.data.Dataset`` or a ``DataLoader`` whose items are images,
            (image, target) or dicts.
        targets: ground truths of images, in the same form, where the items of ``data`` have none.
        input_key, target_key: where an item has its image and its ground truth; see ``PythonData``.
        dims: axes in space of the items of a list or a data set: 1 where they are signals (C, L), 3
            where they are volumes (C, D, H, W), else 2.
        metrics: what the outputs are compared by, ``("agreement", "iou")``; else the suite's own.
        shifts: which circular shifts, as on the command line; without other transforms, and
            unless others are named, ten random ones.
        transforms: ``NAME:PLAN`` each, as on the command line.
        device: ``auto`` takes the GPU where there is one; the model is put back afterwards.
        precision: ``fp32`` is IEEE float32, TF32 off.
        screen: find the worst circular shifts in this precision, and confirm them in fp32.
        batch: images per forward pass.
        limit: the first so many cases.
        frame: of comparison; the paper's for its own shifts, else canonical.
        seed: of the shifts.
        exhaustive: with all shifts, evaluate each of those of a case whose residue classes turn
            out to be none.
        spots: with all shifts, other members of residue classes that every case is checked with.
        seed_forward: let the generators of a random model begin anew for every image.
        trust_pickle: read model files that can run code of their own.
        isolate: run a model that is named in a process of its own.
        progress: show a progress bar; None shows it on a terminal.

    Raises:
        UsageError: a name or an option that does not exist.
        ModelError: the model raises, or returns what cannot be measured.
        DataError: a case cannot be loaded.
    """
    fields = {
        "transforms": list(transforms),
        "device": device,
        "precision": precision,
        "screen": screen,
        "batch": batch,
        "limit": limit,
        "metrics": metrics,
        "frame": frame,
        "seed": seed,
        "exhaustive": exhaustive,
        "spots": spots,
        "seed_forward": seed_forward,
        **({} if shifts is None else {"shifts": shifts}),
    }
    settings = Settings.of(checked(Conditions, fields, "evaluate()"))
    label = _label(model)
    silent = None if progress is None else not progress
    if isinstance(model, str):
        spec = Spec.parse(model)
        loaded = load_spec(spec, seed, trust_pickle=trust_pickle, isolate=isolate)
        model = loaded.model
        for note in () if silent else loaded.notes:
            tqdm.write(f"{label}: {note}", sys.stderr)
    keys: dict[str, Any] = {"input_key": input_key, "target_key": target_key, "dims": dims}
    suite = suite_of(data, targets, **keys, metrics=metrics)
    cases = case_names(suite, limit)
    todo = units(suite, settings.transforms, cases, settings.device.type)
    with Evaluation(model, label, suite, settings).ready(cases[:PROBED]) as measure:
        for line in () if silent else measure.remarks(label, suite, len(cases)):
            tqdm.write(line, sys.stderr)
        steps = zip(todo, [*todo[1:], ()], strict=True)
        bar = tqdm(steps, total=len(todo), unit="unit", disable=silent)
        parts = [measure(part, following) for part, following in bar]
        for note in () if silent else measure.notes:
            tqdm.write(f"{label}: {note}", sys.stderr)
    for error in (error for part in parts for error in part.broken.values()):
        raise error
    rows = pd.concat([part.rows for part in parts], ignore_index=True)
    return Result(rows, measure.probe, measure.repeatability, measure.proof)


def _label(model: Callable[[Tensor], Tensor] | str) -> str:
    if isinstance(model, str):
        return Spec.parse(model).label
    return label_of(model)
