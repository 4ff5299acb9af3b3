"""Train the networks of the board that are compared after equal training.

    python tools/train_board.py [LABEL …] [--jobs N]

They are those of ``results/board/board.toml`` whose weights stand in ``results/runs/alike``:
library networks from scratch, on the same images of ``mri-sample`` in the same order, for the same
steps. What is there is kept; an interrupted training goes on.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from train_samples import work

from equibench.board.definition import read_board
from equibench.models.training.recipes import recipe
from equibench.models.training.train import train
from equibench.registry.specs import Spec

ROOT = Path(__file__).resolve().parent.parent
BOARD = ROOT / "results/board/board.toml"
FOLDER = Path("results/runs/alike")
"""Of weights, within the repository, as the board names them; too large to be kept in it."""

SUITE = "mri-sample"
RECIPE = recipe("sample-mri", batch=2, drawn=400, epochs=4)
"""Whole images: parts would begin anywhere, which moves images, and networks that normalise each
image have other statistics on parts. Two at a time, since larger ones take hours."""


def alike() -> Iterator[Spec]:
    """The networks of the board that are trained here."""
    for planned in read_board(BOARD).planned:
        spec = Spec.parse(planned.model)
        if spec.weights and Path(spec.weights).parent == FOLDER:
            yield spec


def make(spec: Spec) -> None:
    """Train a network into the file that the board names, if it is not there."""
    file = ROOT / str(spec.weights)
    if not file.exists():
        untrained = Spec(spec.reference, dict(spec.arguments))
        train(untrained, Spec(SUITE), RECIPE, file, preset="sample-mri", half=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Train networks of the board alike.")
    parser.add_argument("labels", nargs="*", metavar="LABEL", help="all by default")
    parser.add_argument("--jobs", type=int, default=1, help="networks side by side, a core each")
    chosen = parser.parse_args()
    specs = {spec.label: spec for spec in alike()}
    if unknown := set(chosen.labels) - specs.keys():
        print(f"{sorted(unknown)[0]!r} is none of {', '.join(specs)}", file=sys.stderr)
        return 2
    work([partial(make, specs[label]) for label in chosen.labels or specs], chosen.jobs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
