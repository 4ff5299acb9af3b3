"""The paper's tables: published numbers with measured ones beside them."""

import pytest
from paper_runs import network, rows

from equibench.reports.findings.published_results import VARIANTS, paper_name, values
from equibench.reports.page.page import render
from equibench.reports.paper.definitions import DEFINITIONS, ERROR, MRI_EQUIVARIANCE
from equibench.reports.paper.side_by_side import paper_tables
from equibench.reports.paper.text import markdown


def untrained(name):
    entry = network(name, weights="untrained")
    del entry["trained"]
    return entry


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_table_says_how_many_shifts_its_worst_comes_from(nine):
    worst = paper_tables({"run": nine})[2]
    assert worst.text == (
        "2 cases, 3 shifts of each: 6 comparisons; networks trained on mri-sample (preset "
        "sample), fp32; shifts random:n=3,max=16, canonical frame. Paper: fastMRI "
        "knee, 199 volumes, ten shifts of each."
    )
    assert worst.lines[0].cells[0].text == "0.00400"


def test_acquisitions_are_kept_apart_but_for_the_worst_of_all(paper_run):
    parts = [
        rows("m", "fastmri", 1e-3, group="PD"),
        rows("m", "fastmri", 4e-3, group="PDFS", cases=1, delta_psnr=0.7),
    ]
    equivariance, quality, worst = paper_tables({"run": paper_run(parts, {"m": network("APS")})})
    assert [n.text for n in equivariance.blocks[0].names] == [
        *("measured PD", "measured PDFS", "paper PD", "paper PDFS"),
    ]
    cells = [cell.text for cell in equivariance.lines[0].cells[:4]]
    assert cells == ["1.00e-03", "2.00e-03", "1.21e-07", "7.37e-15"]
    assert [d.group for d in quality.decisions] == ["PD", "PDFS"]
    assert list(quality.decisions[1].published) == ["PDFS"]
    assert [cell.text for cell in worst.lines[0].cells] == ["0.700", "0.00086"]


def test_a_mean_over_groups_counts_cases(paper_run):
    parts = [
        rows("m", "imagenet", 1e-3, group="a", cases=3),
        rows("m", "imagenet", 5e-3, group="b", cases=1),
    ]
    (table,) = paper_tables({"run": paper_run(parts, {"m": network("APS")})})
    assert table.values(ERROR, "all")["APS"] == [pytest.approx((3 * 1.5e-3 + 2.5e-3) / 4)]


def test_networks_stand_only_in_tables_of_what_they_were_trained_on(paper_run):
    suites = ("mri-sample", "photo-sample", "ct-sample")
    models = {"mri": network("APS"), "ct": network("APS", "ct-sample")}
    run = paper_run([rows(m, s) for m in models for s in suites], models)
    tables = paper_tables({"run": run})
    assert {(t.definition.number, t.setting.suite): t.networks[0].label for t in tables} == {
        (1, "mri-sample"): "mri",
        (2, "mri-sample"): "mri",
        (3, "photo-sample"): "mri",
        (4, "ct-sample"): "ct",
    }
    assert all(len(table.networks) == 1 for table in tables)


def test_the_ct_table_has_the_papers_ssim_beside_the_ordinary_one(paper_run):
    models = {"ct": network("APS", "lodopab")}
    equivariance, quality = paper_tables({"run": paper_run([rows("ct", "lodopab")], models)})
    assert [b.heading for b in equivariance.blocks] == ["NMSE ↓", "SSIM (columns) ↑", "SSIM ↑"]
    assert [n.text for n in equivariance.blocks[2].names] == ["measured"]
    assert [c.text for c in quality.lines[0].cells] == [
        *("0.0200", "0.0055", "30.00", "34.84", "0.7500", "0.8214", "0.8000"),
    ]
    assert not equivariance.notes


def test_untrained_networks_stand_in_every_table_with_a_caveat(paper_run):
    suites = ("mri-sample", "ct-sample")
    tables = paper_tables(
        {"run": paper_run([rows("m", s) for s in suites], {"m": untrained("APS")})}
    )
    assert [table.definition.number for table in tables] == [1, 1, 2, 4, 4]
    assert tables[0].notes == [
        "mri-sample holds other data than the paper’s.",
        "The networks are untrained: they show what an architecture does.",
    ]


def test_weights_of_unknown_training_carry_a_caveat(paper_run):
    entry = untrained("APS") | {"weights": "theirs.pt"}
    table = paper_tables({"run": paper_run([rows("m", "fastmri")], {"m": entry})})[0]
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
def test_two_kinds_of_network_never_meet_in_a_table(paper_run, change, models, texts):
    models = {"a": network("APS"), **models}
    run = paper_run([rows(label, "mri-sample") for label in models], models, **change)
    tables = [t for t in paper_tables({"run": run}) if t.definition is MRI_EQUIVARIANCE]
    assert [table.names for table in tables] == [["APS"], ["LPF-2"]]
    for table, text in zip(tables, texts, strict=True):
        assert text in f"{table.title} {table.text}"


def test_two_precisions_or_data_sets_never_meet_in_a_table(paper_run):
    models = {"a": network("APS")}
    parts = [rows("a", "mri-sample"), rows("a", "fastmri")]
    runs = {
        "one": paper_run(parts, models, "one"),
        "two": paper_run([rows("a", "mri-sample", precision="fp64")], models, "two"),
    }
    tables = [t for t in paper_tables(runs) if t.definition is MRI_EQUIVARIANCE]
    assert sorted((t.setting.suite, t.setting.precision) for t in tables) == [
        ("fastmri", "fp32"),
        ("mri-sample", "fp32"),
        ("mri-sample", "fp64"),
    ]


def test_runs_are_read_together(paper_run):
    runs = {
        "one": paper_run([rows("x", "mri-sample", 1e-9)], {"x": network("APS")}, "one"),
        "two": paper_run([rows("x", "mri-sample", 1e-3)], {"x": network("LPF-2")}, "two"),
    }
    assert paper_tables(runs)[0].values(ERROR, "all") == {"LPF-2": [1e-3], "APS": [1e-9]}


def test_two_networks_of_one_name_are_told_apart(paper_run):
    one = paper_run(
        [rows(x, "mri-sample") for x in "xy"], dict.fromkeys("xy", network("APS")), "one"
    )
    assert paper_tables({"one": one})[0].names == ["APS (x)", "APS (y)"]
    two = paper_run([rows("x", "mri-sample")], {"x": network("APS")}, "two")
    assert paper_tables({"one": one, "two": two})[0].names[2] == "APS (two, x)"


def test_each_table_takes_the_shifts_that_the_paper_took(paper_run):
    models = {"a": network("APS")}
    runs = {
        plan: paper_run([rows("a", "mri-sample", shifts=n)], models, name, shifts=plan)
        for name, plan, n in [("one", "paper", 1), ("ten", "paper:passes=10", 10)]
    }
    tables = paper_tables(runs)
    assert [(t.definition.number, t.setting.shifts) for t in tables] == [
        (1, "paper"),
        (1, "paper"),
        (2, "paper:passes=10"),
    ]


def test_a_table_says_in_what_the_recipes_of_its_networks_differ(paper_run):
    models = {"a": network("APS"), "b": network("Baseline + DA"), "c": network("LPF-2")}
    parts = [rows(label, "fastmri") for label in models]
    assert paper_tables({"r": paper_run(parts, models, "one")})[0].notes == []
    models["c"]["trained"]["recipe"] |= {"epochs": 3, "clip": 1.0}
    (note,) = paper_tables({"r": paper_run(parts, models, "two")})[0].notes
    assert note == "The networks were trained with different values of clip, epochs."


def test_a_network_with_failed_cases_is_named(paper_run):
    suites = {"mri-sample": {"name": "mri-sample", "cases": "5 (abc)"}}
    table = paper_tables(
        {"r": paper_run([rows("a", "mri-sample")], {"a": network("APS")}, suites=suites)}
    )[0]
    assert table.notes[-1] == "Not all of 5 cases: APS has 2."


def test_networks_of_others_have_no_tables(paper_run):
    run = paper_run([rows("a", "mri-sample")], {"a": {"spec": "ours", "weights": ""}})
    assert paper_tables({"run": run}) == []
    assert markdown([]) == "None of the paper's networks was measured on MRI, CT or photos.\n"
    assert "Beside the paper" not in render({"run": run})
