"""One shift of each residue class, other members as spot checks, and what these say of a case."""

import numpy as np
import pandas as pd
import pytest

from equibench.evidence.residue_classes import Residues, settled
from equibench.foundation.rounding import allowance

STRIDE, SIZE = (2, 3), (8, 9)
CLASSES = [(y, x) for y in range(2) for x in range(3)]


def drawn(spots=5, seed=0, suite="images", case="a", size=SIZE, stride=STRIDE):
    shifts = Residues(stride, spots).shifts(seed, suite, case, size)
    return [tuple(map(int, k)) for k in shifts]


def test_there_is_one_shift_of_each_class_and_then_the_spots():
    shifts = drawn()
    assert shifts[:6] == CLASSES
    assert len(shifts) == Residues(STRIDE, 5).count() == 6 + 5
    assert Residues(STRIDE, 5).covers(SIZE) == 8 * 9 // 6


def test_spots_are_any_members_of_any_class_but_its_first():
    """Of 66 such shifts, 2000 draws leave none out, up to a chance of 1e-11."""
    everything = {(y, x) for y in range(8) for x in range(9)}
    assert set(drawn(spots=2000)[6:]) == everything - set(CLASSES)


def test_spots_follow_from_seed_suite_and_case():
    found = drawn(spots=20)
    assert found == drawn(spots=20)
    for other in ({"seed": 1}, {"suite": "scans"}, {"case": "b"}):
        assert found != drawn(spots=20, **other)


def test_an_image_of_the_size_of_the_stride_has_nothing_to_check():
    assert drawn(size=STRIDE) == CLASSES
    assert len(drawn(size=(2, 6))) == 6 + 5


@pytest.mark.parametrize("size", [(7, 9), (8, 8)])
def test_an_image_that_the_stride_does_not_divide_has_no_classes(size):
    assert len(set(drawn(size=size))) == size[0] * size[1]
    assert Residues(STRIDE, 5).covers(size) == 1


def rows(case, spot_error, ties=0.0, floor=1e-15):
    """Classes with errors of 0.01 to 0.06, and a spot of the last one, (1, 2) + (2, 3)."""
    shifts, errors = [(0, 0), *CLASSES, (3, 5)], [floor, *np.arange(1, 7) / 100, spot_error]
    dy, dx = zip(*shifts, strict=True)
    return pd.DataFrame(
        {"case": case, "draw": range(8), "dy": dy, "dx": dx, "covers": 12, "eq_nmse": errors}
        | {"floor_nmse": floor, "precision": "fp32", "near_ties": ties}
    )


def test_a_spot_deviates_by_the_difference_of_the_roots_from_its_own_class():
    table = settled(pd.concat([rows("b", 0.09), rows("a", 0.06)]), Residues(STRIDE, 1))
    found = table.groupby("case", sort=False)[["spot_deviation", "spots", "evidence"]].first()
    assert found.index.tolist() == ["b", "a"]
    assert found["spot_deviation"].tolist() == pytest.approx([(0.3 - 0.06**0.5) ** 2, 0], abs=1e-18)
    assert found["spots"].tolist() == [1, 1]
    assert found["evidence"].tolist() == ["", "sampled"]
    assert table["draw"].tolist() == 2 * list(range(7))  # the spots themselves are no rows


@pytest.mark.parametrize(("factor", "word"), [(0.9, "sampled"), (1.1, "")])
@pytest.mark.parametrize("floor", [1e-15, 1e-9])
def test_a_deviation_up_to_rounding_is_none(factor, word, floor):
    deviation = factor * allowance("fp32", floor)
    table = settled(rows("a", (0.06**0.5 + deviation**0.5) ** 2, floor=floor), Residues(STRIDE, 1))
    assert set(table["evidence"]) == {word}


def test_a_case_whose_every_shift_was_evaluated_is_enumerated():
    whole = rows("a", 0.5).assign(covers=1)
    table = settled(whole, Residues(STRIDE, 1))
    assert len(table) == len(whole)
    assert set(table["evidence"]) == {"enumerated"}
    both = settled(pd.concat([whole, rows("b", 0.06)]), Residues(STRIDE, 1))
    assert both.groupby("case")["evidence"].first().tolist() == ["enumerated", "sampled"]


def test_a_case_that_has_nothing_to_check_deviates_by_nothing():
    table = settled(rows("a", 0.06).iloc[:7], Residues(STRIDE, 1))
    assert table["spot_deviation"].tolist() == 7 * [0]
    assert table["spots"].tolist() == 7 * [0]


@pytest.mark.parametrize(
    ("proved", "tie", "ties", "error", "word"),
    [
        ({"a"}, False, 2.0, 0.06, "proved"),
        ({"b"}, False, 0.0, 0.06, "sampled"),
        ({"a"}, True, 0.0, 0.06, "proved"),
        ({"a"}, True, 1.0, 0.06, "sampled"),
        ({"a"}, True, np.nan, 0.06, "sampled"),  # nobody counted them
        ({"a"}, False, 0.0, 0.09, ""),  # a spot that contradicts a proof
    ],
)
def test_a_proof_counts_for_its_cases_without_near_ties_and_against_no_spot(
    proved, tie, ties, error, word
):
    table = settled(rows("a", error, ties=ties), Residues(STRIDE, 1), proved, tie)
    assert set(table["evidence"]) == {word}
