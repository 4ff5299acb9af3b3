"""What the page's filters leave, and what it says where they leave nothing."""

import pytest
from report_pages import models
from report_runs import constant, described, rows

pytestmark = pytest.mark.slow

OVERVIEW = ("h1", ".lead", ".card dl", "#sheet tbody")


def overview(page):
    return [text for place in OVERVIEW for text in page.locator(place).all_inner_texts()]


@pytest.mark.long
def test_filters_leave_what_matches(visit, two_suites):
    page = visit([two_suites])
    page.fill("#query", "APS")
    assert models(page) == ["APS", "APS"]
    page.locator(".chips").get_by_role("button", name="photo-sample").click()
    assert models(page) == ["APS"]
    assert page.locator(".card:visible h2").all_inner_texts() == ["mri-sample"]
    assert page.locator("#matches").inner_text() == "1 of 4 lines match the filter."


def test_headline_and_counts_speak_of_what_the_filter_leaves(visit, two_suites):
    page = visit([two_suites])
    whole = overview(page)
    page.fill("#query", "baseline")
    assert page.locator("h1").inner_text() == "How robust is this network to shifts?"
    said = "1 of 2 networks processed 32 shifted images of 2 data sets"
    assert said in page.locator(".lead").inner_text()
    card = page.locator(".card dl").first.inner_text().lower().split("\n")
    assert card[0] == "the network"
    assert card[1].startswith("baseline: output changes by 7.7\xa0% on average")
    page.fill("#query", "")
    assert overview(page) == whole


def test_a_network_that_was_trained_for_each_suite_is_one_everywhere_on_the_page(visit, make):
    named = {"baseline": "Baseline", "aps": "APS"}
    parts = [rows(m, "mri-sample", constant(1e-2)) for m in named]
    parts += [rows(f"{m}-ct", "ct-sample", constant(1e-4)) for m in named]
    models = {f"{m}{ct}": described(name) for m, name in named.items() for ct in ("", "-ct")}
    page = visit([make(parts, models)])
    said = [text.partition(":") for text in page.locator(".sentences li").all_inner_texts()]
    assert [name for name, *_ in said] == ["Baseline", "APS"]
    assert all("On mri-sample" in text and "On ct-sample" in text for *_, text in said)
    assert page.locator("#board tbody th").all_inner_texts() == ["Baseline", "APS"]
    assert "2 networks processed" in page.locator(".lead").inner_text()
    assert "these are 4 models, listed under Provenance" in page.locator("#overview").inner_text()
    page.fill("#query", "aps-ct")
    assert "1 of 2 networks processed" in page.locator(".lead").inner_text()
    assert page.locator(".sentences li:visible").count() == 1


def test_the_ends_of_a_filtered_card_are_those_of_the_table(visit, make):
    errors = {"a": 1e-2, "b": 1e-4, "c": 1e-6, "bc": 1e-8}
    page = visit([make([rows(m, "noise", constant(e)) for m, e in errors.items()])])
    page.fill("#query", "b")
    said = page.locator(".card dd").all_inner_texts()
    assert [text.partition(":")[0] for text in said] == ["bc", "b"]
    assert said[1].endswith(", 100 times as much.")


@pytest.mark.parametrize("width", [1400, 390])
def test_no_match_is_said_instead_of_empty_axes(visit, two_suites, width):
    page = visit([two_suites], width)
    page.fill("#query", "nobody")
    note = page.locator("#nothing")
    assert note.inner_text().startswith("No network matches “nobody” on what is chosen.")
    assert page.locator("canvas:visible").count() == 0
    assert page.locator("#sheet, #board").evaluate_all("all => all.every(t => !t.offsetHeight)")
    note.get_by_role("button", name="Clear the filter").click()
    assert note.is_hidden()
    assert models(page) == ["Baseline", "APS", "Baseline", "APS"]


def test_a_chart_without_numbers_says_so(visit, two_suites):
    page = visit([two_suites])
    page.get_by_label("Metric").first.select_option("delta_psnr")
    photo = page.locator("#shift-charts [data-subset=photo-sample]")
    assert "No ΔPSNR of what is shown on photo-sample." in photo.inner_text()


def test_the_panels_of_suites_share_one_scale(visit, make):
    errors = {"near": 1e-3, "far": 1e-9}
    page = visit([make([rows("m", suite, constant(e)) for suite, e in errors.items()])])
    places = []
    for canvas in page.locator("[data-chart=dots] canvas").all():
        canvas.focus()
        page.keyboard.press("ArrowRight")
        places.append(page.locator("#tip").bounding_box()["x"] - canvas.bounding_box()["x"])
    assert places[0] > places[1] + 50


def test_on_a_phone_the_name_of_a_metric_stays_beside_its_numbers(visit, two_suites):
    page = visit([two_suites], 390)
    box, name = page.locator("#summary .box"), page.locator("#sheet th.metric span").first
    worst = page.locator("#sheet tbody tr").first.locator("td").nth(3)
    box.evaluate("box => box.scrollLeft = 150")
    assert worst.bounding_box()["x"] < 390
    model = page.locator("#sheet th.name").first.bounding_box()
    assert name.bounding_box()["x"] >= model["x"] + model["width"]
    assert name.bounding_box()["x"] + name.bounding_box()["width"] <= 390
