"""Where each model errs most: its images, made again from what the manifest says of the run."""

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.errors import EquibenchError
from equibench.evaluation.rerun import Rerun
from equibench.reports.findings.leaderboard import subset_name
from equibench.reports.findings.run_data import RunData
from equibench.reports.page.label_maps import label_facts, label_views
from equibench.reports.paper.figure4_scene import Image, grey
from equibench.transforms.circular_shift import align, roll

__all__ = ["Gallery", "Picture", "worst_cases"]

_BYTES = 1_400_000
"""Of images on one page, encoded; the page stays under 3 MB."""

_QUALITY = 78


@dataclass(frozen=True)
class Picture:
    """One model on the case and shift where its NMSE is the worst.

    A model without an error beyond rounding is shown where the least robust one is the worst.

    Args:
        input, output, shifted: x, G(x) and the aligned T⁻¹ G(T x), as data URIs.
        difference: the magnitude of the last two's difference; empty where it is zero.
        largest: of the difference, in units of the output, but for one pixel in a thousand; of
            labels the share of pixels that change.
        numbers: of the row, by column.
        labels: the outputs are label maps, and the difference is one with changed pixels in red.
    """

    run: str
    subset: str
    model: str
    case: str
    shift: tuple[int, int]
    input: str
    output: str
    shifted: str
    difference: str
    largest: float
    numbers: dict[str, float]
    labels: bool = False


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
    for subset, row in _rows(data):
        if monotonic() - started > seconds or used > _BYTES:
            left += 1
            continue
        try:
            picture = _picture(run, subset, row, rerun)
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


def _rows(data: RunData) -> Iterator[tuple[str, "pd.Series[Any]"]]:
    """The row that is shown of each suite (and group) and model, with the part's name."""
    data = data.circular
    rows = data.shifted
    if rows.empty:
        return
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
                same = part[
                    (part[["model", "case", "dy", "dx"]]
                     == [row["model"], least["case"], least["dy"], least["dx"]]).all(axis=1)
                ]  # fmt: skip
                row = same.iloc[0] if len(same) else row
            yield subset_name(str(suite), str(group)), row


def _picture(run: str, subset: str, row: "pd.Series[Any]", rerun: Rerun) -> Picture:
    rerun.model(str(row["model"]))  # where it is gone, no case needs to be loaded
    suite = rerun.suite(str(row["suite"]))
    case = rerun.case(str(row["suite"]), str(row["case"]))
    shift = int(row["dy"]), int(row["dx"])
    forward = rerun.forward(str(row["model"]), suite, case)
    plain = forward(case.input)
    # an error of exactly zero need not be seen again
    aligned = _aligned(forward, case.input, shift) if float(row["eq_nmse"]) else plain
    error = (plain - aligned).square()
    i = int(error.sum(dim=(1, 2, 3)).argmax())  # of a volume, the worst slice
    given = grey(case.input[i])
    labels = rerun.labels(str(row["model"]))
    shown = label_views(plain[i], aligned[i]) if labels else _image_views(plain[i], aligned[i])
    return Picture(
        run=run,
        subset=subset,
        model=str(row["model"]),
        case=str(row["case"]),
        shift=shift,
        input=_encoded(given, float(given.min()), float(given.max())),
        numbers=_numbers(row, labels),
        labels=labels,
        **shown,
    )


def _image_views(plain: Tensor, aligned: Tensor) -> dict[str, Any]:
    """Two outputs (C, H, W) in one range of grey, and their difference."""
    output, shifted = grey(plain), grey(aligned)
    difference = np.abs(output - shifted)
    visible, top = bool(difference.any()), float(np.quantile(difference, 0.999))
    top = top or float(difference.max())
    low, high = float(output.min()), float(output.max())
    first = _encoded(output, low, high)
    return {
        "output": first,
        "shifted": _encoded(shifted, low, high) if visible else first,
        "difference": _encoded(difference, 0.0, top) if visible else "",
        "largest": top,
    }


def _numbers(row: "pd.Series[Any]", labels: bool) -> dict[str, float]:
    """What was measured of a row, by column."""
    keys = ["eq_nmse", "eq_ssim", "delta_psnr", "psnr", "psnr_shifted"]
    if labels:
        keys = [key for key, *_ in label_facts(list(row.index))]
    return {key: float(row[key]) for key in keys if key in row and pd.notna(row[key])}


def _aligned(forward: Callable[[Tensor], Tensor], images: Tensor, shift: tuple[int, int]) -> Tensor:
    """T⁻¹ G(T x) of images (N, C, H, W)."""
    shifts = torch.tensor([shift]).expand(len(images), 2)
    return align(forward(roll(images, shifts)), shifts, images)


def _encoded(image: Image, low: float, high: float) -> str:
    """An image (H, W) as a WebP data URI, ``low`` black and ``high`` white."""
    from PIL import Image as Pillow

    scaled = np.nan_to_num((image - low) / ((high - low) or 1.0)).clip(0, 1)
    stream = io.BytesIO()
    Pillow.fromarray((255 * scaled).round().astype(np.uint8)).save(
        stream, "webp", quality=_QUALITY, method=6
    )
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
