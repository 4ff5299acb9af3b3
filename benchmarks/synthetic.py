"""A run folder of any size with numbers that a network might have given."""

from pathlib import Path

import numpy as np
import pandas as pd

from equibench.runs.row_files import unit_name
from equibench.runs.run_folder import RunFolder

SUITES = {"fastmri": (7135, 199), "lodopab": (3553, 3553), "imagenet": (1000, 1000)}
"""Images of the paper's suites, and the volumes they come from."""

MODELS = [f"unet-{number}" for number in range(9)]
IMAGES_PER_UNIT = 500


def write_run(path: Path, rows_per_image: int) -> RunFolder:
    """Nine models on the paper's suites, unit by unit, through the store."""
    folder = RunFolder(path, create=True)
    folder.write_manifest(
        {
            "state": "running",
            "fingerprint": {"suites": {suite: {} for suite in SUITES}},
            "models": {model: {"weights": "untrained"} for model in MODELS},
            "units": {
                stem(model, suite): -(-images // IMAGES_PER_UNIT)
                for model in MODELS
                for suite, (images, _) in SUITES.items()
            },
        }
    )
    for model in MODELS:
        for suite, (images, clusters) in SUITES.items():
            starts = range(0, images, IMAGES_PER_UNIT)
            names = [unit_name(stem(model, suite), number) for number in range(len(starts))]
            for name, start in zip(names, starts, strict=True):
                cases = np.arange(start, min(start + IMAGES_PER_UNIT, images))
                folder.write_rows(name, _rows(model, suite, cases, clusters, rows_per_image))
            folder.consolidate(stem(model, suite), names)
    return folder


def stem(model: str, suite: str) -> str:
    return f"{model}_{suite}_00000000"


def _rows(
    model: str, suite: str, cases: np.ndarray, clusters: int, rows_per_image: int
) -> pd.DataFrame:
    number = len(cases) * rows_per_image
    random = np.random.default_rng([MODELS.index(model), len(suite), int(cases[0])])
    case, draw = np.repeat(cases, rows_per_image), np.tile(np.arange(rows_per_image), len(cases))
    names = pd.Series([f"{each:05d}.h5" for each in cases]).repeat(rows_per_image)
    constant = {"model": model, "suite": suite, "group": np.where(case % 2, "PD", "PDFS")}
    constant |= {"cluster": [f"volume-{each % clusters:04d}" for each in case]}
    quality = {name: np.repeat(random.random(len(cases)), rows_per_image) for name in "nps"}
    return pd.DataFrame(
        {
            **constant,
            "case": names.to_numpy(),
            "draw": draw,
            "dy": draw // 16,
            "dx": draw % 16,
            "frame": "canonical",
            "precision": "fp32",
            "eq_nmse": np.exp(random.normal(-8, 3, number)),
            "eq_psnr": random.normal(60, 10, number),
            "eq_ssim": 1 - np.exp(random.normal(-8, 1, number)),
            "delta_psnr": np.abs(random.normal(0, 0.1, number)),
            "nmse": quality["n"],
            "psnr": quality["p"],
            "ssim": quality["s"],
            "psnr_shifted": random.normal(30, 3, number),
            "near_ties": random.integers(0, 2, number).astype(float),
            "floor_nmse": 1e-15,
            "covers": 400,
            "evidence": "enumerated",
            "spots": 0,
            "repeatability": "",
            "spot_deviation": 1e-16,
            "batch": 8,
        }
    )
