"""Make the packaged weights, and the tables of what they are worth.

    python tools/train_samples.py [SUITE …] [--jobs N] [--seeds]

Trains the nine variants with the sample presets: at width 1/8 on MRI (a quarter of an hour each on
one core) and from there on CT (about half an hour), at width 1/20 on labels (two minutes). Writes
``models/weights/VARIANT.SUITE.safetensors``, and ``results/weights.csv``, what images gained over
their input and what networks would lose without each level, and ``results/weights-of-labels.csv``.
What is there already is kept; an interrupted training is resumed. A network of MRI or CT with
faults (``faults``) is trained anew from the next of three seeds; the status is 1 if that of the
last one has some, too.

With ``--seeds`` three of the networks are trained from three seeds, for CT from two, and
``results/seeds-SUITE.csv`` has how equivariant they are.
"""

import argparse
import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import product
from math import isnan, nan
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

import equibench as eb
from equibench.loading.load import load_spec
from equibench.loading.suites import build_suite
from equibench.loading.weights import read_weights
from equibench.models.training.recipes import recipe
from equibench.models.training.train import train
from equibench.models.variants import VARIANTS
from equibench.registry.specs import Spec

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "models" / "weights"
OTHERS = ROOT / "results" / "runs" / "seeds"
"""Where weights stand that are not packaged, by seed."""
WIDE: Mapping[str, int | float] = {"width": 0.125}
LABELS: Mapping[str, int | float] = {"width": 0.05, "out_channels": 4}
TRAININGS = {
    "mri-sample": ("sample-mri-unet", WIDE, None),
    "ct-sample": ("sample-ct-unet", WIDE, "mri-sample"),
    "seg-sample": ("sample-seg", LABELS, None),
}
"""Preset and arguments of the networks, and whose packaged weights they begin with, by suite."""
DA = {"shift_augment": 16, "warmup": 100}

GAIN = 1.5
"""The least that a network improves its input by, in dB."""
LEVELS = {"mri-sample": (2, 4, 8, 16), "ct-sample": (2, 4, 8)}
"""Strides of the levels that a network has to use, by suite."""
COST = 0.2
"""The least that it costs to replace such a level by its mean, in dB."""
DEAD = 0.2
"""The largest share of channels of a level that are one value throughout all images."""
RISE = 0.2
"""The most that a last quarter of epochs may still have gained over the quarter before, in dB."""

SEEDS = (0, 1, 2)
"""Of initialisations, images and shifts, in the order in which they are tried."""


class Network(NamedTuple):
    """One network of those that are packaged."""

    suite: str
    variant: str
    augmented: bool = False

    @property
    def packaged(self) -> Path:
        return FOLDER / f"{self.variant}.{self.weights(self.suite)}.safetensors"

    def weights(self, suite: str) -> str:
        """What its weights for a suite are called."""
        return suite + ("-da" if self.augmented else "")

    def package(self) -> None:
        """Take the first seed whose network has no fault, or the last one."""
        if self.packaged.exists():
            return
        for seed in SEEDS:
            file = self.trained(seed)
            if self.suite not in LEVELS or not any(faults(line(file))):
                break
        shutil.move(file, self.packaged)

    def trained(self, seed: int) -> Path:
        """The weights from a seed, trained if they are not there."""
        if self.packaged.exists() and read_weights(self.packaged).trained["seed"] == seed:
            return self.packaged
        file = OTHERS / str(seed) / self.packaged.name
        if not file.exists():
            preset, arguments, start = TRAININGS[self.suite]
            train(
                Spec(self.variant, dict(arguments), weights=start and self.weights(start)),
                Spec(self.suite),
                recipe(preset, **(DA if self.augmented else {})),
                file,
                preset=preset,
                seed=seed,
                half=True,
            )
        return file


SEEDED = {"mri-sample": SEEDS, "ct-sample": SEEDS[:2]}
"""From which seeds networks are trained to tell what is chance, by suite."""
COMPARED = (("unet-baseline", False), ("unet-baseline", True), ("unet-lpf-3", False))
"""Which networks are: variants, with random shifts or without."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the packaged weights.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", default=list(TRAININGS))
    parser.add_argument("--jobs", type=int, default=1, help="networks side by side, a core each")
    parser.add_argument("--seeds", action="store_true", help="train three from several seeds")
    chosen = parser.parse_args()
    if chosen.seeds:
        for suite in filter(SEEDED.get, chosen.suites):
            networks = [Network(suite, *each) for each in COMPARED]
            several = list(product(networks, SEEDED[suite]))
            work([partial(network.trained, seed) for network, seed in several], chosen.jobs)
            write(f"seeds-{suite}", [seed_line(*one) for one in several], ["network", "seed"])
        return 0
    for suite in chosen.suites:
        networks = [*(Network(suite, v) for v in VARIANTS), Network(suite, "unet-baseline", True)]
        work([network.package for network in networks], chosen.jobs)
    lines = [line(file) for file in sorted(FOLDER.glob("*.safetensors"))]
    images = [line for line in lines if "psnr" in line]
    write("weights", images, ["weights", "variant"])
    write("weights-of-labels", [line for line in lines if "dice" in line], ["weights", "variant"])
    wrong = [f"{one['variant']}, {one['weights']}: {f}" for one in images for f in faults(one)]
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


def work(trainings: Sequence[Callable[[], object]], side_by_side: int) -> None:
    """Train networks, each on one core."""
    with ProcessPoolExecutor(
        side_by_side, get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        for done in [pool.submit(training) for training in trainings]:
            done.result()


def seed_line(network: Network, seed: int) -> dict[str, object]:
    """How equivariant a network is on the images it knows, and on others."""
    file = network.trained(seed)
    said: dict[str, object] = {"network": network.variant + (" + DA" if network.augmented else "")}
    said |= {"seed": seed, "psnr": read_weights(file).trained["validation"]["psnr"]}
    _, arguments, _ = TRAININGS[network.suite]
    model = load_spec(Spec(network.variant, dict(arguments), weights=str(file))).model
    for suite in (network.suite, "photo-sample", "noise,n=12"):
        rows = eb.evaluate(model, suite, shifts="random:n=10,max=16", progress=False).rows
        said[f"eq_nmse on {suite.partition(',')[0]}"] = rows.query("draw > 0")["eq_nmse"].mean()
    return said | {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def faults(line: Mapping[str, Any]) -> Iterator[str]:
    """Why a network should not be packaged, sentence by sentence."""
    if not line["psnr_gain"] >= GAIN:
        yield f"it gains {line['psnr_gain']:.2f} dB over its input, below {GAIN}"
    for stride in LEVELS[line["weights"].removesuffix("-da")]:
        if not line[f"cost_{stride}"] >= COST:
            yield f"without stride {stride} it loses {line[f'cost_{stride}']:.2f} dB, below {COST}"
    if not line["dead"] <= DEAD:
        yield f"{line['dead']:.0%} of a level's channels are dead, above {DEAD:.0%}"
    if isnan(line["rise"]):
        yield "what its last quarter of epochs gained is not known"
    elif line["rise"] > RISE:
        yield f"its last quarter of epochs still gained {line['rise']:.2f} dB, above {RISE}"


def write(name: str, lines: Sequence[dict[str, object]], order: list[str]) -> None:
    """Write a table into ``results``."""
    table = pd.DataFrame(lines).sort_values(order, ascending=[False, True])
    decimals = {column: 4 for column in table.select_dtypes("number") if "nmse on" not in column}
    table.round(decimals).to_csv(ROOT / "results" / f"{name}.csv", index=False)
    print(table.drop(columns="sha256").to_string(index=False))


def line(file: Path) -> dict[str, object]:
    """What a weights file is worth on the validation part of its suite."""
    variant, weights, _ = file.name.split(".")
    trained = read_weights(file).trained
    said: dict[str, object] = {"variant": variant, "weights": weights, "seed": trained["seed"]}
    content = file.read_bytes()
    stored = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    after = trained["validation"]
    if trained["recipe"].get("task") == "segmentation":
        return said | after | stored
    before = input_quality(trained["suite"])
    said |= {f"{name}_of_input": before[name] for name in after} | after
    said |= {"psnr_gain": after["psnr"] - before["psnr"]}
    model = load_spec(Spec(variant, trained["arguments"], weights=str(file))).model
    levels = eb.ablate_levels(model, trained["suite"]).set_index("stride")
    said |= {f"cost_{s}": levels["psnr"][1] - levels["psnr"][s] for s in levels.index[1:]}
    history = trained.get("history")  # files from before there was one have none
    said |= {"dead": levels["dead"].max(), "rise": rise(history["psnr"]) if history else nan}
    return said | stored


def rise(values: Sequence[float]) -> float:
    """What the last quarter of epochs gained on average over the quarter before."""
    quarter = len(values) // 4
    last, before = values[-quarter:], values[-2 * quarter : -quarter]
    return sum(last) / quarter - sum(before) / quarter


@cache
def input_quality(suite: str) -> dict[str, float]:
    """Mean validation metrics of the inputs themselves: zero-filled images, or FBPs."""
    validation = build_suite(Spec(suite), {})
    rows = eb.evaluate(torch.nn.Identity(), validation, shifts="grid:max=1,step=1").rows
    quality = rows[rows["draw"] == 0].mean(numeric_only=True)
    return {str(name): float(value) for name, value in quality.items()}


if __name__ == "__main__":
    sys.exit(main())
