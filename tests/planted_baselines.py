"""Summaries and verdicts for tests of the gate."""

from dataclasses import replace

import numpy as np
import pandas as pd

from equibench.guard.baseline import Baseline
from equibench.guard.gate import failed, judge

SUITE = {"noise": {"name": "noise", "version": 1, "arguments": {}, "cases": "2 (abc)"}}

CONDITIONS = {"frame": "canonical", "precision": "fp32", "seed": 0, "shifts": "random:n=2,max=8"}


def measured(nmse=(0.1, 0.2, 0.3, 0.4), ssim=0.9, floor=1e-15, model="net", **changes):
    """A baseline over two cases with two shifts each."""
    rows = pd.DataFrame(
        {
            "model": model, "suite": "noise", "group": "all",
            "cluster": list("aaabbb"), "case": list("aaabbb"), "draw": [0, 1, 2, 0, 1, 2],
            "dy": [0, 1, 2, 0, 3, 4], "dx": [0, 5, 6, 0, 7, -8],
            "frame": "canonical", "precision": "fp32",
            "eq_nmse": [floor, *nmse[:2], floor, *nmse[2:]], "eq_ssim": ssim,
            "near_ties": np.nan, "floor_nmse": floor, "covers": 1, "evidence": "",
            "spot_deviation": np.nan,
        }
    )  # fmt: skip
    found = Baseline.of_rows(rows, CONDITIONS, SUITE)
    return replace(found, **changes)


def said(before, after, tolerances=()):
    return [str(verdict) for verdict in failed(judge(before, after, tolerances))]


def scaled(factor):
    return measured(tuple(factor * value for value in (0.1, 0.2, 0.3, 0.4)))


def broken(text):
    """A baseline file after an edit by hand."""
    return lambda content: content.replace(*text)
