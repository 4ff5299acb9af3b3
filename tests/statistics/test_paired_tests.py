"""The signed-rank test is Wilcoxon's, over clusters, corrected as Holm says."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon

from equibench.statistics.paired_tests import Paired, by_cluster, could_be_significant, holm, paired


def differences(n, seed=0):
    return np.random.default_rng(seed).normal(0.3, 1, n)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 45])
def test_p_is_that_of_scipy_s_exact_test(n):
    d = differences(n)
    assert paired(d).p == pytest.approx(wilcoxon(d, method="exact").pvalue, rel=1e-12)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_p_is_the_share_of_all_signs_that_go_as_far_ties_included(d):
    moved = np.array([x for x in d if x])
    ranks = rankdata(np.abs(moved))
    signs = np.array(list(product([-1, 1], repeat=len(moved))))
    far = np.abs(signs @ ranks) >= abs(np.sign(moved) @ ranks)
    assert paired(d).p == pytest.approx(far.mean())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_sign_of_the_effect_is_that_of_the_differences_and_p_does_not_depend_on_it(d):
    one, other = paired(d), paired([-x for x in d])
    assert one.effect == pytest.approx(-other.effect)
    assert one.p == pytest.approx(other.p)
    assert -1 <= one.effect <= 1
    assert 0 <= one.p <= 1


@pytest.mark.parametrize("tied", [False, True])
def test_of_more_than_200_differences_p_is_that_of_scipy_s_normal_approximation(tied):
    d = np.random.default_rng(0).normal(0.1, 1, 300)
    d = np.sign(d) * np.ceil(3 * np.abs(d)) if tied else d
    expected = wilcoxon(d, method="asymptotic", correction=True).pvalue
    assert paired(d).p == pytest.approx(expected, rel=1e-9)
    assert paired(d[:200]).p != wilcoxon(d[:200], method="asymptotic", correction=True).pvalue


def test_of_200_differences_p_is_still_exact():
    d = differences(200)
    assert paired(d).p == pytest.approx(wilcoxon(d, method="exact").pvalue, rel=1e-9)


def test_pairs_without_a_difference_are_counted_and_left_out():
    d = differences(9)
    alone, among = paired(d), paired([0, *d, 0])
    assert (among.pairs, among.different) == (11, 9)
    assert (among.p, among.effect) == (alone.p, alone.effect)
    assert paired([0.0, 0.0]) == Paired(2, 0, 1.0, 0.0)


def test_the_effect_is_the_share_of_ranks_for_less_the_share_against():
    assert paired([1, 2, 3]).effect == 1
    assert paired([-1, -2, -3]).effect == -1
    assert paired([1, 2, -3]).effect == 0
    assert paired([1, -2, 3]).effect == pytest.approx((1 - 2 + 3) / 6)


def test_a_side_that_is_neither_better_nor_worse_has_a_p_of_one():
    assert paired([1, 2, -3]).p == 1


@pytest.mark.parametrize("n", [1, 2, 6, 9])
def test_the_smallest_p_is_that_of_differences_of_one_sign(n):
    found = paired(np.arange(1, n + 1))
    assert found.smallest == found.p
    assert Paired(3, 0, 1.0, 0.0).smallest == 1


def test_the_mean_of_a_cluster_is_over_its_cases_and_that_of_a_case_over_its_shifts():
    """Patient z has the cases 10 (one shift) and 9 (three), patient b has case 1."""
    found = by_cluster([8, 1, 5, 2, 3], [10, 9, 1, 9, 9], ["z", "z", "b", "z", "z"])
    assert found.tolist() == [5, (8 + 2) / 2]


def test_holm_multiplies_the_smallest_by_how_many_there_are_and_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("different", "able"),
    [
        ([5], [False]),  # 2 / 2⁵ is 0.0625
        ([6], [True]),
        ([6, 5], [True, False]),  # the one that cannot does not count in the correction
        ([6, 6], [False, False]),
        ([7, 6, 8], [True, True, True]),
        ([6, 7, 6], [False, True, False]),
        ([], []),
    ],
)
def test_a_test_is_able_if_differences_of_one_sign_would_be_significant(different, able):
    tests = [Paired(n, n, 0.9, 0.0) for n in different]
    assert could_be_significant(tests) == able
    sure = [i for i, n in enumerate(different) if n > 5]
    of_one_sign = holm([paired(np.arange(1, different[i] + 1)).p for i in sure])
    assert [able[i] for i in sure] == [p < 0.05 for p in of_one_sign]
