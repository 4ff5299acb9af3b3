"""The paper's published values, to stand beside measured ones.

The sample suites hold other data than the paper's. Whoever shows the two side by side shows
``Published.caveat`` with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

from equibench.reports.data import UNTRAINED

__all__ = ["CITATION", "Published", "caveat", "paper_name", "published"]

CITATION = (
    "A. Chaman and I. Dokmanić, “Truly shift-equivariant convolutional neural networks with "
    "adaptive polyphase upsampling”, Asilomar 2021"
)

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
        values: by column of a summary and, where the paper keeps them apart, by acquisition
            (PD, PDFS); otherwise the inner key is empty.
    """

    tables: str
    data: str
    values: Mapping[str, Mapping[str, float]]


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
    reasons = ["other data"] if suite in _SAMPLES else []
    reasons += [UNTRAINED] if weights == UNTRAINED else []
    return ", ".join(reasons)


@cache
def _values(suite: str) -> dict[str, dict[str, dict[str, float]]]:
    """Published values by model, summary column and acquisition."""
    if suite == "fastmri":
        means, worst = _read("table1_mri"), _read("table2_mri_worst_delta_psnr")
        return {
            model: {
                **{
                    f"{metric}_mean": {
                        "PD": means.at[model, f"{metric}_pd"],
                        "PDFS": means.at[model, f"{metric}_pdfs"],
                    }
                    for metric in ("eq_nmse", "eq_ssim")
                },
                "delta_psnr_worst": {"": worst.at[model, "worst_delta_psnr"]},
            }
            for model in means.index
        }
    name, ssim = {
        "imagenet": ("table3_imagenet", "eq_ssim"),
        # Table 4 was computed with image columns taken as channels
        "lodopab": ("table4_ct", "eq_ssim_columns"),
    }[suite]
    table = _read(name)
    return {
        model: {
            "eq_nmse_mean": {"": table.at[model, "eq_nmse"]},
            f"{ssim}_mean": {"": table.at[model, "eq_ssim"]},
        }
        for model in table.index
    }


def _read(name: str) -> pd.DataFrame:
    text = files("equibench.results") / "paper" / f"{name}.csv"
    with text.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, index_col="model")
