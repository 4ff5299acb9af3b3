"""What callers hand over as a suite: names, images and suites, none of which is changed."""

import pytest
import torch

import equibench as eb
from equibench.loading.suites import suite_of


def test_a_suite_of_the_callers_is_not_changed():
    suite = eb.ImageCases(torch.ones(1, 1, 8, 8))
    assert suite_of(suite).label == "images"
    assert suite.label == ""


def test_a_label_that_the_caller_chose_is_kept():
    suite = eb.ImageCases(torch.ones(1, 1, 8, 8))
    suite.label = "mine"
    assert suite_of(suite) is suite


def test_a_name_with_arguments_is_the_suite_of_the_command_line():
    assert eb.load_suite("noise,n=2,size=8").cases() == suite_of("noise,n=2,size=8").cases()


def test_what_is_no_suite_is_refused_with_what_would_be():
    with pytest.raises(eb.UsageError, match="int is no suite: give a name, an equibench Suite"):
        suite_of(1)


def test_ground_truths_for_a_suite_are_refused():
    with pytest.raises(eb.UsageError, match="targets is for images: a suite brings its own"):
        suite_of("noise,n=1,size=8", torch.ones(1, 1, 8, 8))


class Odd(eb.ImageCases):
    """Lists what it is told to, or raises it."""

    def __init__(self, listed):
        super().__init__(torch.ones(1, 1, 8, 8))
        self.label, self.listed = "odd", listed

    def cases(self):
        if isinstance(self.listed, BaseException):
            raise self.listed
        return self.listed


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([], "suite 'odd' has no cases"),
        (["a", "a"], "suite 'odd' has 2 cases called 'a'"),
        (["b\udcff"], r"suite 'odd' has a case b\xff, a name that is no UTF-8: give it another"),
        (OSError("gone"), "suite 'odd' cannot list its cases: OSError: gone"),
        (SystemExit(3), "suite 'odd' cannot list its cases: SystemExit: 3"),
    ],
)
def test_cases_that_cannot_be_listed_or_stored_are_one_line(listed, message):
    with pytest.raises(eb.EquibenchError) as refused:
        eb.evaluate(lambda x: x, Odd(listed), progress=False)
    assert str(refused.value) == message
