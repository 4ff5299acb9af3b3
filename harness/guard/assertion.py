"""A limit on shift equivariance, as one line of somebody's test."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import UsageError
from equibench.evaluation.evaluate import Result, evaluate
from equibench.foundation.rounding import default_limit
from equibench.guard.blame import blame
from equibench.inference.placement import placed
from equibench.inference.precision import Precision, numerics
from equibench.loading.suites import suite_of
from equibench.statistics.averages import mean, quantiles
from equibench.statistics.summary import Column, columns, worst_at
from equibench.transforms.circular_shift import align, roll
from equibench.transforms.shift_plans import DEFAULT_SHIFTS
from equibench.transforms.transform import element_name, shift_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["assert_shift_equivariant", "default_limit", "save_worst", "statistic"]

Limit = float | Mapping[str, float]
"""A bound on the worst value, or bounds by statistic: ``worst``, ``mean``, ``median``, ``q95``."""


def assert_shift_equivariant(
    model: Callable[[Tensor], Tensor],
    images: Any,
    *,
    targets: Any = None,
    input_key: str | int | None = None,
    target_key: str | int | None = None,
    dims: int | None = None,
    nmse: Limit | None = None,
    ssim: Limit | None = None,
    delta_psnr: Limit | None = None,
    limits: Mapping[str, Limit] | None = None,
    metrics: Sequence[str] = (),
    shifts: str = DEFAULT_SHIFTS,
    device: str = "auto",
    precision: Precision = "fp32",
    batch: int | Literal["auto"] = "auto",
    seed: int = 0,
    seed_forward: bool = False,
    save: Path | str | None = None,
) -> Result:
    """Fail unless a model commutes with circular shifts to within limits.

    Args:
        model: any callable from (B, C, H, W) to (B, C', H, W), or of signals or volumes.
        images: (B, C, H, W), (B, C, L), (B, C, D, H, W), or whatever ``evaluate`` takes as data.
        targets: ground truths (B, C', H, W), for ΔPSNR.
        input_key, target_key: where an item of the data has its image and its ground truth.
        dims: axes in space of the items of a list or a data set, as for ``evaluate``.
        nmse, ssim, delta_psnr: limits on the equivariance error (SSIM from below, ΔPSNR in dB):
            a number bounds the worst shift, a mapping bounds ``worst``, ``mean``, ``median`` or a
            quantile such as ``q95``. Without any, the worst NMSE is held to the rounding of the
            precision, ``default_limit(precision)``.
        limits: on other columns of rows, ``{"eq_iou": 0.95, "delta_dice": 0.01}``: what is better
            above is bounded from below.
        metrics: what outputs are compared by, as for ``evaluate``.
        shifts: a shift plan, as on the command line.
        batch: images per forward pass.
        seed_forward: let the generators of a random model begin anew for every image.
        save: a folder for what failed: one ``.npz`` with the image, its shift, both outputs and
            their difference.

    Returns:
        What was measured. A model that holds the limits but does not give the same image the same
        output is warned of.

    Raises:
        AssertionError: a limit does not hold; the message names limit, value, image, shift and
            floor, and, of a module, the layer to blame and a treatment that mends it.
        UsageError: a limit that cannot be read, or on a metric that was not measured.
        ModelError: the model raises, or returns what cannot be measured.
    """
    __tracebackhide__ = True
    keys: dict[str, Any] = {"input_key": input_key, "target_key": target_key, "dims": dims}
    suite = suite_of(images, targets, **keys, metrics=metrics)
    result = evaluate(
        model,
        suite,
        shifts=shifts,
        device=device,
        precision=precision,
        batch=batch,
        seed=seed,
        seed_forward=seed_forward,
        progress=False,
    )
    said = _not_repeated(result)
    wanted = {"eq_nmse": nmse, "eq_ssim": ssim, "delta_psnr": delta_psnr}
    given = {name: limit for name, limit in wanted.items() if limit is not None}
    chosen = given | dict(limits or {})
    broken = violations(result.rows, chosen or {"eq_nmse": default_limit(precision)})
    if not broken:
        if said:
            warnings.warn(said, stacklevel=2)
        return result
    remedy = blame(model, suite, broken[0].row, precision)
    message = "\n".join([*map(str, broken), *filter(None, [said, remedy])])
    if save is not None:
        file = save_worst(model, suite, broken[0].row, Path(save))
        message += f"\nsaved: {file}"
    raise AssertionError(message)


def _not_repeated(result: Result) -> str:
    """That a model gives the same image another output, in a line; empty where it does not."""
    if result.repeatability is None:
        return ""
    first = result.rows.iloc[0]
    return result.repeatability.sentence(first["model"], first["suite"])


class Violation:
    """A limit that does not hold, and the row that is furthest from it."""

    def __init__(
        self, column: Column, name: str, value: float, limit: float, rows: pd.DataFrame
    ) -> None:
        self.column, self.name, self.value, self.limit = column, name, value, limit
        values = rows[column.name].to_numpy(dtype=np.float64)
        self.row = rows.iloc[worst_at(values, column)]
        self.beyond = int((~_holds(values, limit, column)).sum())
        self.shifts = len(rows)

    def __str__(self) -> str:
        unit = f" {self.column.unit}" if self.column.unit else ""
        bound = "below" if self.column.higher_is_better else "above"
        row = self.row
        at = f"on {row['suite']} at case {row['case']}, shift {element_name(row)}"
        worst = f"; worst {at}: {row[self.column.name]:.3g}{unit}"
        return (
            f"{self.name} equivariance {self.column.title} is {self.value:.3g}{unit}, {bound} the "
            f"limit {self.limit:.3g}{unit}{f', {at}' if self.name == 'worst' else worst}; "
            f"{self.beyond} of {self.shifts} shifts are beyond the limit; floor (NMSE of rounding "
            f"alone) {row['floor_nmse']:.2g}"
        )


def violations(rows: pd.DataFrame, limits: Mapping[str, Limit]) -> list[Violation]:
    """The limits that rows break, by column of rows.

    Raises:
        UsageError: a column that was not measured, or an unknown statistic.
    """
    shifted = rows[rows["draw"] > 0]
    known = {column.name: column for column in columns(list(rows.columns))}
    broken = []
    for name, limit in limits.items():
        column = known.get(name)
        if column is None or (name != "eq_nmse" and shifted[name].isna().all()):
            if column is not None and name.startswith("delta_"):
                raise UsageError(f"{name} was not measured: {column.title} needs targets")
            found = [k for k, c in known.items() if c.shifted and shifted[k].notna().any()]
            raise UsageError(f"{name} was not measured, but {', '.join(found)}")
        values = shifted[name].to_numpy(dtype=np.float64)
        for wanted, bound in (limit if isinstance(limit, Mapping) else {"worst": limit}).items():
            value = statistic(values, wanted, column, shifted["covers"].to_numpy(np.int64))
            if not _holds(np.array([value]), bound, column)[0]:
                broken.append(Violation(column, wanted, value, bound, shifted))
    return broken


def statistic(
    values: "NDArray[np.float64]", name: str, column: Column, covers: "NDArray[np.int64]"
) -> float:
    """``worst``, ``mean``, ``median`` or a quantile such as ``q95`` towards the worse end.

    They are those of summaries: NaN is worse than any number, and a value counts as often as
    ``covers`` (n,) says.

    Raises:
        UsageError: no such statistic.
    """
    if name == "worst":
        return float(values[worst_at(values, column)])
    if name == "mean":
        return mean(values, covers)
    if name == "median":
        return quantiles(values, covers, [], column.higher_is_better)[0]
    if name[:1] == "q" and name[1:].isdigit() and 0 < int(name[1:]) < 100:
        _, (found,) = quantiles(values, covers, [int(name[1:])], column.higher_is_better)
        return found
    raise UsageError(f"no statistic is called {name!r}: take worst, mean, median or q1 to q99")


def _holds(values: "NDArray[np.float64]", limit: float, column: Column) -> "NDArray[np.bool_]":
    """NaN holds no limit."""
    held: NDArray[np.bool_] = values >= limit if column.higher_is_better else values <= limit
    return held


def save_worst(
    model: Callable[[Tensor], Tensor], suite: Suite, row: "pd.Series[Any]", folder: Path
) -> Path:
    """Keep the case and the shift of a row with both outputs, for a look at what went wrong."""
    images = suite.load(str(row["case"])).input
    shift = torch.tensor([shift_of(row)]).expand(len(images), -1)
    with placed(model, torch.device("cpu"), "fp32") as forward, numerics("fp32"):
        output, shifted = forward(images), forward(roll(images, shift))
    aligned = align(shifted, shift, images)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "worst.npz"
    np.savez(
        file,
        shift=shift[0].numpy(),
        input=images.numpy(),
        output=output.numpy(),
        aligned=aligned.numpy(),
        difference=(aligned.double() - output.double()).numpy(),
    )
    return file
