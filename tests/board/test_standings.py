"""Who stands where, and what the numbers decide: on planted errors."""

from dataclasses import replace
from math import isnan

import pytest
from board_entries import EIGHT, planted, renamed
from pydantic import ValidationError

from equibench.board.definition import Board
from equibench.board.entry import CaseErrors
from equibench.board.findings import findings
from equibench.board.standings import standings
from equibench.reports.board.columns import rank
from equibench.reports.tables.values import NONE
from equibench.statistics.rank_correlation import trend


def asked(*questions, **fields):
    group = {"title": "all", "models": ["a", "b", "c", "gone", "n,even=true"]}
    content = {"title": "T", "suites": ["photos"], "reference": "unet-baseline"}
    content["settings"] = {"transforms": ["d4:grid=1"]}
    return Board(**content, groups=[group], questions=questions, **fields)


def scaled(factor):
    return [factor * error for error in EIGHT]


def by_label(entries):
    return {line.entry.label: line for line in standings(entries)}


def test_trained_networks_and_initialisations_are_never_ranked_together():
    entries = [
        planted("a", scaled(1)),
        planted("b", scaled(2)),
        planted("c", scaled(3), trained="on knees"),
    ]
    lines = by_label(entries)
    assert {n: (line.rank, line.of) for n, line in lines.items()} == {
        "a": (1, 2),
        "b": (2, 2),
        "c": (1, 1),
    }


def test_what_is_rounding_shares_the_first_place():
    lines = by_label([planted("a", [1e-14] * 8), planted("b", [2e-15] * 8), planted("c", EIGHT)])
    assert [lines[n].rank for n in "abc"] == [1, 1, 3]


def test_a_network_that_gives_no_number_is_last():
    lines = by_label([planted("a", [float("nan"), *EIGHT]), planted("b", EIGHT)])
    assert [lines[n].rank for n in "ab"] == [2, 1]


def test_the_worst_is_named_with_its_case_and_element():
    line = by_label([planted("a", [0.1, 0.9, 0.2])])["a"]
    assert line.figures["circular"].worst == 0.9
    assert line.figures["circular"].at == "c1 (1, 0)"
    assert isnan(line.figures["circular"].within.low)  # three images are too few


def test_eight_images_have_an_interval_around_their_mean():
    within = by_label([planted("a", EIGHT)])["a"].figures["circular"].within
    assert within.low < sum(EIGHT) / 8 < within.high


def test_networks_that_label_pixels_stand_by_the_labels_that_change():
    case = CaseErrors("s", "circular", "c", "c", 0.0, ["(1, 0)", "(2, 0)"], [0.5, 0.5], [0.9, 0.8])
    line = by_label([renamed(planted("a", EIGHT), errors=[case])])["a"]
    assert line.figures["circular"].labels
    assert (line.figures["circular"].mean, line.figures["circular"].worst) == pytest.approx(
        (0.15, 0.2)
    )


def test_the_best_treatment_is_the_one_that_leaves_the_smallest_worst_error():
    entries = [
        planted("net", scaled(1), model="net,width=2", quality=30.0),
        planted("one", scaled(0.5), model="net,width=2,mend=circular", quality=30.0),
        planted("two", scaled(0.1), model="net,width=2,mend=aps", quality=29.0, time=2.0),
        planted("other", scaled(0.01), model="net,width=3,mend=aps"),
    ]
    best = by_label(entries)["net"].best
    assert best.name == "aps"
    assert (best.mean, best.worst, best.quality, best.time) == pytest.approx((10, 10, -1, 2))
    assert by_label(entries)["two"].best is None


def test_a_treatment_that_makes_it_worse_is_none():
    entries = [planted("net", EIGHT), planted("t", scaled(2), model="net,mend=circular")]
    assert by_label(entries)["net"].best is None


PAIRS = [
    planted(f"net{n},encoder={encoder}", scaled(factor * (1 + n)))
    for n in range(8)
    for encoder, factor in (("small", 1), ("large", 3))
]
SWAP = {"swap": ("encoder=small", "encoder=large"), "names": ("small ones", "large ones")}


def test_a_factor_that_all_pairs_share_is_found_with_its_direction():
    (found,) = findings(asked(SWAP), PAIRS)
    assert found.decided
    assert found.effect == pytest.approx(3)
    assert found.sentence.startswith(
        "The error is 3 times as large with large ones as with small ones: so it is on 8 of 8 "
        "pairs of networks (photos, untrained"
    )
    turned = {"swap": SWAP["swap"][::-1], "names": SWAP["names"][::-1]}
    (same,) = findings(asked(turned), PAIRS)
    assert same.sentence == found.sentence


@pytest.mark.parametrize(
    ("factor", "said"), [(2634, "2600 times"), (5e4, "more than 10 000 times")]
)
def test_a_large_factor_is_said_without_an_exponent(factor, said):
    pairs = [
        planted(f"net{n},encoder={encoder}", scaled(scale * (1 + n)))
        for n in range(8)
        for encoder, scale in (("small", 1), ("large", factor))
    ]
    (found,) = findings(asked(SWAP), pairs)
    assert f"The error is {said} as large with large ones" in found.sentence


def test_pairs_that_contradict_each_other_decide_nothing():
    mixed = [
        planted(f"net{n},encoder={encoder}", scaled(factor if n % 2 else 1 / factor))
        for n in range(8)
        for encoder, factor in (("small", 1), ("large", 3))
    ]
    (found,) = findings(asked(SWAP), mixed)
    assert not found.decided
    assert "decide nothing" in found.sentence
    assert "times as large" not in found.sentence


def test_five_pairs_are_too_few_whatever_they_say():
    (found,) = findings(asked(SWAP), PAIRS[:10])
    assert not found.decided
    assert found.sentence.endswith("5 networks on photos decide nothing, too few to test.")


def test_a_question_that_nothing_was_measured_for_says_so():
    (found,) = findings(asked(SWAP), [planted("a", EIGHT)])
    assert found.sentence == "small ones and large ones: not measured yet."


def test_what_one_question_decides_alone_it_may_not_among_many():
    """Eight images have a smallest p of 1/128, which is above 5 % of what twenty leave of it."""
    entries = [planted("a", scaled(1)), planted("b", scaled(2))]
    question = {"entries": (("a",), ("b",)), "names": ("a", "b")}
    assert findings(asked(question), entries)[0].decided
    assert not any(each.decided for each in findings(asked(*[question] * 20), entries))


def test_images_are_the_units_where_networks_stand_against_others():
    entries = [planted("a", scaled(1)), planted("b", scaled(2)), planted("c", scaled(8))]
    question = {"entries": (("a",), ("b", "c")), "names": ("one", "two")}
    (found,) = findings(asked(question), entries)
    assert (found.units, len(found.points)) == ("images", 8)
    assert found.effect == pytest.approx(4)  # the geometric mean of 2 and 8


def test_a_network_that_is_missing_is_no_part_of_an_answer():
    question = {"entries": (("a",), ("gone",)), "names": ("a", "gone")}
    (found,) = findings(asked(question), [planted("a", EIGHT)])
    assert not found.points


def test_a_network_is_the_same_however_its_spec_is_spelled():
    question = {"entries": (("a",), ("n,even=true",)), "names": ("a", "n")}
    entries = [planted("a", scaled(1)), planted("n,even=True", scaled(2))]
    assert findings(asked(question), entries)[0].decided


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entries": (("a",), ("elsewhere",))}, "names 'elsewhere', which is in no group"),
        ({"entries": (("a",), ("b",)), "suite": "fotos"}, "is of 'fotos', which is no suite of it"),
        ({"motions": ("circular", "d5")}, "is of 'd5', which is no motion of it"),
        ({"trend": ("time", "error"), "motion": "crop"}, "is of 'crop', which is no motion of it"),
        ({"trend": ("time", "eror")}, "'error', 'parameters', 'time' or 'quality'"),
    ],
)
def test_a_question_of_what_nobody_measures_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        asked({"names": ("a", "b"), **changes})


def test_motions_are_compared_in_networks_that_have_both():
    both = [planted(f"n{n}", scaled(1 + n), motions=("circular", "d4")) for n in range(7)]
    for entry in both:
        for case in entry.errors:
            if case.motion == "d4":
                case.nmse[:] = [2 * value for value in case.nmse]
    question = {"motions": ("circular", "d4"), "names": ("shifts", "turns")}
    (found,) = findings(asked(question), [*both, planted("alone", EIGHT)])
    assert len(found.points) == 7
    assert found.decided
    assert "2 times as large with turns as with shifts" in found.sentence


def test_a_trend_over_networks_is_said_with_its_direction():
    entries = [planted(f"n{n}", scaled(1 + n), time=10.0 - n) for n in range(8)]
    question = {"trend": ("time", "error"), "names": ("time", "error")}
    (found,) = findings(asked(question), entries)
    assert found.sentence.startswith("Over 8 untrained networks on photos, error falls with time")


def test_treated_networks_are_no_part_of_a_trend():
    entries = [planted(f"n{n}", scaled(1 + n), model=f"n{n},mend=circular") for n in range(8)]
    question = {"trend": ("time", "error"), "names": ("time", "error")}
    assert not findings(asked(question), entries)[0].points


def test_a_question_is_of_one_kind():
    with pytest.raises(ValueError, match="a swap, motions, entries or a trend"):
        asked({"names": ("a", "b")})


def test_kendalls_test_knows_order_and_ties():
    rising = trend(range(8), [x**3 for x in range(8)])
    assert (rising.tau, rising.p) == pytest.approx((1.0, rising.smallest))
    assert trend(range(8), [1.0] * 8).p == 1.0
    assert trend([1.0], [2.0]).p == 1.0


def test_a_constant_output_has_no_rank():
    """No motion changes it, which is no merit: not of an image, nor of a map of one label."""
    for share in (0.0, 1e-14):
        still = planted("still", scaled(0))
        errors = [replace(case, variation=share) for case in still.errors]
        masks = [replace(case, agreement=[1.0] * len(case.at), variation=0.0) for case in errors]
        entries = [planted("moving", EIGHT), replace(still, errors=errors)]
        lines = by_label([*entries, replace(planted("masks", EIGHT), errors=masks)])
        for name in ("still", "masks"):
            figures = lines[name].figures["circular"]
            assert (lines[name].rank, figures.constant) == (0, len(EIGHT))
            assert isnan(figures.mean)
            assert isnan(figures.worst)
            assert not figures.rounding
            assert rank(lines[name]).text == NONE
        assert (lines["moving"].rank, lines["moving"].of) == (1, 1)
        assert list(lines) == ["moving", "masks", "still"]  # they stand last


def test_images_of_which_a_network_makes_one_value_are_left_out_of_its_errors():
    entry = planted("some", EIGHT)
    errors = [replace(case, variation=float(i > 0)) for i, case in enumerate(entry.errors)]
    figures = by_label([replace(entry, errors=errors)])["some"].figures["circular"]
    rest = by_label([replace(entry, errors=errors[1:])])["some"].figures["circular"]
    assert (figures.mean, figures.constant) == (rest.mean, 1)
    assert repr(figures.within) == repr(rest.within)  # its limits are NaN


def test_a_nearly_constant_output_does_not_stand_well():
    """Its NMSE is a hundredth of the other's, and so is what varies of it."""
    constant = planted("constant", scaled(0.01))
    errors = [replace(case, variation=0.01) for case in constant.errors]
    lines = by_label([replace(constant, errors=errors), planted("other", EIGHT)])
    assert lines["constant"].error == pytest.approx(lines["other"].error)
