"""The paper's tables beside measured ones, its orderings, and its figures."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from equibench.errors import UsageError
from equibench.measurement.row_table import row_columns
from equibench.metrics.squared_error import nmse, psnr
from equibench.metrics.structural_similarity import ssim, ssim_columns
from equibench.reports.findings.published_results import APS, NOT_APS, VARIANTS, paper_name, values
from equibench.reports.findings.run_data import RunData
from equibench.reports.page.page import render
from equibench.reports.paper.definitions import DEFINITIONS, ERROR, MRI_EQUIVARIANCE
from equibench.reports.paper.figure4_choice import Asked, Choice, choose
from equibench.reports.paper.orderings import Augmented, Chain, Closeness, FarBelow, Limit
from equibench.reports.paper.side_by_side import paper_tables
from equibench.reports.paper.text import latex, markdown, numbers, orderings, write_paper_tables
from equibench.runs.run_folder import RunFolder

COLUMNS = row_columns([nmse, psnr, ssim, ssim_columns])
NMSE = dict(zip(VARIANTS, [1e-2, 1e-3, 5e-3, 2e-3, 1e-4, 1e-9, 2e-9, 3e-9, 1e-7], strict=True))
"""Errors under which every ordering of one table holds."""
HOSTILE = r"a_b & 50% #1 {x} \y ~^ <b>$z$|"


def rows(label, suite, error=1e-3, *, group="all", cases=2, shifts=3, **more):
    """Rows of one model; ``error`` is its NMSE, and case c1's is three times case c0's."""
    lines = []
    for number in range(cases):
        base = {"model": label, "suite": suite, "group": group, "case": f"{group}-c{number}"}
        base |= {"frame": "canonical", "precision": "fp32", "batch": 2, "near_ties": 0}
        base |= {"nmse": 0.02, "psnr": 30.0, "ssim": 0.8, "ssim_columns": 0.75, "dy": 1, "dx": 2}
        for draw in range(shifts + 1):
            eq = error * (0.5 + number) if draw else 0.0
            line = {"draw": draw, "eq_nmse": eq, "eq_ssim": 0.9, "eq_ssim_columns": 0.95}
            lines.append(base | line | {"delta_psnr": 0.1 * draw, "floor_nmse": 1e-15} | more)
    return (
        pd.DataFrame(lines).assign(covers=1, evidence="", repeatability="").reindex(columns=COLUMNS)
    )


def network(name, suite="mri-sample", **more):
    """A manifest's entry of one of the paper's networks, trained on ``suite``."""
    augment = 16 if name.endswith("+ DA") else 0
    trained = {"suite": suite, "preset": "sample", "recipe": {"shift_augment": augment}}
    paper = name.removesuffix(" + DA")
    entry = {"spec": "spec", "weights": "file", "details": {"paper": paper}, "trained": trained}
    return entry | more


def untrained(name):
    entry = network(name, weights="untrained")
    del entry["trained"]
    return entry


@pytest.fixture
def make(tmp_path):
    """Write a run folder from rows, and from what its manifest says of models and suites."""

    def make(parts, models, name="run", suites=(), widths=None, **configuration):
        folder = RunFolder(tmp_path / name, create=True)
        labels = {part["suite"].iloc[0] for part in parts}
        described = {
            label: {"name": label, "version": 1, "arguments": {}, "cases": "2 (abc)"}
            for label in sorted(labels)
        }
        specs = [f"unet,width={(widths or {}).get(m, 0.125)},label='{m}'" for m in models]
        folder.write_manifest(
            {
                "state": "finished",
                "configuration": {
                    "models": specs[:1],
                    "suites": sorted(labels),
                    "also": [{"models": specs[1:], "suites": sorted(labels)}],
                    "shifts": "random:n=3,max=16",
                    "seed": 0,
                    **configuration,
                },
                "fingerprint": {"suites": described | dict(suites)},
                "environment": {},
                "models": models,
            }
        )
        for number, part in enumerate(parts):
            folder.write_rows(f"unit{number}", part)
        return RunData.read(folder)

    return make


@pytest.fixture
def nine(make):
    """The nine networks on MRI and photos, in an order of no use; labels say nothing."""
    names = sorted(VARIANTS)
    models = {f"m{i}": network(name) for i, name in enumerate(names)}
    factor = {"Baseline + DA": 5}
    parts = [
        rows(f"m{i}", "mri-sample", NMSE[name], delta_psnr=4e-3) for i, name in enumerate(names)
    ]
    parts += [
        rows(f"m{i}", "photo-sample", NMSE[name] * factor.get(name, 2), psnr=np.nan)
        for i, name in enumerate(names)
    ]
    return make(parts, models)


def answers(table):
    return [(d.ordering.text, d.group, d.measured.answer) for d in table.decisions]


def test_a_network_is_known_by_what_it_was_trained_with_whatever_its_label():
    assert paper_name(network("Baseline")) == "Baseline"
    assert paper_name(network("Baseline + DA")) == "Baseline + DA"
    assert paper_name(untrained("APS-3")) == "APS-3"
    assert paper_name(network("LPF-2 + DA")) is None
    assert paper_name({"spec": "ours", "weights": "file-da", "details": {}}) is None


def test_published_values_are_those_of_the_papers_tables():
    assert values("table1_mri")["APS-3"]["eq_nmse_pd"] == 3.10e-7
    assert values("table2_mri_worst_delta_psnr")["Baseline"]["worst_delta_psnr"] == 4.03
    assert values("table3_imagenet")["Baseline + DA"]["eq_nmse"] == 1.87e-3
    assert values("table4_ct")["LPF-5"]["eq_ssim"] == 0.9999
    for definition in DEFINITIONS:
        assert set(values(definition.source)) == set(VARIANTS)


def test_every_published_column_stands_in_one_table():
    stems = {
        (definition.source, f"{quantity.paper}_{acquisition.lower()}".rstrip("_"))
        for definition in DEFINITIONS
        for quantity in definition.quantities
        for acquisition in definition.acquisitions
        if quantity.paper
    }
    assert stems == {
        (definition.source, column)
        for definition in DEFINITIONS
        for column in values(definition.source)["APS"]
    }


def test_tables_come_in_the_papers_order_with_networks_in_its_order(nine):
    tables = paper_tables({"run": nine})
    assert [table.title for table in tables] == [
        "Table 1, equivariance on MRI: mri-sample, width 1/8",
        "Table 1, reconstruction on MRI, unshifted: mri-sample, width 1/8",
        "Table 2, worst change of PSNR on MRI: mri-sample, width 1/8",
        "Table 3, equivariance out of distribution, MRI networks on photos: "
        "photo-sample, width 1/8",
    ]
    for table in tables:
        assert table.names == list(VARIANTS)


def test_measured_values_stand_beside_published_ones(nine):
    table = paper_tables({"run": nine})[0]
    assert [(b.heading, [n.text for n in b.names]) for b in table.blocks] == [
        ("NMSE ↓", ["measured", "paper PD", "paper PDFS"]),
        ("SSIM ↑", ["measured", "paper PD", "paper PDFS"]),
    ]
    line = table.lines[2]
    assert line.model == "LPF-2"
    assert [cell.text for cell in line.cells] == [
        *("5.00e-03", "7.43e-04", "5.34e-04"),
        *("0.9000", "0.9978", "0.9985"),
    ]
    assert [cell.paper for cell in line.cells] == [False, True, True] * 2


def test_a_table_says_how_many_shifts_its_worst_comes_from(nine):
    worst = paper_tables({"run": nine})[2]
    assert worst.text == (
        "2 cases, 3 shifts of each: 6 comparisons; networks trained on mri-sample (preset "
        "sample), fp32; shifts random:n=3,max=16, canonical frame. Paper: fastMRI "
        "knee, 199 volumes, ten shifts of each."
    )
    assert worst.lines[0].cells[0].text == "0.004"


def test_acquisitions_are_kept_apart_but_for_the_worst_of_all(make):
    parts = [
        rows("m", "fastmri", 1e-3, group="PD"),
        rows("m", "fastmri", 4e-3, group="PDFS", cases=1, delta_psnr=0.7),
    ]
    equivariance, quality, worst = paper_tables({"run": make(parts, {"m": network("APS")})})
    assert [n.text for n in equivariance.blocks[0].names] == [
        *("measured PD", "measured PDFS", "paper PD", "paper PDFS"),
    ]
    cells = [cell.text for cell in equivariance.lines[0].cells[:4]]
    assert cells == ["1.00e-03", "2.00e-03", "1.21e-07", "7.37e-15"]
    assert [d.group for d in quality.decisions] == ["PD", "PDFS"]
    assert list(quality.decisions[1].published) == ["PDFS"]
    assert [cell.text for cell in worst.lines[0].cells] == ["0.7", "0.00086"]


def test_a_mean_over_groups_counts_cases(make):
    parts = [
        rows("m", "imagenet", 1e-3, group="a", cases=3),
        rows("m", "imagenet", 5e-3, group="b", cases=1),
    ]
    (table,) = paper_tables({"run": make(parts, {"m": network("APS")})})
    assert table.values(ERROR, "all")["APS"] == [pytest.approx((3 * 1.5e-3 + 2.5e-3) / 4)]


def test_networks_stand_only_in_tables_of_what_they_were_trained_on(make):
    suites = ("mri-sample", "photo-sample", "ct-sample")
    models = {"mri": network("APS"), "ct": network("APS", "ct-sample")}
    run = make([rows(m, s) for m in models for s in suites], models)
    tables = paper_tables({"run": run})
    assert {(t.definition.number, t.setting.suite): t.networks[0].label for t in tables} == {
        (1, "mri-sample"): "mri",
        (2, "mri-sample"): "mri",
        (3, "photo-sample"): "mri",
        (4, "ct-sample"): "ct",
    }
    assert all(len(table.networks) == 1 for table in tables)


def test_the_ct_table_has_the_papers_ssim_beside_the_ordinary_one(make):
    models = {"ct": network("APS", "lodopab")}
    equivariance, quality = paper_tables({"run": make([rows("ct", "lodopab")], models)})
    assert [b.heading for b in equivariance.blocks] == ["NMSE ↓", "SSIM (columns) ↑", "SSIM ↑"]
    assert [n.text for n in equivariance.blocks[2].names] == ["measured"]
    assert [c.text for c in quality.lines[0].cells] == [
        *("0.02", "0.0055", "30.00", "34.84", "0.7500", "0.8214", "0.8000"),
    ]
    assert not equivariance.notes


def test_untrained_networks_stand_in_every_table_with_a_caveat(make):
    suites = ("mri-sample", "ct-sample")
    tables = paper_tables({"run": make([rows("m", s) for s in suites], {"m": untrained("APS")})})
    assert [table.definition.number for table in tables] == [1, 1, 2, 4, 4]
    assert tables[0].notes == [
        "mri-sample holds other data than the paper’s.",
        "The networks are untrained: they show what an architecture does.",
    ]


def test_weights_of_unknown_training_carry_a_caveat(make):
    entry = untrained("APS") | {"weights": "theirs.pt"}
    table = paper_tables({"run": make([rows("m", "fastmri")], {"m": entry})})[0]
    assert "networks with weights from elsewhere, fp32" in table.text
    assert table.notes == ["How the networks were trained is not known."]


@pytest.mark.parametrize(
    ("change", "models", "texts"),
    [
        ({"widths": {"b": 1}}, {"b": network("LPF-2")}, ["width 1/8 ", "width 1 "]),
        ({}, {"b": untrained("LPF-2")}, ["networks trained on", "networks untrained"]),
        ({}, {"b": network("LPF-2", "fastmri")}, ["trained on mri-s", "trained on fastmri"]),
    ],
)
def test_two_kinds_of_network_never_meet_in_a_table(make, change, models, texts):
    models = {"a": network("APS"), **models}
    run = make([rows(label, "mri-sample") for label in models], models, **change)
    tables = [t for t in paper_tables({"run": run}) if t.definition is MRI_EQUIVARIANCE]
    assert [table.names for table in tables] == [["APS"], ["LPF-2"]]
    for table, text in zip(tables, texts, strict=True):
        assert text in f"{table.title} {table.text}"


def test_two_precisions_or_data_sets_never_meet_in_a_table(make):
    models = {"a": network("APS")}
    parts = [rows("a", "mri-sample"), rows("a", "fastmri")]
    runs = {
        "one": make(parts, models, "one"),
        "two": make([rows("a", "mri-sample", precision="fp64")], models, "two"),
    }
    tables = [t for t in paper_tables(runs) if t.definition is MRI_EQUIVARIANCE]
    assert sorted((t.setting.suite, t.setting.precision) for t in tables) == [
        ("fastmri", "fp32"),
        ("mri-sample", "fp32"),
        ("mri-sample", "fp64"),
    ]


def test_runs_are_read_together(make):
    runs = {
        "one": make([rows("x", "mri-sample", 1e-9)], {"x": network("APS")}, "one"),
        "two": make([rows("x", "mri-sample", 1e-3)], {"x": network("LPF-2")}, "two"),
    }
    assert paper_tables(runs)[0].values(ERROR, "all") == {"LPF-2": [1e-3], "APS": [1e-9]}


def test_two_networks_of_one_name_are_told_apart(make):
    one = make([rows(x, "mri-sample") for x in "xy"], dict.fromkeys("xy", network("APS")), "one")
    assert paper_tables({"one": one})[0].names == ["APS (x)", "APS (y)"]
    two = make([rows("x", "mri-sample")], {"x": network("APS")}, "two")
    assert paper_tables({"one": one, "two": two})[0].names[2] == "APS (two, x)"


def test_each_table_takes_the_shifts_that_the_paper_took(make):
    models = {"a": network("APS")}
    runs = {
        plan: make([rows("a", "mri-sample", shifts=n)], models, name, shifts=plan)
        for name, plan, n in [("one", "paper", 1), ("ten", "paper:passes=10", 10)]
    }
    tables = paper_tables(runs)
    assert [(t.definition.number, t.setting.shifts) for t in tables] == [
        (1, "paper"),
        (1, "paper"),
        (2, "paper:passes=10"),
    ]


def test_a_table_says_in_what_the_recipes_of_its_networks_differ(make):
    models = {"a": network("APS"), "b": network("Baseline + DA"), "c": network("LPF-2")}
    parts = [rows(label, "fastmri") for label in models]
    assert paper_tables({"r": make(parts, models, "one")})[0].notes == []
    models["c"]["trained"]["recipe"] |= {"epochs": 3, "clip": 1.0}
    (note,) = paper_tables({"r": make(parts, models, "two")})[0].notes
    assert note == "The networks were trained with different values of clip, epochs."


def test_a_network_with_failed_cases_is_named(make):
    suites = {"mri-sample": {"name": "mri-sample", "cases": "5 (abc)"}}
    table = paper_tables(
        {"r": make([rows("a", "mri-sample")], {"a": network("APS")}, suites=suites)}
    )[0]
    assert table.notes[-1] == "Not all of 5 cases: APS has 2."


def test_networks_of_others_have_no_tables(make):
    run = make([rows("a", "mri-sample")], {"a": {"spec": "ours", "weights": ""}})
    assert paper_tables({"run": run}) == []
    assert markdown([]) == "None of the paper's networks was measured on MRI, CT or photos.\n"
    assert "Beside the paper" not in render({"run": run})


def every(names, value):
    return {name: [value] for name in names}


def planted(**changes):
    return {name: [changes.get(name.replace("-", "_").replace(" + ", "_"), value)]
            for name, value in NMSE.items()}  # fmt: skip


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
    assert (verdict.answer, verdict.numbers) == ("no", "largest: APS-3 0.01 dB")
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
    assert (relative.answer, relative.numbers) == ("no", "0.05 against 0.1 (PD)")
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


def test_a_line_has_the_answer_the_numbers_and_the_papers_own_answer(nine):
    text = markdown(paper_tables({"run": nine}))
    assert (
        "- yes: every APS variant at least 100 times below every variant without APS in NMSE: "
        "APS-5 1.00e-07 against LPF-5 1.00e-04: 1000 times; published: PD no (APS-5 6.49e-07 "
        "against LPF-5 5.05e-05: 77.8 times), PDFS yes\n"
    ) in text
    assert (
        "- yes: NMSE of Baseline + DA divided by the baseline's larger out of distribution than "
        "in: 0.25 against 0.1; published: yes\n"
    ) in text


MARKDOWN = """\
## Table 2, worst change of PSNR on MRI: fastmri, width 1/8

2 cases, 3 shifts of each: 6 comparisons; networks trained on fastmri (preset sample), \
fp32; shifts random:n=3,max=16, canonical frame. Paper: fastMRI knee, 199 volumes, ten shifts of \
each.

| network   |   ΔPSNR [dB] ↓ measured |   paper |
|:----------|------------------------:|--------:|
| APS       |                     0.3 | 0.00086 |

- no: worst ΔPSNR of every APS variant below 0.01 dB: largest: APS 0.3 dB; published: yes
"""


def test_the_markdown_of_a_table(make):
    run = make([rows("a", "fastmri")], {"a": network("APS", "fastmri")})
    text = markdown(paper_tables({"run": run})[2:])
    assert text.startswith(MARKDOWN)
    assert text.removeprefix(MARKDOWN).startswith("\npaper: A. Chaman and I. Dokmanić")


def unescaped(line):
    """A line of LaTeX without what is escaped and without formulas."""
    return re.sub(r"\$[^$]*\$", "", re.sub(r"\\[&%$#_{}\\]", "", line))


def check_latex(text):
    """Environments nest, rows have as many cells as columns, nothing special is left."""
    stack = []
    for verb, name in re.findall(r"\\(begin|end)\{([^}]*)\}", text):
        if verb == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    for tabular in re.findall(r"\\begin\{tabular\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns = len(re.match(r"\{([lr]+)\}", tabular)[1])
        lines = [line for line in tabular.splitlines() if line.endswith(r" \\")]
        assert len(lines) > 2
        for line in lines:
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert unescaped(line).count("&") + 1 + sum(spans) - len(spans) == columns
    for line in text.splitlines()[1:]:
        assert not re.search(r"[%#~^_<>|]", unescaped(line)), line
        assert unescaped(line).isascii()
        assert unescaped(line).count("{") == unescaped(line).count("}")


def compile_latex(text, folder):
    """Compile where there is a TeX; the structure is checked in any case."""
    check_latex(text)
    if shutil.which("pdflatex"):
        (folder / "paper.tex").write_text(text, encoding="utf-8")
        document = (
            "\\documentclass[twocolumn]{article}\\usepackage[margin=0.75in]{geometry}"
            "\\usepackage{booktabs}\\begin{document}\\input{paper}\\end{document}"
        )
        (folder / "document.tex").write_text(document, encoding="utf-8")
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "document"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull \\hbox" not in done.stdout


def test_latex_compiles_and_fits(nine, make, tmp_path):
    tables = paper_tables({"run": nine})
    compile_latex(latex(tables), tmp_path)


def test_latex_of_two_groups_fits(make, tmp_path):
    parts = [rows("m", "fastmri", group=group) for group in ("PD", "PDFS")]
    compile_latex(latex(paper_tables({"run": make(parts, {"m": network("APS")})})), tmp_path)


def test_hostile_names_are_text_in_every_format(make, tmp_path):
    labels = [HOSTILE, HOSTILE + "2"]
    run = make([rows(x, "mri-sample") for x in labels], dict.fromkeys(labels, network("APS")))
    tables = paper_tables({HOSTILE: run})
    compile_latex(latex(tables), tmp_path)
    line = next(line for line in markdown(tables).splitlines() if "a_b" in line)
    assert len(re.findall(r"(?<!\\)\|", line)) == 8
    assert numbers(tables)["label"].unique().tolist() == labels
    page = render({HOSTILE: run})
    assert "<b>$z$" not in page
    assert "&lt;b&gt;$z$|" in page


def test_the_csv_has_every_number_unrounded(nine):
    table = numbers(paper_tables({"run": nine}))
    line = table[
        (table["network"] == "APS-3")
        & (table["quantity"] == "eq_nmse_mean")
        & (table["suite"] == "mri-sample")
    ].iloc[0]
    assert line["measured"] == pytest.approx(NMSE["APS-3"])
    assert (line["published_PD"], line["published_PDFS"]) == (3.10e-7, 1.36e-7)
    assert (line["table"], line["width"], line["training"]) == (
        *(1, 0.125, "trained on mri-sample (preset sample)"),
    )


def test_the_csv_of_orderings_has_a_line_for_each(nine):
    tables = paper_tables({"run": nine})
    lines = orderings(tables)
    assert len(lines) == sum(len(table.decisions) for table in tables)
    assert set(lines["measured"]) == {"yes"}
    assert lines["published"].tolist()[0] == "PD no, PDFS yes"


def test_files_are_written_in_every_format(nine, tmp_path):
    shown = write_paper_tables({"run": nine}, tmp_path / "out")
    folder = tmp_path / "out" / "tables"
    assert sorted(file.name for file in folder.iterdir()) == [
        *("paper-orderings.csv", "paper.csv", "paper.md", "paper.tex"),
    ]
    assert (folder / "paper.md").read_text(encoding="utf-8") == shown


def test_the_page_has_the_papers_tables_as_a_section(nine):
    page = render({"run": nine})
    assert page.count("<h2>Beside the paper</h2>") == 1
    headings = re.findall(r"<h3>(Table \d.*?)</h3>", page)
    assert headings == [table.title for table in paper_tables({"run": nine})]
    assert page.count("<li><b>yes</b>") == 10


def test_a_page_of_several_runs_has_their_networks_in_one_table(nine):
    page = render({"one": nine, "two & more": nine})
    assert "APS-3 (two &amp; more, m2)" in page


def test_figure_4_takes_the_baseline_and_an_aps_network_trained_alike(make):
    models = {
        "other": network("APS", "ct-sample"),
        "aps-3": network("APS-3"),
        "aps-2": network("APS-2"),
        "base": network("Baseline"),
    }
    parts = [rows(label, "mri-sample", 1e-2) for label in models]
    parts += [rows(label, "photo-sample", 1.0, psnr=np.nan) for label in models]
    found = choose(make(parts, models), Asked())
    assert found == Choice("mri-sample", "all-c1", (1, 2), ("base", "aps-2"))
    data = make([rows("base", "mri-sample")], {"base": network("Baseline")}, "second")
    with pytest.raises(UsageError, match="and an APS network trained alike were not measured"):
        choose(data, Asked())
