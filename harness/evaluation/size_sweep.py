"""At which sizes of images which shifts commute with a model: exact at 320 says nothing of 324."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

from torch import Tensor

from equibench.cases.suite import ImageCases
from equibench.errors import ModelError, UsageError
from equibench.evaluation.model_on_suite import Evaluation
from equibench.transforms.transform import Size, inside

__all__ = ["AtSize", "parse_sizes", "sweep"]

_MOST = 512
"""Sizes of one sweep."""


@dataclass(frozen=True)
class AtSize:
    """What was found at one size.

    Args:
        size: side of the square images, in pixels (length of signals, side of volumes).
        stride: whose multiples commute; None where only whole turns do, or the model refused.
        refusal: why the model takes no such images; empty where it does.
        deviation: where no shift commutes, the smallest NMSE at any.
    """

    size: int
    stride: Size | None
    refusal: str = ""
    deviation: float = 0.0


def parse_sizes(text: str) -> range:
    """Read ``64..96``, or ``64..96:4`` for every fourth.

    Raises:
        UsageError: it is no range of sizes, or one of too many.
    """
    match = re.fullmatch(r"\s*(\d+)\s*\.\.\s*(\d+)\s*(?::\s*(\d+))?\s*", text)
    sizes = range(0)
    if match and int(match[3] or 1):
        sizes = range(int(match[1]), int(match[2]) + 1, int(match[3] or 1))
    if not sizes or sizes[0] < 2:
        raise UsageError(f"--sizes {text} is no range of sizes: write --sizes 64..96, or 64..96:4")
    if len(sizes) > _MOST:
        step = ceil((sizes[-1] - sizes[0]) / _MOST)
        raise UsageError(
            f"--sizes {text} are {len(sizes)} sizes, more than {_MOST}: write "
            f"--sizes {sizes[0]}..{sizes[-1]}:{step}"
        )
    return sizes


def sweep(evaluation: Evaluation, cases: Sequence[str], sizes: Sequence[int]) -> Iterator[AtSize]:
    """Probe a model at one size after the other, on noise and on parts of the images of cases.

    Raises:
        DataError: none of the cases can be loaded.
    """
    images = evaluation.first_images(cases)
    for size in sizes:
        suite = ImageCases(_of_size(images[0], size), name=f"{evaluation.suite.label} at {size}")
        suite.label = suite.name
        try:
            found = replace(evaluation, suite=suite, declared=None).probe(suite.cases())
        except ModelError as error:
            yield AtSize(size, None, str(error))
            continue
        stride = found.stride if found.periodic else None
        yield AtSize(size, stride, deviation=0.0 if found.periodic else found.deviation)


def _of_size(image: Tensor, size: int) -> Tensor:
    """The corner of an image (1, C, *size) that is repeated as often as it takes."""
    times = [ceil(size / n) for n in image.shape[2:]]
    return inside(image.repeat(1, 1, *times), (slice(0, size),) * len(times)).cpu()
