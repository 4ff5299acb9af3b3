"""Where images lie in the batches: the floor elsewhere than its reference, others undisturbed."""

import pytest
import torch

import equibench as eb
from equibench.errors import DataError
from equibench.evaluation.model_on_suite import Evaluation
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings


class Volumes(eb.Suite):
    """Three volumes; the corner pixel says which slice it is, and that it is not shifted."""

    name = "volumes"

    def __init__(self, slices, broken=""):
        self.slices, self.broken = slices, broken
        self.images_per_case = slices

    def cases(self):
        return ["first", "second", "third"]

    def load(self, name):
        if name == self.broken:
            raise DataError(f"{name} is broken")
        images = torch.zeros(self.slices, 1, 8, 8)
        first = 100 * (1 + self.cases().index(name))
        images[:, 0, 0, 0] = torch.arange(first, first + self.slices)
        return eb.Case(name=name, input=images)


def slots(suite, batch, shifts):
    """The slots of a batch that every unshifted slice passes in, by slice."""
    found = {}

    def model(x):
        for slot, corner in enumerate(x[:, 0, 0, 0].tolist()):
            if corner:
                found.setdefault(int(corner), []).append(slot)
        return x

    config = RunConfig(models=("m",), suites=("s",), shifts=shifts, batch=batch, device="cpu")
    with Evaluation(model, "net", suite, Settings.of(config)).ready() as measure:
        measure(suite.cases())
    return found


@pytest.mark.parametrize("slices", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("batch", [2, 3, 4])
def test_every_slice_meets_itself_in_another_slot_for_its_floor(slices, batch):
    found = slots(Volumes(slices), batch, "random:n=1,max=4")
    assert len(found) == 3 * slices
    for reference, floor, *_ in found.values():
        assert reference != floor


@pytest.mark.parametrize("shifts", [1, 2, 3])
def test_images_after_a_broken_one_pass_in_the_slots_that_they_would_have_had(shifts):
    whole, rest = (
        slots(Volumes(1, broken), 4, f"random:n={shifts},max=4") for broken in ("", "second")
    )
    assert rest == {image: found for image, found in whole.items() if not 200 <= image < 300}
