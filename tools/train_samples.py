"""Make the packaged weights, and the table of what they gained over their input.

    python tools/train_samples.py [SUITE]

Trains the nine variants at width 1/8 on the embedded MRI and CT slices with the sample presets
(about five minutes each on two cores), writes ``models/weights/VARIANT.SUITE.safetensors`` and
``results/weights.csv``. What is there already is kept; an interrupted training is resumed.
"""

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pandas as pd
import torch

import equibench as eb
from equibench.loading.suites import build_suite
from equibench.loading.weights import read_weights
from equibench.models.recipes import recipe
from equibench.models.training import train
from equibench.models.variants import VARIANTS
from equibench.registry.specs import Spec

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "models" / "weights"
WIDTH = 0.125
PRESETS = {"mri-sample": "sample", "ct-sample": "sample-ct"}
DA = {"shift_augment": 16, "warmup": 100}


def main(suites: Sequence[str]) -> None:
    for suite in suites:
        for variant, changes in [*((name, {}) for name in VARIANTS), ("unet-baseline", DA)]:
            file = FOLDER / f"{variant}.{suite}{'-da' if changes else ''}.safetensors"
            if not file.exists():
                preset = PRESETS[suite]
                train(
                    Spec(variant, {"width": WIDTH}),
                    Spec(suite),
                    recipe(preset, **changes),
                    file,
                    preset=preset,
                    half=True,
                )
    table = pd.DataFrame([line(file) for file in sorted(FOLDER.glob("*.safetensors"))]).round(4)
    table = table.sort_values(["weights", "variant"], ascending=[False, True])
    table.to_csv(ROOT / "results" / "weights.csv", index=False)
    print(table.to_string(index=False))


def line(file: Path) -> dict[str, object]:
    """What a weights file gained on the validation part of its suite."""
    variant, weights, _ = file.name.split(".")
    trained = read_weights(file).trained
    before, after = input_quality(trained["suite"]), trained["validation"]
    return (
        {"variant": variant, "weights": weights}
        | {f"{name}_of_input": before[name] for name in after}
        | after
        | {"psnr_gain": after["psnr"] - before["psnr"], "bytes": file.stat().st_size}
    )


@cache
def input_quality(suite: str) -> dict[str, float]:
    """Mean validation metrics of the inputs themselves: zero-filled images, or FBPs."""
    validation = build_suite(Spec(suite), {})
    rows = eb.evaluate(torch.nn.Identity(), validation, shifts="grid:max=1,step=1").rows
    quality = rows[rows["draw"] == 0].mean(numeric_only=True)
    return {str(name): float(value) for name, value in quality.items()}


if __name__ == "__main__":
    main(sys.argv[1:] or list(PRESETS))
