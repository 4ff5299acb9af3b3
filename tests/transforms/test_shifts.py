import numpy as np
import pytest

from equibench.errors import UsageError
from equibench.transforms.shift_plans import parse_shifts

SIZE = (32, 48)


def drawn(text, suite="noise", case="a", seed=0, size=SIZE):
    return parse_shifts(text).shifts(seed, suite, case, size)


def test_random_draws_different_shifts_other_than_zero_within_the_range():
    shifts = drawn("random:n=200,max=8")
    assert len(np.unique(shifts, axis=0)) == 200
    assert shifts.any(axis=1).all()
    assert (shifts.min(), shifts.max()) == (-8, 7)


def test_a_longer_random_plan_keeps_the_shifts_of_a_shorter_one():
    np.testing.assert_array_equal(drawn("random:n=5,max=16"), drawn("random:n=9,max=16")[:5])


@pytest.mark.parametrize(
    ("plan", "first"),
    [
        ("random:n=5,max=16", [[11, 8], [3, -14], [5, -2], [-16, -8], [-7, -10]]),
        ("paper:passes=5", [[-9, -9], [-12, 14], [12, -3], [-11, -2], [13, 8]]),
    ],
)
def test_shifts_follow_from_suite_case_and_seed_alone(plan, first):
    found = drawn(plan)
    np.testing.assert_array_equal(found, first)  # published runs can be measured again
    np.testing.assert_array_equal(found, drawn(plan, size=(64, 64)))
    for other in ({"suite": "b"}, {"case": "b"}, {"seed": 1}):
        assert (found != drawn(plan, **other)).any()


def test_shifts_that_are_the_identity_on_a_small_image_are_left_out():
    shifts = drawn("random:n=50,max=8", size=(4, 8))
    assert (shifts % (4, 8)).any(axis=1).all()
    assert [tuple(k) for k in drawn("grid:max=8,step=4", size=(4, 16))] == [
        (y, x) for y in (-8, -4, 0, 4) for x in (-8, -4, 4)
    ]
    with pytest.raises(UsageError, match=r"^random:n=3,max=1: images of 1×2 have too few shifts$"):
        drawn("random:n=3,max=1", size=(1, 2))
    with pytest.raises(UsageError, match=r"images of 1×1 have too few shifts"):
        drawn("random:n=1,max=8", size=(1, 1))


def test_a_grid_goes_through_zero_and_leaves_it_out():
    axis = [-16, -12, -8, -4, 0, 4, 8, 12]
    expected = [(y, x) for y in axis for x in axis if (y, x) != (0, 0)]
    assert [tuple(k) for k in drawn("grid:max=16,step=4")] == expected
    assert sorted({int(y) for y, _ in drawn("grid:max=5,step=2")}) == [-4, -2, 0, 2, 4]


def test_all_is_every_circular_shift_once_and_exact():
    shifts = drawn("all")
    assert len(np.unique(shifts % SIZE, axis=0)) == len(shifts) == SIZE[0] * SIZE[1]
    assert parse_shifts("all").evidence == "enumerated"
    assert parse_shifts("random:n=1,max=1").evidence == ""


def test_the_paper_s_plan_draws_uniformly_from_minus_16_to_15_and_afresh_in_every_pass():
    shifts = drawn("paper:passes=4000")
    values, counts = np.unique(shifts, return_counts=True)
    assert values.tolist() == list(range(-16, 16))
    assert counts.min() > 8000 / 32 * 0.75
    np.testing.assert_array_equal(drawn("paper"), shifts[:1])
    assert parse_shifts("paper").count() == 1


def test_a_file_gives_every_case_its_shifts(tmp_path):
    file = tmp_path / "shifts.csv"
    file.write_text("dy, dx\n1, -2\n0, 300\n")
    assert drawn(f"file:{file}").tolist() == [[1, -2], [0, 300]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "spiral",
            "no shift plan is called 'spiral'; write random:n=10,max=16 · grid:max=16,step=4 · "
            "all · file:shifts.csv · paper",
        ),
        (
            "random:n=ten,max=16",
            "'n=ten' in 'random:n=ten,max=16' is not setting=integer; write random:n=10,max=16 · "
            "grid:max=16,step=4 · all · file:shifts.csv · paper",
        ),
        (
            "grid:n=3",
            "shift plan 'grid:n=3': grid takes max, step; write random:n=10,max=16 · "
            "grid:max=16,step=4 · all · file:shifts.csv · paper",
        ),
        ("random:n=0,max=16", "random:n=0: n is at least 1"),
        (
            "random:n=16,max=2",
            "random:n=16,max=2: there are only 15 shifts other than zero on −2 … 1",
        ),
        (
            "file:/no/such.csv",
            "cannot read shifts from /no/such.csv: [Errno 2] No such file or directory: "
            "'/no/such.csv'",
        ),
    ],
)
def test_a_plan_that_cannot_be_is_answered_in_one_line(text, message):
    with pytest.raises(UsageError) as caught:
        parse_shifts(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("y,x\n1,2\n", "{}, line 2: not two integers dy,dx (the first line is 'dy,dx')"),
        ("dy,dx\n1,2\n1.5,2\n", "{}, line 3: not two integers dy,dx (the first line is 'dy,dx')"),
        (
            "dy,dx\n99999999999999999999,1\n",
            "{}, line 2: not two integers dy,dx (the first line is 'dy,dx')",
        ),
        ("dy,dx\n", "{} holds no shift: write 'dy,dx', then a line for each shift"),
    ],
)
def test_a_bad_file_of_shifts_is_named_with_its_line(tmp_path, content, message):
    file = tmp_path / "shifts.csv"
    file.write_text(content)
    with pytest.raises(UsageError) as caught:
        parse_shifts(f"file:{file}")
    assert str(caught.value) == message.format(file)
