"""The worst cases on the page, and what is there when it is printed or captured."""

import numpy as np
import pytest
from report_pages import drawn
from report_runs import constant, rows

from equibench.reports.page.image_views import encoded
from equibench.reports.page.worst_cases import Picture

pytestmark = pytest.mark.slow

SUITES = ("mri", "ct")
ERRORS = {"worst": 4e-2, "middle": 1e-2, "exact": 0.0}


def picture(subset, model, **changes):
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    grey = encoded(ramp, 0, 1)
    error = ERRORS[model]
    facts = {
        "run": "run", "subset": subset, "model": model, "case": "c0", "shift": (1, -2),
        "element": "", "slice": None, "moved": "", "input": grey, "output": grey, "shifted": grey,
        "difference": grey if error else "", "range": (-0.5, 1.5), "largest": 0.25,
        "numbers": {"eq_nmse": error}, "exact": not error,
    }  # fmt: skip
    return Picture(**facts | changes)


@pytest.fixture
def opened(visit, make):
    """A page with the pictures of three networks on two suites, in an order of no use."""

    def opened(width=1400, changes=None, **options):
        run = make([rows(m, s, constant(e)) for s in SUITES for m, e in ERRORS.items()])
        pictures = [picture(s, m, **(changes or {})) for s in SUITES for m in reversed(ERRORS)]
        return visit([run], width, pictures, **options)

    return opened


def shown(page):
    return page.locator("#gallery .shot:visible h3").evaluate_all(
        "all => all.map(each => each.firstChild.textContent)"
    )


def test_of_each_suite_the_worst_network_is_shown_and_the_others_on_demand(opened):
    page = opened()
    assert shown(page) == ["worst", "worst"]
    more = page.locator("#gallery summary")
    assert more.all_inner_texts() == ["mri: also middle, exact", "ct: also middle, exact"]
    more.first.click()
    page.locator("#gallery .shot:visible").nth(3).wait_for()
    assert shown(page) == ["worst", "middle", "exact", "worst"]


def test_the_filter_shows_the_worst_of_what_is_left(opened):
    page = opened()
    page.fill("#query", "middle")
    assert shown(page) == ["middle", "middle"]
    assert page.locator("#gallery summary:visible").count() == 0
    page.fill("#query", "")
    assert shown(page) == ["worst", "worst"]


def test_the_range_of_the_output_stands_beside_that_of_the_difference(opened):
    words = opened().locator("#gallery .shot").first.inner_text()
    assert "output, from −0.5 to 1.5" in words
    assert "difference, yellow from 0.25, 13 % of the output's range" in words


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "Both outputs are equal in every pixel, to the last bit."),
        ({"labels": True, "range": ()}, "No pixel changes its class."),
        ({"numbers": {"eq_nmse": 1e-3}}, "they differ in what has no grey value, a phase, say."),
    ],
)
def test_a_box_without_a_difference_says_why(opened, changes, reason):
    page = opened(changes=changes)
    page.fill("#query", "exact")
    assert reason in page.locator("#gallery .blank").first.inner_text()
    assert "it errs nowhere beyond rounding" in page.locator("#gallery h3").first.inner_text()


def test_all_figures_and_pictures_are_there_without_scrolling(opened):
    page = opened()
    for canvas in page.locator("canvas:visible").all():
        drawn(canvas)
    loaded = "all => all.every(each => each.complete && each.naturalWidth)"
    assert page.locator("#gallery img").evaluate_all(loaded)
    assert page.evaluate("scrollY") == 0


def test_print_is_dark_on_white_whatever_the_theme(opened):
    page = opened(color_scheme="dark")
    chart = drawn(page.locator("#distribution-charts canvas").first)
    before = chart.evaluate("canvas => canvas.toDataURL()")

    def printed(scheme):
        page.emulate_media(media="print", color_scheme=scheme)
        page.locator("html[data-printing]").wait_for(state="attached")
        return chart.evaluate("canvas => canvas.toDataURL()")

    assert printed("dark") == printed("light") != before
    page.emulate_media(media="screen", color_scheme="dark")
    page.locator("html:not([data-printing])").wait_for(state="attached")
    assert drawn(chart).evaluate("canvas => canvas.toDataURL()") == before


def test_nothing_is_cut_on_a_sheet_of_paper(opened):
    """A4 between margins of 12 mm, at 96 pixels an inch."""
    page = opened(width=703)
    page.emulate_media(media="print")
    page.locator("html[data-printing]").wait_for(state="attached")
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
