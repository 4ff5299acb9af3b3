"""The 95 % quantile counts from the best value, whichever end that is."""

import numpy as np
import pandas as pd
import pytest

from equibench.statistics.summary import summarize


def rows(**columns):
    """One case with the given errors, one row a shift."""
    count = len(next(iter(columns.values())))
    draw = np.arange(count + 1)
    return pd.DataFrame(
        {
            "model": "net", "suite": "images", "group": "all", "cluster": "a", "case": "a",
            "draw": draw, "dy": draw, "dx": 0, "frame": "canonical", "precision": "fp32",
            "near_ties": 0.0, "floor_nmse": 0.0, "covers": 1, "evidence": "",
            "spot_deviation": np.nan,
            **{name: [0.0, *values] for name, values in columns.items()},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("column", "quantile", "worst"),
    [("eq_nmse", 0.95, 1.0), ("eq_ssim", 0.06, 0.01), ("delta_psnr", 0.95, 1.0)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_95_of_100_shifts_are_no_worse_than_the_quantile(column, quantile, worst, seed):
    values = np.arange(1, 101) / 100
    np.random.default_rng(seed).shuffle(values)
    line = summarize(rows(**{"eq_nmse": values} | {column: values})).iloc[0]
    assert line[f"{column}_q95"] == quantile
    assert line[f"{column}_worst"] == worst
    assert line[f"{column}_median"] == pytest.approx(0.505)
