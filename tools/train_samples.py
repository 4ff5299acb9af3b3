"""Make the packaged weights, and the table of what they gained over their input.

    python tools/train_samples.py [FOLDER]

Trains the nine variants at width 1/8 on the embedded MRI and CT slices with the ``sample`` preset
(about ten minutes each on two cores), writes ``models/weights/VARIANT.SUITE.safetensors`` and
``results/weights.csv``. What is there already is kept; an interrupted training is resumed.
"""

import sys
from pathlib import Path

import pandas as pd
import torch

import equibench as eb
from equibench.loading import build_suite
from equibench.models.recipes import recipe
from equibench.models.training import train
from equibench.models.variants import VARIANTS
from equibench.specs import Spec
from equibench.weights import read_weights

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 0.125
SUITES = ("mri-sample", "ct-sample")
DA = 16


def main(folder: Path) -> None:
    lines = []
    for suite in SUITES:
        before = input_quality(suite)
        for variant, shifts in [*((name, 0) for name in VARIANTS), ("unet-baseline", DA)]:
            weights = f"{suite}-da" if shifts else suite
            file = folder / f"{variant}.{weights}.safetensors"
            if not file.exists():
                train(
                    Spec(variant, {"width": WIDTH}),
                    Spec(suite),
                    recipe("sample", shift_augment=shifts),
                    file,
                    preset="sample",
                    half=True,
                )
            after = read_weights(file).trained["validation"]
            lines.append(
                {"variant": variant, "weights": weights}
                | {f"{name}_of_input": before[name] for name in after}
                | after
                | {"psnr_gain": after["psnr"] - before["psnr"], "bytes": file.stat().st_size}
            )
    table = pd.DataFrame(lines).round(4)
    table.to_csv(ROOT / "results" / "weights.csv", index=False)
    print(table.to_string(index=False))


def input_quality(suite: str) -> dict[str, float]:
    """Mean validation metrics of the inputs themselves: zero-filled images, or FBPs."""
    validation = build_suite(Spec(suite), {})
    rows = eb.evaluate(torch.nn.Identity(), validation, shifts="grid:max=1,step=1").rows
    quality = rows[rows["draw"] == 0][["nmse", "psnr", "ssim"]].mean()
    return {str(name): float(value) for name, value in quality.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "models" / "weights")
