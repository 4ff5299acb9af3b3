"""Run folders of the paper's networks with planted numbers."""

import pandas as pd

from equibench.measurement.row_table import row_columns
from equibench.metrics.squared_error import nmse, psnr
from equibench.metrics.structural_similarity import ssim, ssim_columns
from equibench.reports.findings.published_results import VARIANTS

COLUMNS = row_columns([nmse, psnr, ssim, ssim_columns])

NMSE = dict(zip(VARIANTS, [1e-2, 1e-3, 5e-3, 2e-3, 1e-4, 1e-9, 2e-9, 3e-9, 1e-7], strict=True))
"""Errors under which every ordering of one table holds."""


def rows(label, suite, error=1e-3, *, group="all", cases=2, shifts=3, **more):
    """Rows of one model; ``error`` is its NMSE, and case c1's is three times case c0's."""
    lines = []
    for number in range(cases):
        base = {"model": label, "suite": suite, "group": group, "case": f"{group}-c{number}"}
        base |= {"frame": "canonical", "precision": "fp32", "batch": 2, "near_ties": 0}
        base |= {"nmse": 0.02, "psnr": 30.0, "ssim": 0.8, "ssim_columns": 0.75, "dy": 1, "dx": 2}
        for draw in range(shifts + 1):
            eq = error * (0.5 + number) if draw else 0.0
            line = {"draw": draw, "eq_nmse": eq, "eq_ssim": 0.9, "eq_ssim_columns": 0.95}
            lines.append(base | line | {"delta_psnr": 0.1 * draw, "floor_nmse": 1e-15} | more)
    return (
        pd.DataFrame(lines)
        .assign(covers=1, evidence="", repeatability="", transform="circular", element="")
        .reindex(columns=COLUMNS)
    )


def network(name, suite="mri-sample", **more):
    """A manifest's entry of one of the paper's networks, trained on ``suite``."""
    augment = 16 if name.endswith("+ DA") else 0
    trained = {"suite": suite, "preset": "sample", "recipe": {"shift_augment": augment}}
    paper = name.removesuffix(" + DA")
    entry = {"spec": "spec", "weights": "file", "details": {"paper": paper}, "trained": trained}
    return entry | more
