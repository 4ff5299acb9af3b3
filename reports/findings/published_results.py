"""The paper's four result tables as data, and what of a run they can stand beside."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd

__all__ = [
    "APS",
    "CITATION",
    "NOT_APS",
    "VARIANTS",
    "is_sample",
    "original",
    "paper_name",
    "values",
]

CITATION = (
    "A. Chaman and I. Dokmanić, “Truly shift-equivariant convolutional neural networks with "
    "adaptive polyphase upsampling”, Asilomar 2021"
)

NOT_APS = ("Baseline", "Baseline + DA", "LPF-2", "LPF-3", "LPF-5")
APS = ("APS", "APS-2", "APS-3", "APS-5")
VARIANTS = (*NOT_APS, *APS)
"""The nine networks, as the paper calls them."""

AUGMENTATION = "shift_augment"
"""In a recipe: the largest random shift that a network was trained with; 0 for none."""

_SAMPLES = {"mri-sample": "fastmri", "photo-sample": "imagenet", "ct-sample": "lodopab"}


def original(suite: str) -> str:
    """The registered name of the suite whose data a sample resembles; any other is its own."""
    return _SAMPLES.get(suite, suite)


def is_sample(suite: str) -> bool:
    """Whether a suite holds other data than the paper's."""
    return suite in _SAMPLES


def paper_name(described: Mapping[str, Any]) -> str | None:
    """What the paper calls a model, from its entry in the manifest; None for other models.

    What a network was trained with decides whether it is a ``+ DA`` (data augmentation).
    """
    name = described.get("details", {}).get("paper")
    if not name:
        return None
    recipe = (described.get("trained") or {}).get("recipe", {})
    name = f"{name} + DA" if recipe.get(AUGMENTATION) else str(name)
    return name if name in VARIANTS else None


@cache
def values(table: str) -> dict[str, dict[str, float]]:
    """A published table: numbers by network and column.

    Args:
        table: the stem of its file.
    """
    with (files("equibench.results") / "paper" / f"{table}.csv").open(encoding="utf-8") as stream:
        lines = pd.read_csv(stream, index_col="model").to_dict("index")
    return {
        str(model): {str(column): float(value) for column, value in line.items()}
        for model, line in lines.items()
    }
