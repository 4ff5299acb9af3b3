"""What the page's maps of shifts and its powers of two say of what they draw."""

import pytest
from report_pages import drawn
from report_runs import constant, rows

pytestmark = pytest.mark.slow

SCATTERED = [(-16, 3), (5, -8), (15, 15), (-13, 1), (0, 9), (7, 6), (-4, -14), (12, 2)]


def test_a_cell_of_pooled_shifts_says_which_it_holds(visit, make):
    page = visit([make([rows("m", "noise", constant(1e-3), shifts=SCATTERED)])])
    drawn(page.locator("#shift-charts canvas").first).focus()
    page.keyboard.press("ArrowRight")
    said = page.locator("#live").inner_text()
    assert "shifts of |dy| 0 to 7, |dx| 0 to 7 pixels, noise" in said


def test_each_network_has_a_colour_and_no_line_crosses_a_power_without_shifts(visit, make):
    shifts = [(1, 0), (8, 8)]
    errors = {"first": 1e-3, "second": 1e-5}
    parts = [rows(m, "noise", constant(e), shifts=shifts) for m, e in errors.items()]
    page = visit([make(parts)])
    canvas = drawn(page.locator("#shift-charts canvas").nth(1))
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert "multiples of 1, not of 2: 2 shifted images" in page.locator("#live").inner_text()
    page.keyboard.press("Escape")
    colours = canvas.evaluate(
        """canvas => {
          const { width, height } = canvas, found = new Set(), right = Math.round(width * 0.62);
          const context = canvas.getContext("2d");
          for (const [left, name] of [[0, "all"], [right, "between"]]) {
            const wide = name === "all" ? width : 1;
            const { data } = context.getImageData(left, 0, wide, height);
            for (let i = 0; i < data.length; i += 4)
              if (data[i + 3] === 255 && Math.max(...data.slice(i, i + 3)) -
                  Math.min(...data.slice(i, i + 3)) > 60)
                found.add(`${name} ${data.slice(i, i + 3).join(",")}`);
          }
          return [...found];
        }"""
    )
    assert {"all 0,114,178", "all 192,79,0"} <= set(colours)
    assert not any(colour.startswith("between") for colour in colours)
