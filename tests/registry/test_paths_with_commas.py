"""What users type is read as they mean it, or answered with what they mean."""

import pytest

import equibench as eb
from equibench.errors import UsageError
from equibench.registry.specs import Spec


@pytest.mark.parametrize(
    "text", ["/a/b,c/net.py:build,width=2", "'/a/b,c/net.py:build',width=2",
             '"/a/b,c/net.py:build",width=2', "'/a/b,c/net.py':build,width=2"],
)  # fmt: skip
def test_a_comma_in_a_path_parts_nothing(text):
    spec = Spec.parse(text)
    assert (spec.reference, spec.arguments) == ("/a/b,c/net.py:build", {"width": 2})


def test_a_part_without_a_value_is_still_refused():
    with pytest.raises(UsageError, match="is not key=value"):
        Spec.parse("unet-aps,width")


def test_who_wants_fewer_cases_is_told_the_option():
    with pytest.raises(UsageError, match=r"(?m); --limit takes the first cases$"):
        eb.evaluate(lambda x: x, "mri-sample,n=2")
    eb.evaluate(lambda x: x, "mri-sample", limit=1, shifts="grid:max=1,step=1", device="cpu")


@pytest.mark.parametrize("text", ["it's/net.py:build,width=2", '"it\'s/net.py:build",width=2'])
def test_an_apostrophe_in_a_path_is_a_letter(text):
    spec = Spec.parse(text)
    assert (spec.reference, spec.arguments) == ("it's/net.py:build", {"width": 2})
