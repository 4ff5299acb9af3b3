"""The paper's claims as orderings that a run confirms or refutes."""

import re

import numpy as np
import pytest
from paper_runs import NMSE

from equibench.reports.findings.published_results import APS, NOT_APS
from equibench.reports.paper.orderings import Augmented, Chain, Closeness, FarBelow, Limit
from equibench.reports.paper.side_by_side import paper_tables
from equibench.reports.paper.text import markdown


def answers(table):
    return [(d.ordering.text, d.group, d.measured.answer) for d in table.decisions]


def every(names, value):
    return {name: [value] for name in names}


def planted(**changes):
    return {name: [changes.get(name.replace("-", "_").replace(" + ", "_"), value)]
            for name, value in NMSE.items()}  # fmt: skip


@pytest.mark.slow
def test_all_orderings_hold_where_they_were_planted(nine):
    tables = paper_tables({"run": nine})
    assert [a for table in tables for *_, a in answers(table)] == ["yes"] * 10


@pytest.mark.parametrize(
    ("changes", "answer", "text"),
    [
        ({}, "yes", "APS-5 1.00e-07 against LPF-5 1.00e-04: 1000 times"),
        ({"APS_5": 1e-6}, "yes", "APS-5 1.00e-06 against LPF-5 1.00e-04: 100 times"),
        ({"APS_5": 1.1e-6}, "no", "APS-5 1.10e-06 against LPF-5 1.00e-04: 90.9 times"),
        ({"Baseline_DA": 1e-8}, "no", "APS-5 1.00e-07 against Baseline + DA 1.00e-08: 0.1 times"),
        ({"APS_2": float("nan")}, "no", "APS-2 NaN against LPF-5 1.00e-04"),
        ({"LPF_3": float("nan")}, "no", "APS-5 1.00e-07 against LPF-3 NaN"),
    ],
)
def test_aps_is_two_orders_of_magnitude_below(changes, answer, text):
    verdict = FarBelow().decide(planted(**changes), {})
    assert (verdict.answer, verdict.numbers) == (answer, text)


def test_zero_is_far_below_anything_but_zero():
    zero = every(APS, 0.0)
    assert FarBelow().decide(zero | every(NOT_APS, 1e-9), {}).answer == "yes"
    assert FarBelow().decide(zero | every(NOT_APS, 0.0), {}).answer == "no"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [({}, "yes"), ({"LPF_5": 2e-3}, "no"), ({"LPF_2": 1.0}, "no"), ({"LPF_3": np.nan}, "no")],
)
def test_more_blur_means_less_error(changes, answer):
    verdict = Chain().decide(planted(**changes), {})
    assert verdict.answer == answer
    assert re.fullmatch(r"LPF-5 \S+, LPF-3 \S+, LPF-2 \S+, Baseline \S+", verdict.numbers)


def test_the_worst_change_of_psnr_has_a_limit():
    below = every(APS, 0.0099)
    assert Limit().decide(below, {}).answer == "yes"
    verdict = Limit().decide(below | {"APS-3": [0.01]}, {})
    assert (verdict.answer, verdict.numbers) == ("no", "largest: APS-3 0.0100 dB")
    assert Limit().decide(below | {"APS-3": [np.nan]}, {}).answer == "no"


@pytest.mark.parametrize(("psnr", "answer"), [(30.75, "yes"), (29.25, "yes"), (29.0, "no")])
def test_reconstruction_is_about_as_good_as_the_baselines(psnr, answer):
    found = {"Baseline": [30.0]} | every(APS, 30.1) | {"APS-2": [psnr]}
    verdict = Closeness().decide(found, {})
    assert (verdict.answer, verdict.numbers) == (answer, f"furthest: APS-2 {psnr - 30:+.2f} dB")


def test_augmentation_does_less_out_of_distribution():
    inside = {"PD": {"Baseline": [1e-2], "Baseline + DA": [1e-3]}}
    outside = {"Baseline": [1e-1], "Baseline + DA": [5e-3]}
    absolute, relative = (Augmented(r).decide(outside, inside) for r in (False, True))
    assert (absolute.answer, absolute.numbers) == ("yes", "5.00e-03 against 1.00e-03 (PD)")
    assert (relative.answer, relative.numbers) == ("no", "0.0500 against 0.100 (PD)")
    zero = Augmented(relative=True).decide(outside | {"Baseline": [0.0]}, inside)
    assert zero.answer == "no"


@pytest.mark.parametrize(
    ("ordering", "values", "missing"),
    [
        (Chain(), {"LPF-5": [1e-4], "LPF-3": [2e-3], "Baseline": [1e-2]}, "no LPF-2"),
        (FarBelow("APS", ("APS",)), {"APS": [0.0], "LPF-2": [1.0]},
         "no Baseline and no Baseline + DA and no LPF-3 and no LPF-5"),
        (FarBelow(), {}, "no " + " and no ".join((*APS, *NOT_APS))),
        (Limit(), {"APS": [0.001], "APS-2": [0.001]}, "no APS-3 and no APS-5"),
        (Limit(), {}, "no " + " and no ".join(APS)),
        (Closeness(), every(APS, 30.0), "no Baseline"),
        (Augmented(), {}, "no Baseline + DA and no MRI suite"),
        (Augmented(), {"Baseline + DA": [1.0]}, "no MRI suite"),
    ],
)  # fmt: skip
def test_an_ordering_of_networks_that_are_missing_is_not_decided(ordering, values, missing):
    verdict = ordering.decide(values, {})
    assert (verdict.answer, verdict.numbers) == ("not decided", f"{missing} in this run")


def test_a_missing_network_in_distribution_is_named_as_such():
    verdict = Augmented().decide({"Baseline + DA": [1.0]}, {"all": {"Baseline": [1.0]}})
    assert verdict.numbers == "no Baseline + DA on an MRI suite in this run"


def test_what_is_there_can_refute_an_ordering_whatever_is_missing():
    assert Chain().decide({"LPF-5": [1.0], "Baseline": [0.5]}, {}).answer == "no"
    assert FarBelow().decide({"APS-3": [1e-3], "LPF-5": [1e-3]}, {}).answer == "no"
    assert Limit().decide({"APS": [0.5]}, {}).answer == "no"


def test_two_networks_of_one_name_must_both_obey():
    chain = planted() | {"LPF-3": [2e-3, 6e-3]}
    assert Chain().decide(chain, {}).answer == "no"


@pytest.mark.slow
def test_the_published_numbers_are_put_to_the_same_test(nine):
    found = {
        (table.definition.number, d.ordering.text): {k: v.answer for k, v in d.published.items()}
        for table in paper_tables({"run": nine})
        for d in table.decisions
    }
    assert found == {
        (1, FarBelow().text): {"PD": "no", "PDFS": "yes"},
        (1, FarBelow("APS").text): {"PD": "yes", "PDFS": "yes"},
        (1, Chain().text): {"PD": "yes", "PDFS": "yes"},
        (1, Closeness().text): {"PD": "yes", "PDFS": "yes"},
        (2, Limit().text): {"": "yes"},
        (3, FarBelow().text): {"": "yes"},
        (3, FarBelow("APS").text): {"": "yes"},
        (3, Chain().text): {"": "yes"},
        (3, Augmented().text): {"": "yes"},
        (3, Augmented(relative=True).text): {"": "yes"},
    }


@pytest.mark.slow
def test_a_line_has_the_answer_the_numbers_and_the_papers_own_answer(nine):
    text = markdown(paper_tables({"run": nine}))
    assert (
        "- yes: every APS variant at least 100 times below every variant without APS in NMSE: "
        "APS-5 1.00e-07 against LPF-5 1.00e-04: 1000 times; published: PD no (APS-5 6.49e-07 "
        "against LPF-5 5.05e-05: 77.8 times), PDFS yes\n"
    ) in text
    assert (
        "- yes: NMSE of Baseline + DA divided by the baseline's larger out of distribution than "
        "in: 0.250 against 0.100; published: yes\n"
    ) in text
