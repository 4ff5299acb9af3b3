"""Make the packaged weights, and the tables of what they are worth.

    python tools/train_samples.py [SUITE]

Trains the nine variants on the embedded slices with the sample presets: at width 1/8 on MRI and CT
(about five minutes each on two cores), at width 1/20 on labels (about two minutes). Writes
``models/weights/VARIANT.SUITE.safetensors``, and ``results/weights.csv``, what images gained over
their input, and ``results/weights-of-labels.csv``. What is there already is kept; an interrupted
training is resumed.
"""

import sys
from collections.abc import Mapping, Sequence
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
WIDE: Mapping[str, int | float] = {"width": 0.125}
LABELS: Mapping[str, int | float] = {"width": 0.05, "out_channels": 4}
TRAININGS = {
    "mri-sample": ("sample", WIDE),
    "ct-sample": ("sample-ct", WIDE),
    "seg-sample": ("sample-seg", LABELS),
}
"""Preset and arguments of the networks, by suite."""
DA = {"shift_augment": 16, "warmup": 100}


def main(suites: Sequence[str]) -> None:
    for suite in suites:
        for variant, changes in [*((name, {}) for name in VARIANTS), ("unet-baseline", DA)]:
            file = FOLDER / f"{variant}.{suite}{'-da' if changes else ''}.safetensors"
            if not file.exists():
                preset, arguments = TRAININGS[suite]
                train(
                    Spec(variant, dict(arguments)),
                    Spec(suite),
                    recipe(preset, **changes),
                    file,
                    preset=preset,
                    half=True,
                )
    lines = [line(file) for file in sorted(FOLDER.glob("*.safetensors"))]
    write("weights", [line for line in lines if "psnr" in line])
    write("weights-of-labels", [line for line in lines if "dice" in line])


def write(name: str, lines: Sequence[dict[str, object]]) -> None:
    """Write a table of weights into ``results``."""
    table = pd.DataFrame(lines).round(4)
    table = table.sort_values(["weights", "variant"], ascending=[False, True])
    table.to_csv(ROOT / "results" / f"{name}.csv", index=False)
    print(table.to_string(index=False))


def line(file: Path) -> dict[str, object]:
    """What a weights file is worth on the validation part of its suite, and gained over inputs."""
    variant, weights, _ = file.name.split(".")
    trained = read_weights(file).trained
    said: dict[str, object] = {"variant": variant, "weights": weights}
    after, size = trained["validation"], {"bytes": file.stat().st_size}
    if trained["recipe"].get("task") == "segmentation":
        return said | after | size
    before = input_quality(trained["suite"])
    said |= {f"{name}_of_input": before[name] for name in after}
    return said | after | {"psnr_gain": after["psnr"] - before["psnr"]} | size


@cache
def input_quality(suite: str) -> dict[str, float]:
    """Mean validation metrics of the inputs themselves: zero-filled images, or FBPs."""
    validation = build_suite(Spec(suite), {})
    rows = eb.evaluate(torch.nn.Identity(), validation, shifts="grid:max=1,step=1").rows
    quality = rows[rows["draw"] == 0].mean(numeric_only=True)
    return {str(name): float(value) for name, value in quality.items()}


if __name__ == "__main__":
    main(sys.argv[1:] or list(TRAININGS))
