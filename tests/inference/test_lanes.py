"""On a CPU every core takes batches of its own; that changes nothing but the time it takes."""

import threading
import time

import pandas as pd
import pytest
import torch
from torch import nn

import equibench as eb
from equibench.inference.parallel_copies import Lanes, side_by_side
from equibench.inference.placement import placed

CPU = torch.device("cpu")
PATIENCE = 600
"""Seconds until something that never comes fails a test."""


class Volumes(eb.ImageCases):
    """Cases of three slices each, so that references are spread over batches."""

    def cases(self):
        return ["a", "b", "c"]

    def load(self, name):
        first = 3 * "abc".index(name)
        part = slice(first, first + 3)
        return eb.Case(name=name, input=self.images[part], target=self.targets[part])


class Slow(nn.Module):
    """Keeps its input for later, as some networks keep features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
        self.kept = None

    def forward(self, x):
        self.kept = x
        time.sleep(0.002)
        return self.conv(self.kept)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def volumes():
    torch.manual_seed(0)
    return Volumes(torch.rand(9, 1, 32, 32), torch.rand(9, 1, 32, 32))


def measured(model, cores, **options):
    torch.set_num_threads(cores)
    return eb.evaluate(model, volumes(), progress=False, **options).rows


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("frame", ["canonical", "reference"])
def test_rows_are_the_same_however_many_lanes_there_are(batch, frame):
    options = {"batch": batch, "frame": frame}
    alone = measured("unet-aps-2,width=0.05", 1, **options)
    for cores in (2, 3):
        together = measured("unet-aps-2,width=0.05", cores, **options)
        pd.testing.assert_frame_equal(alone, together, check_exact=True)


@pytest.mark.slow
def test_a_model_that_keeps_something_is_not_confused():
    torch.manual_seed(0)
    model = Slow()
    pd.testing.assert_frame_equal(measured(model, 1), measured(model, 4), check_exact=True)


def lanes(model, cores=3):
    """How many lanes a model is given, and why no more."""
    torch.set_num_threads(cores)
    with placed(model, CPU, "fp32") as forward:
        return len(side_by_side(forward)), forward.notes


def test_every_core_has_a_lane():
    assert lanes(nn.Conv2d(1, 1, 1)) == (3, [])


class Late(nn.Module):
    """A lambda made in ``__init__`` reads ``self``, which is the original in every copy."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
        self.act = lambda: self.conv(self.kept)

    def forward(self, x):
        self.kept = x
        time.sleep(0.001)
        return self.act()


def test_copies_that_reach_the_original_are_not_used_and_a_note_says_so():
    number, notes = lanes(Late())
    assert number == 1
    assert notes == ["images pass one batch at a time: copies would share the network"]


@pytest.mark.slow
def test_an_equivariant_network_whose_lambda_reads_self_has_no_error():
    torch.manual_seed(0)
    for _ in range(3):
        rows = measured(Late(), 4)
        assert rows["eq_nmse"].max() < 1e-11


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["not thread-safe", "hooked", "compiled", "cannot be copied", "one core"]
)
def test_what_may_share_more_than_parameters_stays_alone(kind):
    model = nn.Conv2d(1, 1, 1)
    if kind == "not thread-safe":
        model.thread_safe = False
    elif kind == "hooked":
        model.register_forward_hook(lambda *given: None)
    elif kind == "compiled":
        model.compile(backend="eager")
    elif kind == "cannot be copied":
        model.lock = threading.Lock()
    assert lanes(model, 1 if kind == "one core" else 3)[0] == 1


def test_a_function_is_called_from_one_thread():
    names = set()

    def model(x):
        names.add(threading.current_thread())
        return x

    measured(model, 3)
    assert names == {threading.main_thread()}


def test_lanes_share_parameters_and_nothing_else():
    torch.set_num_threads(3)
    model = nn.BatchNorm2d(1)
    with placed(model, CPU, "fp32") as forward:
        first, *others = (each.model for each in side_by_side(forward))
    assert first is model
    assert len(others) == 2
    for other in others:
        assert other.weight is model.weight
        assert other.running_mean is not model.running_mean
        assert not other.training


def test_results_come_in_order():
    def task(number):
        def work(lane):
            time.sleep(0.02 if number == 0 else 0)
            return number, torch.is_grad_enabled(), torch.get_num_threads()

        return work

    found = list(Lanes("abc").in_order(task(number) for number in range(20)))
    assert found == [(number, False, 1) for number in range(20)]


def test_nothing_is_under_way_after_a_failure():
    running = set()

    def task(number):
        def work(lane):
            running.add(number)
            time.sleep(0.01)
            if number == 3:
                raise ValueError(number)
            running.remove(number)

        return work

    with pytest.raises(ValueError, match="3"):
        list(Lanes("ab").in_order(task(number) for number in range(20)))
    assert running == {3}


@pytest.mark.parametrize("call", [1, 2, 9])
def test_a_model_that_fails_in_one_lane_is_named(call):
    calls = iter(range(1, 1000))

    class Failing(nn.Module):
        def forward(self, x):
            if next(calls) >= call:
                raise ValueError("too many")
            return x

    with pytest.raises(eb.ModelError, match="Failing raised ValueError on images, case"):
        measured(Failing(), 3)


def test_lanes_leave_the_threads_of_others_alone():
    torch.set_num_threads(3)
    list(Lanes("abc").in_order([lambda lane: None] * 3))
    found = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [3]
    assert torch.get_num_threads() == 3
