"""The page of a board in a real browser: sorted and filtered by mouse and keyboard."""

import pytest
from board_entries import EIGHT, planted, renamed
from report_runs import HOSTILE

from equibench.board.definition import Board
from equibench.reports.board.board_page import render_board

pytestmark = pytest.mark.slow


def entries():
    found = [
        planted(f"net{n},encoder={encoder}", [factor * (1 + n) * e for e in EIGHT])
        for n in range(8)
        for encoder, factor in (("small", 1), ("large", 3))
    ]
    found.append(planted("mended", EIGHT, model="net0,encoder=small,mend=canonical"))
    found.append(planted("learned", EIGHT, trained="on knees", quality=31.0))
    found.append(planted(HOSTILE, EIGHT, trained=HOSTILE))
    return [*found, renamed(found[0], label="refused", refused={"photos · crop": HOSTILE})]


def board():
    questions = [
        {"swap": ("encoder=small", "encoder=large"), "names": ("small ones", HOSTILE)},
        {"trend": ("time", "error"), "names": ("time", "error")},
    ]
    group = {"title": "all", "models": ["unet-baseline"]}
    return Board(
        title="Toys", suites=["photos"], reference="unet-baseline", settings={}, groups=[group],
        questions=questions,
    )  # fmt: skip


@pytest.fixture
def page(opened, tmp_path):
    file = tmp_path / "index.html"
    file.write_text(render_board(board(), entries()), encoding="utf-8")
    return opened(file)


def networks(page, division="untrained"):
    return page.locator(f"#{division} tbody tr:visible th").all_inner_texts()


def test_networks_stand_in_the_order_of_their_ranks(page):
    assert networks(page)[0] in ("mended", "net0, encoder=small", "refused")
    ranks = page.locator("#untrained tbody td:first-child").all_inner_texts()
    assert list(map(int, ranks)) == sorted(map(int, ranks))
    assert len(networks(page, "trained")) == 2


def test_a_table_that_goes_on_to_the_right_says_so(page):
    page.set_viewport_size({"width": 390, "height": 800})
    box = page.locator("#untrained .box").first
    box.and_(page.locator("[data-more]")).wait_for()
    heading = "getComputedStyle(document.querySelector('#untrained h3 small'), '::after').content"
    assert "more columns" in page.evaluate(heading)
    box.evaluate("box => box.scrollLeft = box.scrollWidth")
    box.and_(page.locator(":not([data-more])")).wait_for()
    assert page.evaluate(heading) == "none"


def test_on_paper_a_table_fills_pages_under_its_headings_and_refers_to_no_screen(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("#untrained .box[data-more]").first.wait_for()
    page.emulate_media(media="print")
    style = "name => getComputedStyle(document.querySelector(name[0]), name[1])[name[2]]"
    assert page.evaluate(style, ["#untrained h3 small", "::after", "content"]) == "none"
    assert page.evaluate(style, ["#untrained", "", "breakInside"]) == "auto"
    assert page.evaluate(style, ["#untrained th button", "", "display"]) == "contents"


def test_a_click_and_a_key_sort_by_a_column(page):
    button = page.locator("#untrained thead button", has_text="worst").first
    button.click()
    assert networks(page)[-1] == "net7, encoder=large"
    button.focus()
    page.keyboard.press("Enter")
    assert networks(page)[0] == "net7, encoder=large"
    heading = page.locator('#untrained th[aria-sort="descending"]')
    assert heading.inner_text().startswith("worst")


def test_the_filter_takes_words_in_any_order_and_says_what_is_left(page):
    page.locator("#query").fill("large net3")
    assert networks(page) == ["net3, encoder=large"]
    assert not page.locator("#trained").is_visible()
    assert page.locator("#matches").inner_text() == "1 of 20 lines match the filter."
    page.locator("#query").fill("no such network")
    assert page.locator("#nothing").is_visible()


def test_treated_networks_can_be_left_out(page):
    assert "mended" in networks(page)
    page.get_by_role("button", name="treated").press("Space")
    assert "mended" not in networks(page)


def test_names_are_shown_and_never_run(page):
    assert page.locator("#trained tbody th", has_text="<script>alert").count() == 1
    assert page.locator("body script").count() == 1
    page.locator("#provenance summary").click()
    assert page.locator("#provenance li", has_text="<script>alert").is_visible()


def test_each_finding_has_a_figure_and_its_rows(page):
    article = page.locator("#findings article")
    assert article.count() == 1
    assert article.locator("svg circle").count() == 16
    article.locator("summary").click()
    assert article.locator("tbody tr").count() == 8
    page.locator("#findings > details summary").click()
    assert "decide nothing" in page.locator("#findings > details li").inner_text()


@pytest.mark.parametrize("width", [1400, 800, 390])
def test_only_tables_scroll_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width


def test_the_theme_changes_with_its_button(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    page.locator("#theme").click()
    light = page.evaluate(colour)
    page.locator("#theme").click()
    assert page.evaluate(colour) != light
