"""Which images pass, in which order, with which shifts; and how cases are loaded ahead."""

from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import equibench as eb
from equibench.errors import DataError, UsageError
from equibench.measurement.batching import Loader, OpenCase, items, load_case, moving
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import parse_shifts

CPU = torch.device("cpu")
NOT_FLOAT = ", not a float tensor (N, C, H, W), nor a signal (N, C, L) or a volume (N, C, D, H, W)"


class Recorded(eb.Suite):
    """Says which cases were loaded, and when; cases of ``shapes`` (N, C, H, W)."""

    name = "recorded"

    def __init__(self, *shapes, broken=()):
        self.shapes, self.broken = shapes or 4 * ((1, 1, 8, 8),), broken
        self.loaded, self.cores = [], []
        self.done = {name: Event() for name in self.cases()}

    def cases(self):
        return list("abcdefg"[: len(self.shapes)])

    def load(self, name):
        self.loaded.append(name)
        self.cores.append(torch.get_num_threads())
        self.done[name].set()
        if name in self.broken:
            raise DataError(f"{name} is broken")
        return eb.Case(name, torch.rand(self.shapes[self.cases().index(name)]))


def settings(shifts="random:n=2,max=4", batch=2, seed=0):
    fields = {"shifts": shifts, "batch": batch, "seed": seed, "device": "cpu"}
    return Settings.of(RunConfig(models=("m",), suites=("s",), **fields))


def test_while_a_case_is_measured_the_next_one_is_loaded_and_no_other():
    suite = Recorded()
    with Loader(suite, CPU) as load:
        load.expect("abcd")
        for asked, following in zip("abc", "bcd", strict=True):
            assert load(asked).name == asked
            assert suite.done[following].wait(60)
            assert suite.loaded == list("abcd"[: "abcd".index(following) + 1])


def test_every_case_is_loaded_once_whether_it_was_expected_or_not():
    suite = Recorded()
    with Loader(suite, CPU) as load:
        load.expect("ab")
        load.expect("abd")
        assert [load(name).name for name in "abcd"] == list("abcd")
    assert sorted(suite.loaded) == list("abcd")


def test_a_case_that_is_asked_for_before_its_turn_is_not_loaded_again():
    suite = Recorded()
    with Loader(suite, CPU) as load:
        load.expect("abcd")
        assert suite.done["a"].wait(60)
        assert [load(name).name for name in "bacd"] == list("bacd")
    assert sorted(suite.loaded) == list("abcd")


def test_a_case_that_is_no_longer_expected_is_not_loaded():
    suite = Recorded()
    with Loader(suite, CPU) as load:
        load.expect("abc")
        load.expect("d")
        load("d")
    assert set(suite.loaded) <= {"a", "d"}


def test_loading_takes_one_core_from_the_model():
    suite, before = Recorded(), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Loader(suite, CPU) as load:
            load("a")
    finally:
        torch.set_num_threads(before)
    assert suite.cores == [1]


@pytest.mark.parametrize("seed", [0, 7])
def test_shifts_are_drawn_by_the_name_of_the_suite_the_case_and_the_seed(seed):
    """A suite that is only called otherwise in tables has the same shifts."""
    suite = Recorded((1, 1, 8, 12))
    suite.label = "ours"
    plan = "random:n=5,max=16"
    rows = eb.evaluate(lambda x: x, suite, shifts=plan, seed=seed, device="cpu").rows
    expected = parse_shifts(plan).shifts(seed, "recorded", "a", (8, 12))
    np.testing.assert_array_equal(rows.loc[rows["draw"] > 0, ["dy", "dx"]], expected)


@pytest.mark.parametrize("other", [(1, 3, 8, 8), (1, 1, 8, 16), (1, 1, 16, 8)])
def test_images_of_different_sizes_or_channels_share_no_batch(other):
    seen = []

    def model(x):
        seen.append(tuple(x.shape))
        return x

    eb.evaluate(model, Recorded((1, 1, 8, 8), other), shifts="random:n=1,max=2", device="cpu")
    assert set(seen) == {(2, 1, 8, 8), (2, *other[1:])}


def passed(suite, options):
    broken = {}
    with Loader(suite, CPU) as load:
        order = list(items(suite, suite.cases(), options, load, broken))
    return [(i.case.name if i.case else None, i.image, i.draw) for i in order], list(
        map(str, broken.values())
    )


def test_a_volume_passes_unshifted_twice_and_then_shift_by_shift():
    order, _ = passed(Recorded((2, 1, 8, 8)), settings(batch=3))
    unshifted = [("a", 0, None), ("a", 1, None), ("a", 0, 0), ("a", 1, 0)]
    assert order == [*unshifted, ("a", 0, 1), ("a", 1, 1), ("a", 0, 2), ("a", 1, 2)]


def test_a_broken_case_keeps_as_many_places_as_it_has_images_where_that_is_known():
    shapes = 2 * ((1, 1, 4, 4),)
    order, broken = passed(Recorded(*shapes, broken="a"), settings("random:n=3,max=2"))
    assert broken == ["a is broken"]
    assert order[:5] == 5 * [(None, 0, None)]
    assert [name for name, *_ in order[5:]] == 5 * ["b"]
    order, broken = passed(Recorded(*shapes, broken="a"), settings("all"))
    assert broken == ["a is broken"]
    assert {name for name, *_ in order} == {"b"}


class Gives(eb.Suite):
    name, label = "odd", "mine"

    def __init__(self, given):
        self.given = given

    def cases(self):
        return ["a"]

    def load(self, name):
        return self.given() if callable(self.given) else self.given


def quits():
    raise SystemExit(3)


def fails():
    raise OSError("disk on fire\nand more")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "mine, case a: load() gave no Case with a tensor as input"),
        (
            eb.Case("a", np.zeros((1, 1, 8, 8))),
            "mine, case a: load() gave no Case with a tensor as input",
        ),
        (
            eb.Case("a", torch.zeros(8, 8)),
            f"mine, case a: the input is torch.float32 (8, 8){NOT_FLOAT}",
        ),
        (
            eb.Case("a", torch.zeros(0, 1, 8, 8)),
            f"mine, case a: the input is torch.float32 (0, 1, 8, 8){NOT_FLOAT}",
        ),
        (
            eb.Case("a", torch.zeros(1, 1, 8, 8, dtype=torch.int64)),
            f"mine, case a: the input is torch.int64 (1, 1, 8, 8){NOT_FLOAT}",
        ),
        (
            eb.Case("a", torch.full((1, 1, 8, 8), torch.nan)),
            "mine, case a: the input is not finite",
        ),
        (
            eb.Case("a", torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), torch.inf)),
            "mine, case a: the ground truth is not finite",
        ),
        (quits, "mine cannot load case a: SystemExit: 3"),
        (fails, "mine cannot load case a: OSError: disk on fire and more"),
    ],
)
def test_a_case_that_cannot_be_measured_is_named_in_one_line(given, message):
    found = load_case(Gives(given), "a")
    assert isinstance(found, DataError)
    assert str(found) == message


def test_a_case_goes_by_the_name_that_it_was_asked_for_by():
    image = torch.zeros(1, 1, 8, 8)
    assert load_case(Gives(eb.Case("of its own", image)), "a").name == "a"


@pytest.mark.parametrize("error", [eb.UsageError("no root"), eb.UnavailableError("no extra")])
def test_what_stops_a_whole_suite_is_no_fault_of_a_case(error):
    def stops():
        raise error

    with pytest.raises(type(error)):
        load_case(Gives(stops), "a")


@pytest.mark.parametrize("truth", [True, False])
def test_images_on_their_way_to_a_gpu_are_pinned_with_their_truth(monkeypatch, truth):
    pinned = []
    monkeypatch.setattr(
        torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor.clone()) or pinned[-1]
    )
    images, targets = torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4) if truth else None
    with Loader(eb.ImageCases(images, targets), torch.device("cuda")) as load:
        case = load("00000")
    found = [case.input, case.target] if truth else [case.input]
    assert {id(each) for each in found} == {id(each) for each in pinned}
    assert all(map(torch.equal, found, (images, targets)))
    assert (case.target is None) != truth


def test_what_a_transform_raises_names_it_by_label_or_class():
    for transform, name in (
        (SimpleNamespace(label="mine"), "mine"),
        (SimpleNamespace(label=""), "SimpleNamespace"),
    ):
        said = f"transform {name} cannot move images: ValueError: no"
        with pytest.raises(UsageError, match=said), moving(transform):
            raise ValueError("no")


def test_those_who_wait_for_references_hear_the_first_error():
    transform = Circular(parse_shifts("random:n=1,max=2"))
    case = OpenCase(eb.Case("a", torch.rand(1, 1, 4, 4)), transform, np.ones((1, 2), int), CPU)
    for message in ("first", "second"):
        case.fail(ValueError(message))
    with pytest.raises(ValueError, match="first"):
        case.closed.result()
