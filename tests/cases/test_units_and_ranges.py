"""A case's numbers: images in memory, units of the ground truth, and data ranges."""

import pytest
import torch

import equibench as eb
from equibench.cases.suite import data_range, images_in_units, in_units, suite_conditions
from equibench.errors import UsageError


def test_images_in_memory_are_cases_one_by_one():
    images, targets = torch.rand(3, 1, 4, 4), torch.rand(3, 2, 4, 4)
    suite = eb.ImageCases(images, targets)
    assert suite.cases() == ["00000", "00001", "00002"]
    case = suite.load("00001")
    assert case.name == "00001"
    assert torch.equal(case.input, images[1:2])
    assert torch.equal(case.target, targets[1:2])
    assert eb.ImageCases(images).load("00002").target is None


def test_outputs_are_clamped_on_both_sides_then_scaled_then_moved():
    outputs = torch.tensor([-9.0, 2.0, 9.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 2)
    scale, offset = (torch.tensor(v, dtype=torch.float64) for v in ([2.0, 10.0], [1.0, -1.0]))
    clamped = in_units(outputs, 6.0, scale, offset)
    assert clamped.flatten().tolist() == [-11, 5, 59, 9]
    assert in_units(outputs, None, scale, offset).flatten().tolist() == [-17, 5, 89, 9]


def test_what_is_added_afterwards_is_clamped_as_if_it_had_been_before():
    outputs = torch.tensor([-9.0, 2.0, 9.0, 5.0], dtype=torch.float64).reshape(2, 1, 1, 2)
    scale, offset = (torch.tensor(v, dtype=torch.float64) for v in ([2.0, 10.0], [1.0, -1.0]))
    added = torch.tensor([1.5, -2.5], dtype=torch.float64)[:, None, None, None]
    late = in_units(outputs - added, 6.0, scale, offset, added) + added * scale[:, None, None, None]
    torch.testing.assert_close(late, in_units(outputs, 6.0, scale, offset))


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_no_clamp_hides_what_is_not_finite(value):
    one = torch.ones(1, dtype=torch.float64)
    assert in_units(value * one[:, None, None, None], 6.0, one, one).isnan().all()


@pytest.mark.parametrize(("rule", "expected"), [("max", 5.0), ("range", 7.0)])
def test_the_data_range_is_the_maximum_or_maximum_minus_minimum(rule, expected):
    r = data_range(rule, torch.tensor([[5.0, -2.0], [0.0, 3.0]], dtype=torch.float16))
    assert (r.item(), r.dtype, r.ndim) == (expected, torch.float64, 0)


def test_two_suites_are_the_same_where_name_version_arguments_and_cases_are():
    suite = eb.ImageCases(torch.rand(2, 1, 4, 4), name="photos")
    said = suite_conditions(suite, ["a", "b"])
    assert said == {"name": "photos", "version": 1, "arguments": {}, "cases": said["cases"]}
    assert said["cases"].startswith("2 (")
    others = (["b", "a"], ["ab", ""], ["a", "c"])
    assert said["cases"] not in [suite_conditions(suite, cases)["cases"] for cases in others]


def test_a_case_without_units_has_a_scale_of_one_and_no_offset():
    images = torch.zeros(3, 1, 4, 5)
    own = torch.tensor([1.0, 2.0, 3.0])
    plain, scaled = eb.Case("a", images), eb.Case("a", images, scale=own, offset=-own)
    given = [tuple(each.tolist() for each in case.units()) for case in (plain, scaled)]
    assert given == [([1, 1, 1], [0, 0, 0]), ([1, 2, 3], [-1, -2, -3])]
    assert {each.dtype for case in (plain, scaled) for each in case.units()} == {torch.float64}


@pytest.mark.parametrize("size", [(9,), (9, 8), (9, 8, 7)])
def test_images_in_memory_have_as_many_axes_as_are_in_space(size):
    assert eb.ImageCases(torch.zeros(2, 1, *size)).axes == len(size)


def test_images_of_a_case_are_brought_into_the_units_of_its_truth():
    images = torch.tensor([-3.0, 0.0, 3.0]).reshape(3, 1, 1, 1)
    case = eb.Case(
        "a", images, scale=torch.tensor([1.0, 2, 3]), offset=torch.tensor([10.0, 20, 30])
    )
    assert images_in_units(case, images, clamp=2.0).flatten().tolist() == [8, 20, 36]
    assert images_in_units(case, images, clamp=None).flatten().tolist() == [7, 20, 39]


def test_a_suite_that_cannot_draw_says_what_to_take():
    with pytest.raises(UsageError, match="suite 'photos' has no images to draw: take --drawn 0"):
        eb.ImageCases(torch.zeros(1, 1, 4, 4), name="photos").draw(0, 0)
