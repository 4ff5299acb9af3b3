"""Plans at the limits of what they take, and how many shifts they say they have."""

import numpy as np
import pytest

from equibench.errors import UsageError
from equibench.transforms.shift_plans import LARGEST, ShiftPlan, parse_shifts


def drawn(text, size=(32, 48)):
    return parse_shifts(text).shifts(0, "noise", "a", size).tolist()


def refusal(text):
    with pytest.raises(UsageError) as refused:
        parse_shifts(text)
    return str(refused.value)


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "shifts.csv"
        path.write_bytes(content)
        return f"file:{path}"

    return write


@pytest.mark.parametrize("text", ["random:n=7,max=4", "grid:max=6,step=4", "paper:passes=3"])
def test_the_count_is_how_many_shifts_a_case_gets(text):
    assert parse_shifts(text).count() == len(drawn(text))
    assert parse_shifts(text).covers((32, 48)) == 1
    assert parse_shifts(text).evidence == ""


def test_the_count_of_all_shifts_depends_on_the_image_and_that_of_a_file_on_its_lines(file):
    assert parse_shifts("all").count() is None
    assert parse_shifts("all").covers((32, 48)) == 1
    assert parse_shifts(file(b"dy,dx\n1,2\n3,4\n")).count() == 2


@pytest.mark.parametrize(
    ("text", "seeded"),
    [("random:n=1,max=1", True), ("paper", True), ("grid:max=1", False), ("all", False)],
)
def test_only_what_is_drawn_has_a_seed(text, seeded):
    assert parse_shifts(text).seeded == seeded
    assert not ShiftPlan.seeded


def test_random_shifts_can_be_all_there_are():
    assert sorted(drawn("random:n=3,max=1")) == [[-1, -1], [-1, 0], [0, -1]]
    assert refusal("random:n=4,max=1") == (
        "random:n=4,max=1: there are only 3 shifts other than zero on −1 … 0"
    )


def test_a_shift_that_moves_one_axis_alone_is_no_identity():
    assert {(y % 2, x % 5) for y, x in drawn("random:n=90,max=5", size=(2, 5))} == {
        (y, x) for y in range(2) for x in range(5) if (y, x) != (0, 0)
    }


def test_a_few_shifts_are_found_though_most_are_the_identity():
    """One in 32 moves an image of 1×2 pixels by an odd number of columns within ±1 … ±16."""
    assert all(x % 2 for _, x in drawn("random:n=20,max=16", size=(1, 2)))


@pytest.mark.parametrize(("plan", "field"), [("random:n=1,max={}", "max"), ("grid:max={}", "max")])
def test_no_shift_is_larger_than_any_image(plan, field):
    name = plan.partition(":")[0]
    assert refusal(plan.format(0)) == f"{name}:{field}=0: {field} is at least 1"
    assert refusal("grid:max=4,step=0") == "grid:step=0: step is at least 1"
    too_large = LARGEST + 1
    assert refusal(plan.format(too_large)) == (
        f"{name}:{field}={too_large}: {field} is at most {LARGEST}"
    )


def test_the_largest_shift_is_taken_as_it_is(file):
    assert drawn(file(f"dy,dx\n{LARGEST},{-LARGEST}\n".encode())) == [[LARGEST, -LARGEST]]
    assert len(drawn(f"random:n=2,max={LARGEST}")) == 2
    for line in (f"{LARGEST + 1},0", f"0,{-LARGEST - 1}"):
        assert ", line 2: not two integers dy,dx" in refusal(file(f"dy,dx\n{line}\n".encode()))


def test_a_grid_needs_a_shift_other_than_zero():
    assert refusal("grid:max=1,step=2") == "grid:max=1,step=2 has no shift other than zero"
    assert sorted(drawn("grid:max=1")) == [[-1, -1], [-1, 0], [0, -1]]
    assert sorted(drawn("grid:max=2,step=2")) == [[-2, -2], [-2, 0], [0, -2]]


def test_blanks_around_a_plan_and_its_settings_do_not_count():
    assert parse_shifts(" random:n = 3 , max=4 ") == parse_shifts("random:n=3,max=4")


def test_settings_that_a_plan_does_not_take_are_refused():
    assert "all takes no settings;" in refusal("all:n=3")
    assert "random takes n, max;" in refusal("random:n=3")
    assert refusal("file:").startswith("no shift plan is called 'file:'")
    assert refusal("paper:passes=0") == "paper:passes=0: passes is at least 1"


def test_a_file_of_a_spreadsheet_is_read(file, monkeypatch, tmp_path):
    assert drawn(file("\ufeffdy,dx\r\n-1, 2\r\n".encode())) == [[-1, 2]]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert drawn("file:~/shifts.csv") == [[-1, 2]]


def test_what_is_no_text_or_lacks_a_column_is_refused(file):
    assert "cannot read shifts from " in refusal(file(b"dy,dx\n\xff\xfe\n"))
    assert ", line 2: not two integers dy,dx" in refusal(file(b"dy,dx\n1\n"))
    assert ", line 2: not two integers dy,dx" in refusal(file(b"dy\n1\n"))


def test_a_file_of_shifts_has_as_many_columns_as_images_have_axes(file):
    assert parse_shifts(file(b"dx\n1\n")).shifts(0, "noise", "a", (32,)).tolist() == [[1]]
    volumes = parse_shifts(file(b"dz,dy,dx\n1,2,3\n"))
    assert volumes.shifts(0, "noise", "a", (8, 8, 8)).tolist() == [[1, 2, 3]]
    with pytest.raises(UsageError, match=r"32×48 2 axes: write its columns dy,dx"):
        drawn(file(b"dx\n1\n"))


def test_random_shifts_that_a_signal_cannot_have_are_refused():
    with pytest.raises(UsageError, match="images of 64 have too few shifts"):
        parse_shifts("random:n=10,max=4").shifts(0, "noise", "a", (64,))


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("random:n=5,max=16", "random:n=5,max=8"),
        ("random:n=2,max=1", "random:n=2,max=1"),
        ("grid:max=16,step=5", "grid:max=8,step=2"),
        ("grid:max=4,step=1", "grid:max=2,step=1"),
    ],
)
def test_a_coarser_plan_has_shifts_by_multiples_that_reach_as_far(text, inner):
    coarser, inner = parse_shifts(text).coarser(2), parse_shifts(inner)
    assert coarser.count(3) == inner.count(3)
    for suite in ("noise", "images"):
        shifts = coarser.shifts(7, suite, "a", (64, 48))
        np.testing.assert_array_equal(shifts, 2 * inner.shifts(7, suite, "a", (32, 24)))
        assert shifts.dtype == np.int64
