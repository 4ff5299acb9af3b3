"""Contract tests for plugins: one line in an author's own tests holds a plugin to what it promises.

>>> from equibench.testing import check_transform
>>> check_transform("d4")
"""

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equibench.cases.suite import Suite
from equibench.errors import DataError
from equibench.evaluation.evaluate import evaluate
from equibench.foundation.seeds import generator
from equibench.loading.suites import suite_of
from equibench.measurement.batching import load_case, moving
from equibench.metrics.metric import Metric
from equibench.registry.registries import METRICS
from equibench.transforms.contract import prove_group, prove_inverse
from equibench.transforms.transform import Size, Transform
from equibench.transforms.transform_specs import parse_transform

__all__ = ["check_metric", "check_model", "check_suite", "check_transform"]

_SIZES: tuple[Size, ...] = ((64, 64), (65, 77))
"""Square and even; neither."""


def check_transform(transform: Transform | str, sizes: Sequence[Size] = _SIZES) -> None:
    """A transform undoes what it does, draws the same elements again, and is a group if it says so.

    Args:
        transform: one, or its name and plan as on the command line.
        sizes: of images, in pixels.

    Raises:
        AssertionError: it does not keep that.
        UsageError: an inverse or a composition that is wrong, or it raises.
    """
    if isinstance(transform, str):
        transform = parse_transform(transform)
    for size in sizes:
        with moving(transform):
            prove_inverse(transform, size)
            if transform.group:
                prove_group(transform, size)
            drawn = [transform.elements(0, "suite", "case", size) for _ in range(2)]
            assert drawn[0].tolist() == drawn[1].tolist(), "the same case has other elements again"
            assert len(drawn[0]), f"there are no elements for images of {size}"
            assert drawn[0].shape[1] == len(transform.identity(size)), (
                f"its elements have {drawn[0].shape[1]} numbers, its identity "
                f"{len(transform.identity(size))}"
            )
            count = transform.count(len(size))
            assert count in (None, len(drawn[0])), (
                f"count() says {count} for images of {size}, which have {len(drawn[0])} elements"
            )
            _check_batch(transform, size, drawn[0].tolist())


def _check_batch(transform: Transform, size: Size, elements: Sequence[Sequence[float]]) -> None:
    """Several images at once are moved and undone as each by itself."""
    for element in elements[:4]:
        images = list(_noise(2, 2, *size))
        each = torch.from_numpy(np.array([element, element]))
        moved = transform.apply(images, each)
        alone = torch.stack([transform.move(image, element) for image in images])
        assert torch.equal(moved, alone), "apply() gives something else than move()"
        undone = transform.align(moved, each, size)
        alone = torch.stack([transform.undo(image, element, size) for image in moved])
        assert torch.equal(undone, alone), "align() gives something else than undo()"


def check_suite(suite: Suite | str, cases: int = 3) -> None:
    """A suite names its cases cheaply and in one order, and the same case loads the same again.

    Args:
        suite: one, or what stands for it on the command line.
        cases: how many of them are loaded.

    Raises:
        AssertionError: it does not keep that.
        DataError: a case cannot be measured.
    """
    suite = suite_of(suite)
    names = list(suite.cases())
    assert names, f"{suite.label} has no cases"
    assert names == list(suite.cases()), f"{suite.label} gives its cases in another order again"
    assert len(set(names)) == len(names), f"{suite.label} has two cases of one name"
    for name in islice(names, cases):
        once, again = load_case(suite, name), load_case(suite, name)
        for case in (once, again):
            if isinstance(case, DataError):
                raise case
        assert not isinstance(once, DataError)
        assert not isinstance(again, DataError)
        assert torch.equal(once.input, again.input), f"case {name} loads another input again"
        assert (once.target is None) == (again.target is None), f"case {name} has a truth at times"
        if once.target is not None and again.target is not None:
            assert torch.equal(once.target, again.target), f"case {name} has another truth again"
            assert len(once.target) == len(once.input), f"case {name} has a truth for each image"
        for what, units in zip(("scale", "offset"), once.units(), strict=True):
            assert units.shape == (len(once.input),), f"case {name}: {what} is one for each image"
        assert once.input.ndim == suite.axes + 2, (
            f"case {name} has an input {tuple(once.input.shape)}, and the suite axes = {suite.axes}"
        )


def check_model(
    model: Callable[[Tensor], Tensor] | str, size: Sequence[int] = (1, 64, 64)
) -> pd.DataFrame:
    """A model takes images of a size, gives the same once more, and is measured.

    Args:
        model: any callable, or what stands for it on the command line.
        size: of an image, (C, *size).

    Returns:
        Its summary.

    Raises:
        ModelError: it raises, or returns what cannot be measured.
        AssertionError: it gives the same image another output, or one that is not finite.
    """
    result = evaluate(model, _noise(2, *size), shifts="random:n=3,max=8", progress=False)
    repeats = result.repeatability
    assert repeats is None or not repeats.kind, f"the model {repeats.kind}: {repeats.nmse:.2g}"
    assert result.rows["eq_nmse"].notna().all(), "the model gives outputs that are not finite"
    return result.summary


def check_metric(metric: Metric | str) -> None:
    """A metric is at its best for equal images, worse for others, additive, and within its bounds.

    Raises:
        AssertionError: it does not keep that.
    """
    if isinstance(metric, str):
        metric = METRICS.get(metric).require()
    assert isinstance(metric, Metric), f"a {type(metric).__name__} is no Metric"
    reference = _noise(3, 2, 24, 32).double()
    r = torch.full((3,), 5.0, dtype=torch.float64)
    values = [metric(reference, reference + e * reference.flip(0), r) for e in (0.0, 0.1, 1.0)]
    low, high = metric.bounds
    for value in values:
        assert value.shape == (3,), f"{metric.name} gives {tuple(value.shape)} for 3 images"
        assert not value.isnan().any(), f"{metric.name} is NaN"
        assert ((value >= low) & (value <= high)).all(), f"{metric.name} leaves {low} … {high}"
    same, near, far = (value * (-1 if metric.higher_is_better else 1) for value in values)
    best = high if metric.higher_is_better else low
    assert (values[0] == best).all(), f"{metric.name} of equal images is {values[0]}, not {best}"
    assert (same < near).all(), f"{metric.name} does not tell an image from another"
    assert (near < far).all(), f"{metric.name} does not tell far from near"
    prepared = metric.prepare(reference, r)
    parts = metric.partials(prepared, reference * 1.1, None)
    for image in range(3):
        one = metric.prepare(reference[image : image + 1], r[:1])
        alone = metric.partials(one, reference[image : image + 1] * 1.1, None)[0]
        assert torch.allclose(parts[image], alone, rtol=1e-9), (
            f"{metric.name} of an image depends on the others of its batch"
        )
    format(float(values[1][0]), metric.format)


def _noise(*shape: int) -> Tensor:
    return torch.from_numpy(generator("testing", *shape).standard_normal(shape)).float()
