"""Run folders with planted numbers, for tests of reports."""

import numpy as np
import pandas as pd
import pytest

from equibench.measurement.row_table import row_columns
from equibench.metrics.squared_error import nmse, psnr
from equibench.metrics.structural_similarity import ssim, ssim_columns
from equibench.runs.run_folder import RunFolder

COLUMNS = row_columns([nmse, psnr, ssim, ssim_columns])
GRID = [(dy, dx) for dy in (-3, 0, 3) for dx in (-3, 0, 3) if dy or dx]
HOSTILE = "<script>alert('1')</script>\"|&$x_{1}$%\\" + "long" * 40


def rows(model, suite, errors, *, shifts=GRID, cases=2, truth=True, group="all"):
    """Rows of one model on one suite; ``errors`` maps (case, dy, dx) to the NMSE."""
    lines = []
    for number in range(cases):
        case = f"c{number}"
        base = {"model": model, "suite": suite, "group": group, "case": case, "batch": 4}
        base |= {
            "cluster": case,
            "frame": "canonical",
            "precision": "fp32",
            "near_ties": 0,
            "floor_nmse": 2e-15,
        }
        base |= {"covers": 1, "evidence": "", "spots": 0, "repeatability": ""}
        base |= {"transform": "circular", "element": ""}
        if truth:
            base |= {"nmse": 0.01, "psnr": 30.0 + number, "ssim": 0.8}
        for draw, (dy, dx) in enumerate([(0, 0), *shifts]):
            error = 2e-15 if draw == 0 else errors(case, dy, dx)
            line = base | {"draw": draw, "dy": dy, "dx": dx, "eq_nmse": error, "eq_psnr": 40.0}
            line["eq_ssim"] = 1 - error if np.isfinite(error) else error
            if truth:
                line |= {"delta_psnr": 10 * error, "psnr_shifted": base["psnr"]}
            lines.append(line)
    return pd.DataFrame(lines).reindex(columns=COLUMNS)


def constant(value):
    return lambda case, dy, dx: value


def rising(case, dy, dx):
    return 1e-3 * (1 + abs(dy) + abs(dx) + (case == "c1"))


def described(paper=None, weights="untrained"):
    details = {"paper": paper} if paper else {}
    return {"spec": "spec", "weights": weights, "details": details, "parameters": 1234}


@pytest.fixture
def make(tmp_path):
    """Write a run folder: rows, and what its manifest says of the models."""

    def make(parts, models=None, failures=(), state="finished", name="run", **configuration):
        folder = RunFolder(tmp_path / name, create=True)
        suites = {part["suite"].iloc[0]: {"version": 1, "arguments": {"n": 2}} for part in parts}
        labels = dict.fromkeys(part["model"].iloc[0] for part in parts)
        folder.write_manifest(
            {
                "state": state,
                "configuration": {
                    "models": list(labels),
                    "suites": list(suites),
                    "shifts": "grid:max=6,step=3",
                    "precision": "fp32",
                    "seed": 7,
                    "data": {"fastmri": "/private/place"},
                    **configuration,
                },
                "fingerprint": {
                    "suites": suites,
                    "metric versions": {"nmse": 1},
                },
                "environment": {"versions": {"torch": "2.14.1"}, "commit": "abc-dirty"},
                "models": models or {label: described(weights="") for label in labels},
            }
        )
        for number, part in enumerate(reversed(parts)):  # files come in no useful order
            folder.write_rows(f"unit{number}", part)
        folder.write_failures(list(failures))
        return folder

    return make


@pytest.fixture
def two_suites(make):
    """A baseline and an APS network, the latter exact, with and without a ground truth."""
    parts = [
        rows("unet-baseline", "mri-sample", rising),
        rows("unet-aps", "mri-sample", constant(0.0)),
        rows("unet-baseline", "photo-sample", constant(2e-2), truth=False),
        rows("unet-aps", "photo-sample", constant(float("nan")), truth=False),
    ]
    models = {"unet-baseline": described("Baseline"), "unet-aps": described("APS", "mine")}
    return make(parts, models)


@pytest.fixture
def hostile(make):
    part = rows(HOSTILE, HOSTILE, rising, cases=1)
    failure = {"model": HOSTILE, "suite": HOSTILE, "cases": [HOSTILE] * 5}
    return make(
        [part.assign(case=HOSTILE)],
        failures=[failure | {"error": "E", "message": HOSTILE}],
        name="hostile",
    )
