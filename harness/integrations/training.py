"""How consistent a network is while it is trained: a few numbers, quickly, from any loop."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from equibench.cases.suite import Suite
from equibench.evaluation.model_on_suite import Evaluation
from equibench.foundation.validation import checked
from equibench.guard.assertion import statistic
from equibench.inference.placement import label_of
from equibench.inference.precision import Precision
from equibench.loading.suites import case_names, suite_of
from equibench.measurement.run_config import Conditions
from equibench.measurement.settings import Settings
from equibench.measurement.work_units import units
from equibench.statistics.summary import columns

__all__ = ["FEW_SHIFTS", "device_of", "rows_of", "settings_for", "shift_consistency"]

FEW_SHIFTS = "random:n=4,max=16"
"""Enough to see a trend during training; a result needs more."""


def shift_consistency(
    model: Callable[[Tensor], Tensor],
    data: Any,
    *,
    targets: Any = None,
    input_key: str | int | None = None,
    target_key: str | int | None = None,
    metrics: Sequence[str] = (),
    shifts: str = FEW_SHIFTS,
    limit: int | None = 4,
    precision: Precision = "fp32",
    seed: int = 0,
) -> dict[str, float]:
    """How far a network is from commuting with shifts, as numbers for the log of a training loop.

    The network is measured where it is, in ``eval()`` mode and without gradients; afterwards it is
    as it was, its mode and its buffers included. The same cases and shifts are drawn every time,
    so that the numbers of two epochs differ by the network alone. They are those of ``evaluate``,
    which tries in addition whether a network repeats itself.

    Args:
        model: any callable from (B, C, H, W) to (B, C', H, W).
        data: a suite, its name, or images, as ``evaluate`` takes them.
        targets: ground truths of images, in the same form; with them ΔPSNR is measured as well.
        input_key, target_key: where an item of the data has its image and its ground truth.
        metrics: what outputs are compared by; else the suite's own.
        shifts: a shift plan, as on the command line.
        limit: the first so many cases; None for all.
        precision: ``fp32`` is IEEE float32.
        seed: of the shifts.

    Returns:
        ``eq_nmse_mean``, ``eq_nmse_worst`` and so on for each metric, over all cases and shifts,
        ``delta_psnr_mean`` … where there are targets, and ``seconds``: what measuring took.

    Raises:
        UsageError: a shift plan or a metric that cannot be read.
        ModelError: the model raises, or returns what cannot be measured.
        DataError: a case cannot be loaded.
    """
    start = perf_counter()
    suite = suite_of(data, targets, input_key=input_key, target_key=target_key, metrics=metrics)
    settings = settings_for(model, shifts=shifts, precision=precision, seed=seed)
    rows = rows_of(model, suite, case_names(suite, limit), settings)
    shifted = rows[rows["draw"] > 0]
    covers = shifted["covers"].to_numpy(np.int64)
    found: dict[str, float] = {}
    for column in columns(list(shifted.columns)):
        values = shifted[column.name].to_numpy(np.float64)
        if column.shifted and (column.name == "eq_nmse" or not np.isnan(values).all()):
            for name in ("mean", "worst"):
                found[f"{column.name}_{name}"] = statistic(values, name, column, covers)
    return {**found, "seconds": perf_counter() - start}


def settings_for(model: Callable[[Tensor], Tensor], **options: Any) -> Settings:
    """How a model is measured where it is.

    Raises:
        UsageError: an option that cannot be read.
    """
    given = {"device": device_of(model), **options}
    return Settings.of(checked(Conditions, given, "shift consistency"))


def rows_of(
    model: Callable[[Tensor], Tensor], suite: Suite, cases: Sequence[str], settings: Settings
) -> pd.DataFrame:
    """Rows of some cases, as ``evaluate`` makes them, without trying the model out before.

    Raises:
        ModelError, DataError: a case cannot be measured.
    """
    todo = units(suite, settings.transforms, cases, settings.device.type)
    with Evaluation(model, label_of(model), suite, settings).ready() as measure:
        parts = [measure(part) for part in todo]
    for error in (error for part in parts for error in part.broken.values()):
        raise error
    return pd.concat([part.rows for part in parts], ignore_index=True)


def device_of(model: Callable[[Tensor], Tensor]) -> str:
    """Where a model is, as ``--device`` names it; what has no parameters runs where it may."""
    first = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if first is None:
        return "auto"
    place = first.device if first.device.type == "cuda" else torch.device("cpu")
    return str(place)
