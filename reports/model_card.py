"""A model card's part on equivariance: a section of Markdown, and ``model-index`` metadata.

Source: the Hugging Face Hub's format of model cards, as huggingface_hub reads and writes it.
"""

import logging
import re
from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from equibench.errors import UnavailableError, UsageError
from equibench.reports.findings.run_data import RunData
from equibench.reports.page.provenance import command
from equibench.reports.tables.summary_table import summary_table
from equibench.statistics.summary import columns

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

__all__ = ["model_card"]

BEGIN, END = "<!-- equibench: begin -->", "<!-- equibench: end -->"
_SECTION = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}\n?", re.DOTALL)


def model_card(data: RunData, model: str, card: str = "") -> str:
    """A card that says how equivariant a model is: a new one, or one that is brought up to date.

    Of a card that exists, the section between ``BEGIN`` and ``END`` and the results of equibench in
    its metadata are replaced, and the rest stays.

    Args:
        model: its label in the run.
        card: the ``README.md`` that exists.

    Raises:
        UsageError: the run has no numbers of such a model, or the card cannot be read.
        UnavailableError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import ModelCard, ModelCardData
    except ImportError:
        raise UnavailableError(
            "a model card needs huggingface_hub; pip install 'equibench[card]'"
        ) from None
    if model not in data.models:
        raise UsageError(f"this run has no numbers of {model!r}: choose {', '.join(data.models)}")
    mine = data.of_models([model])
    try:
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # that there are no metadata
        made = ModelCard(card or f"---\n{{}}\n---\n# {model}\n")
    except Exception as error:
        raise UsageError(f"the card's metadata cannot be read: {error}") from error
    said = made.data
    assert isinstance(said, ModelCardData)
    others = [each for each in said.eval_results or [] if not _ours(each)]
    said.eval_results = [*others, *_results(mine.summary)]
    said.model_name = said.model_name or model
    section = _section(mine, model)
    if _SECTION.search(made.text):
        made.text = _SECTION.sub(lambda _: section, made.text, count=1)
    else:
        made.text = f"{made.text.rstrip()}\n\n{section}"
    return str(made)


def _section(data: RunData, model: str) -> str:
    environment = data.manifest.get("environment", {})
    version = environment.get("versions", {}).get("equibench", "")
    described = data.manifest.get("models", {}).get(model, {})
    table = summary_table(data.summary, format="markdown", weights=data.weights)
    weights = described.get("state_sha256", "")
    return "\n".join(
        [
            BEGIN,
            "## Shift equivariance",
            "",
            "How far the output is from moving as the input does, measured by equibench "
            f"{version}; arrows point to what is better.",
            "",
            table.strip(),
            "",
            *([f"Weights: SHA-256 `{weights}`.", ""] if weights else []),
            "To measure it again:",
            "",
            "```sh",
            command(data.manifest.get("configuration", {})),
            "```",
            END,
            "",
        ]
    )


def _results(summary: pd.DataFrame) -> Iterator["EvalResult"]:
    """Mean and worst of each metric under each transform of each suite."""
    from huggingface_hub import EvalResult

    worst = [name for name in map(str, summary.columns) if name.endswith("_worst")]
    measured = columns([name.removesuffix("_worst") for name in worst])
    for line in summary.to_dict("records"):
        known: dict[Any, Any] = line
        suite, group = str(known["suite"]), str(known["group"])
        for column in measured:
            for statistic in ("mean", "worst"):
                value = known.get(f"{column.name}_{statistic}")
                if not column.shifted or value is None or not isfinite(value):
                    continue
                how = known["evidence"] if statistic == "worst" else ""
                yield EvalResult(
                    task_type="image-segmentation" if column.labels else "image-to-image",
                    dataset_type=suite,
                    dataset_name=suite if group == "all" else f"{suite}, {group}",
                    dataset_args={"transform": known["transform"]},
                    metric_type=f"{column.name}_{statistic}",
                    metric_name=f"{statistic} {column.title} of equivariance",
                    metric_value=float(value),
                    metric_args={"evidence": how} if how else None,
                )


def _ours(result: "EvalResult") -> bool:
    return re.fullmatch(r"(eq|delta)_\w+_(mean|worst)", result.metric_type) is not None
