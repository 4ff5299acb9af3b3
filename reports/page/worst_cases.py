"""Where each model errs most: its images, made again from what the manifest says of the run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Case, Suite
from equibench.errors import EquibenchError
from equibench.postprocessing.rerun import Rerun
from equibench.reports.findings.leaderboard import subset_name
from equibench.reports.findings.run_data import RunData
from equibench.reports.page.image_views import encoded, image_views, seen
from equibench.reports.page.label_maps import label_facts, label_views
from equibench.reports.paper.figure4_scene import grey
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import All
from equibench.transforms.transform import AXES, CIRCULAR, Transform, element_name, inside, shift_of
from equibench.transforms.transform_specs import parse_transform

__all__ = ["Gallery", "Picture", "worst_cases"]

_BYTES = 1_400_000
"""Of images on one page, encoded; the page stays under 3 MB."""


@dataclass(frozen=True)
class Picture:
    """One model on the case and shift, or other element, where its NMSE is the worst.

    A model without an error beyond rounding is shown where the least robust one is the worst.

    Args:
        shift: in pixels, of circular shifts.
        element: what an element of another transform is called.
        slice: which one of a volume is shown; None where there are none.
        moved: T x as a data URI; empty where the page rolls the input itself.
        input, output, shifted: x, G(x) and the aligned T⁻¹ G(T x), as data URIs; x as it passes for
            the reference, a window of it, say.
        difference: the magnitude of the last two's difference; empty where it is zero.
        range: of the output, in its units: what is black and what is white; empty of labels.
        largest: of the difference, in units of the output, but for one pixel in a thousand; of
            labels the share of pixels that change.
        numbers: of the row, by column.
        exact: the model errs nowhere beyond rounding.
        labels: the outputs are label maps, and the difference is one with changed pixels in red.
        line: they are drawings of signals.
    """

    run: str
    subset: str
    model: str
    case: str
    shift: tuple[int, ...]
    element: str
    slice: int | None
    moved: str
    input: str
    output: str
    shifted: str
    difference: str
    range: tuple[float, ...]
    largest: float
    numbers: dict[str, float]
    exact: bool = False
    labels: bool = False
    line: bool = False


@dataclass(frozen=True)
class Gallery:
    """Pictures, and in sentences what is missing from them."""

    pictures: list[Picture]
    notes: list[str]


def worst_cases(run: str, data: RunData, seconds: float) -> Gallery:
    """Run every model again on its worst case, worst first within each suite.

    Args:
        seconds: after so many no further picture is begun.
    """
    pictures: list[Picture] = []
    failed: dict[str, None] = {}
    started, rerun, left, used = monotonic(), Rerun(data.manifest), 0, 0
    inputs: set[str] = set()
    for subset, row, exact in _rows(data):
        if monotonic() - started > seconds or used > _BYTES:
            left += 1
            continue
        try:
            picture = replace(_picture(run, subset, row, rerun), exact=exact)
        except EquibenchError as error:
            failed[str(error)] = None
            continue
        # the page holds equal images once
        images = {picture.input, picture.output, picture.shifted, picture.difference} - inputs
        used += sum(map(len, images))
        inputs.add(picture.input)
        pictures.append(picture)
    notes = [f"Left out: {message}." for message in failed]
    if left:
        number = "one picture" if left == 1 else f"{left} pictures"
        notes.append(
            f"{number.capitalize()} left out for time or size; --image-seconds gives more time."
        )
    return Gallery(pictures, notes)


def _rows(data: RunData) -> Iterator[tuple[str, "pd.Series[Any]", bool]]:
    """The part's name, the row that is shown of a model, and whether the model is exact there."""
    rows = data.shifted
    if rows.empty:
        return
    rows = rows.sort_values("transform", key=lambda names: names != CIRCULAR, kind="stable")
    errors = rows["eq_nmse"].astype(float)
    rows = rows[np.isfinite(errors)]
    for (suite, group), part in rows.groupby(["suite", "group"], sort=False):
        worst = part.loc[part.groupby("model", sort=False)["eq_nmse"].idxmax()]
        worst = worst.sort_values("eq_nmse", ascending=False, kind="stable")
        least = worst.iloc[0]
        lines = data.summary[(data.summary["suite"] == suite) & (data.summary["group"] == group)]
        exact = set(lines.loc[lines["flips"] == 0, "model"])
        for _, row in worst.iterrows():
            if row["model"] in exact:
                same = part[(part["model"] == row["model"]) & _alike(part, least)]
                row = same.iloc[0] if len(same) else row
            yield subset_name(str(suite), str(group)), row, row["model"] in exact


def _alike(rows: pd.DataFrame, row: "pd.Series[Any]") -> "pd.Series[bool]":
    """Which rows are of the same case and element."""
    names = [name for name in ("case", "element", *AXES) if name in rows]
    values = [rows[name].eq(row[name]) | (rows[name].isna() & pd.isna(row[name])) for name in names]
    alike: pd.Series[bool] = pd.concat(values, axis=1).all(axis=1)
    return alike


def _picture(run: str, subset: str, row: "pd.Series[Any]", rerun: Rerun) -> Picture:
    rerun.model(str(row["model"]))  # where it is gone, no case needs to be loaded
    suite = rerun.suite(str(row["suite"]))
    case = rerun.case(str(row["suite"]), str(row["case"]))
    transform = _transform(rerun, str(row["transform"]))
    element = _element(transform, row, suite, case, rerun)
    forward = rerun.forward(str(row["model"]), suite, case)
    identity = transform.identity(tuple(case.input.shape[2:]))
    inputs = _moved(transform, case.input, identity)
    plain = forward(inputs)
    moved = _moved(transform, case.input, element)
    # an error of exactly zero need not be seen again
    aligned = plain
    if float(row["eq_nmse"]):
        aligned = _compared(transform, forward(moved), element, case, plain.shape[-1])
    error = (plain - aligned).square().nan_to_num()
    i = int(error.sum(dim=tuple(range(1, error.ndim))).argmax())  # of a volume, the worst slice
    at = int(error[i].sum(dim=(0, 2, 3)).argmax()) if error.ndim == 5 else 0
    given = grey(seen(inputs[i], at))
    circular = isinstance(transform, Circular)
    rolled = circular and given.ndim == 2 and error.ndim == 4
    behind = (at + element[0]) % moved.shape[2] if circular else min(at, moved.shape[2] - 1)
    after = grey(seen(moved[i], int(behind)))
    limits = float(given.min()), float(given.max())
    labels = rerun.labels(str(row["model"]))
    outputs = seen(plain[i], at), seen(aligned[i], at)
    return Picture(
        run=run,
        subset=subset,
        model=str(row["model"]),
        case=str(row["case"]),
        shift=shift_of(row) if circular else (),
        element="" if circular else element_name(row),
        slice=at if error.ndim == 5 else None,
        moved="" if rolled else encoded(after, *limits),
        input=encoded(given, *limits),
        numbers=_numbers(row, labels),
        labels=labels,
        line=given.ndim == 1,
        **(label_views(*outputs) if labels else image_views(*outputs)),
    )


def _transform(rerun: Rerun, label: str) -> Transform:
    """The transform that rows call so."""
    texts = rerun.configuration.get("transforms", ())
    found = [t for t in map(parse_transform, texts) if t.label == label]
    return found[0] if found else Circular(All())


def _element(
    transform: Transform, row: "pd.Series[Any]", suite: Suite, case: Case, rerun: Rerun
) -> Sequence[float]:
    """The numbers of a row's element, drawn again where they are not its shift."""
    if isinstance(transform, Circular):
        return shift_of(row)
    size, seed = tuple(case.input.shape[2:]), int(rerun.configuration.get("seed", 0))
    every = transform.elements(seed, suite.name, case.name, size)
    element: list[float] = every[int(row["draw"]) - 1].tolist()
    return element


def _moved(transform: Transform, images: Tensor, element: Sequence[float]) -> Tensor:
    """T x of images (N, C, *size)."""
    return transform.apply(list(images), torch.tensor([element] * len(images)))


def _compared(
    transform: Transform, outputs: Tensor, element: Sequence[float], case: Case, side: int
) -> Tensor:
    """T⁻¹ G(T x) of outputs (N, C', *size); NaN where it is not compared with the reference.

    Args:
        side: of the reference's output, in pixels.
    """
    size = tuple(case.input.shape[2:])
    aligned = transform.align(outputs, torch.tensor([element] * len(outputs)), size)
    region = transform.region(element, size)
    if region is None:
        return aligned
    scale = side // transform.moved_size(transform.identity(size), size)[-1]
    box = tuple(slice(each.start * scale, each.stop * scale) for each in region)
    kept = torch.full_like(aligned, torch.nan)
    inside(kept, box).copy_(inside(aligned, box))
    return kept


def _numbers(row: "pd.Series[Any]", labels: bool) -> dict[str, float]:
    """What was measured of a row, by column."""
    keys = ["eq_nmse", "eq_ssim", "delta_psnr", "psnr", "psnr_shifted"]
    if labels:
        keys = [key for key, *_ in label_facts(list(row.index))]
    return {key: float(row[key]) for key in keys if key in row and pd.notna(row[key])}
