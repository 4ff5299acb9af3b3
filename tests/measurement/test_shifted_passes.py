"""One image under many shifts, in batches of one shape."""

import pytest
import torch

from equibench.errors import ModelError
from equibench.measurement.shifted_passes import shifted_outputs

IMAGE = torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(0))
SHIFTS = [(0, 1), (2, 0), (5, 7), (1, 1), (3, 4)]


def test_outputs_are_rolled_back_in_float64_from_batches_of_one_shape():
    shapes = []

    def model(x):
        shapes.append(tuple(x.shape))
        return x + torch.arange(8.0)

    parts = list(shifted_outputs(model, IMAGE, SHIFTS, 2, "net", "noise"))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert shapes == 3 * [(2, 1, 6, 8)]
    assert {part.dtype for part in parts} == {torch.float64}
    for (dy, dx), output in zip(SHIFTS, torch.cat(parts), strict=True):
        expected = torch.roll(model(torch.roll(IMAGE, (dy, dx), (-2, -1))), (-dy, -dx), (-2, -1))
        assert torch.equal(output, expected[0].double())


def test_a_model_that_refuses_is_named_with_the_place():
    def model(x):
        raise ValueError("no")

    with pytest.raises(ModelError, match=r"net.*noise.*no"):
        list(shifted_outputs(model, IMAGE, SHIFTS, 2, "net", "noise"))
