"""The paper's published values, to stand beside measured ones.

The sample suites hold other data than the paper's. Whoever shows the two side by side shows what
``caveat`` says with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from equibench.reports.data import UNTRAINED

__all__ = ["CITATION", "OTHER_DATA", "Published", "caveat", "paper_name", "published"]

CITATION = (
    "A. Chaman and I. Dokmanić, “Truly shift-equivariant convolutional neural networks with "
    "adaptive polyphase upsampling”, Asilomar 2021"
)

OTHER_DATA = "other data"
"""What is said of a suite that only resembles the paper's."""

_SOURCES: dict[str, tuple[str, str]] = {
    "fastmri": ("Tables 1 and 2", "fastMRI knee"),
    "imagenet": ("Table 3", "ImageNet"),
    "lodopab": ("Table 4", "LoDoPaB-CT"),
}
_SAMPLES = {"mri-sample": "fastmri", "photo-sample": "imagenet", "ct-sample": "lodopab"}


@dataclass(frozen=True)
class Published:
    """What the paper reports for one network on one data set.

    Args:
        tables: of the paper.
        data: what the paper measured on.
        numbers: by column of a summary and, where the paper keeps them apart, by acquisition
            (PD, PDFS); otherwise the inner key is empty.
    """

    tables: str
    data: str
    numbers: Mapping[str, Mapping[str, float]]


def paper_name(label: str, described: Mapping[str, Any]) -> str | None:
    """What the paper calls a model, from its entry in the manifest; None for other models."""
    name = described.get("details", {}).get("paper")
    if not name:
        return None
    augmented = label.endswith("-da") or str(described.get("weights", "")).endswith("-da")
    return f"{name} + DA" if augmented else str(name)


def published(model: str | None, suite: str, group: str = "all") -> Published | None:
    """The paper's values for a model, on a suite or on what the suite is a sample like.

    Args:
        model: as the paper calls it (``paper_name``).
        suite: the registered name.
        group: PD or PDFS chooses one of the two; any other takes both.
    """
    original = _SAMPLES.get(suite, suite)
    values = _values(original).get(model) if model and original in _SOURCES else None
    if not values:
        return None
    tables, data = _SOURCES[original]
    chosen = {
        column: {group: kept[group]} if group in kept else dict(kept)
        for column, kept in values.items()
    }
    return Published(tables, data, chosen)


def caveat(suite: str, weights: str) -> str:
    """Why a measured value is no repetition of the published one; empty where it may be."""
    reasons = [OTHER_DATA] if suite in _SAMPLES else []
    reasons += [UNTRAINED] if weights == UNTRAINED else []
    return ", ".join(reasons)


@cache
def _values(suite: str) -> dict[str, dict[str, dict[str, float]]]:
    """Published values by model, summary column and acquisition."""
    if suite == "fastmri":
        worst = _read("table2_mri_worst_delta_psnr")
        return {
            model: {
                "eq_nmse_mean": {"PD": line["eq_nmse_pd"], "PDFS": line["eq_nmse_pdfs"]},
                "eq_ssim_mean": {"PD": line["eq_ssim_pd"], "PDFS": line["eq_ssim_pdfs"]},
                "delta_psnr_worst": {"": worst[model]["worst_delta_psnr"]},
            }
            for model, line in _read("table1_mri").items()
        }
    name, ssim = {
        "imagenet": ("table3_imagenet", "eq_ssim_mean"),
        # Table 4 was computed with image columns taken as channels
        "lodopab": ("table4_ct", "eq_ssim_columns_mean"),
    }[suite]
    return {
        model: {"eq_nmse_mean": {"": line["eq_nmse"]}, ssim: {"": line["eq_ssim"]}}
        for model, line in _read(name).items()
    }


def _read(name: str) -> dict[str, dict[str, float]]:
    """A table's numbers by model and column."""
    table = files("equibench.results") / "paper" / f"{name}.csv"
    with table.open(encoding="utf-8") as stream:
        lines = pd.read_csv(stream, index_col="model").to_dict("index")
    return {
        str(model): {str(column): float(value) for column, value in line.items()}
        for model, line in lines.items()
    }
