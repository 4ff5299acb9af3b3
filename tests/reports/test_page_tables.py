"""The tables of the page, as wide as they have to be and no wider."""

import pytest
from report_runs import constant, rising, rows

pytestmark = pytest.mark.slow

FILE = "photographs/of_walls/grassland.png"
LINES = """(word) => {
    const cells = [...document.querySelectorAll("#sheet td.left")];
    const nodes = cells.flatMap((cell) => [...cell.childNodes]);
    const texts = nodes.filter((node) => node.data?.includes(word));
    return texts.map((text) => {
        const range = document.createRange(), at = text.data.indexOf(word);
        range.setStart(text, at);
        range.setEnd(text, at + word.length);
        return new Set([...range.getClientRects()].map((each) => each.top)).size;
    });
}"""
"""On how many lines each occurrence of a word stands."""
OVERFLOW = "box => box.scrollWidth - box.clientWidth"


@pytest.fixture
def photos(make):
    parts = [
        rows("unet-baseline", "photo-sample", rising),
        rows("aps", "photo-sample", constant(0)),
    ]
    return make([part.assign(case=FILE, cluster=part["case"]) for part in parts])


@pytest.mark.long
def test_all_columns_of_the_summary_are_in_sight_on_a_screen(visit, photos):
    page = visit([photos])
    assert page.locator("#sheet td small").first.inner_text() == "no interval: 2 clusters, 8 needed"
    assert page.locator("#summary .box").evaluate(OVERFLOW) == 0


def test_a_phone_shows_figures_beside_the_names(visit, photos):
    page = visit([photos], 390)
    first = page.locator("#sheet tbody tr").first
    cells = first.locator("td:visible")
    assert cells.first.inner_text().startswith("6.0e-03")
    for n in (0, 1):
        box = cells.nth(n).bounding_box()
        assert box["x"] + box["width"] <= 390
    assert first.locator("th").inner_text().split() == ["unet-baseline", "photo-sample"]


def test_a_reason_for_no_interval_is_said_once_a_line(visit, photos):
    line = visit([photos]).locator("#sheet tbody tr").first
    assert line.inner_text().count("no interval") == 1


@pytest.mark.parametrize("width", [1400, 800, 390])
def test_file_names_break_behind_their_separators_alone(visit, photos, width):
    page = visit([photos], width)
    for word in ("photographs/", "of_", "walls/", "grassland.png"):
        assert page.evaluate(LINES, word) == [1], word


def test_frames_are_as_wide_as_their_tables(visit, photos):
    page = visit([photos])
    for box in page.locator(".box").all():
        table = box.locator("table").bounding_box()
        assert box.bounding_box()["width"] - table["width"] <= 2
    assert page.locator("#leaderboard .box").bounding_box()["width"] < 1000
