"""The page, as text and in a real browser."""

import base64
import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest
from report_pages import drawn, models
from report_runs import HOSTILE, constant, described, rising, rows

from equibench.reports.findings.run_data import RunData
from equibench.reports.page.chart_data import embedded
from equibench.reports.page.page import render
from equibench.reports.page.worst_cases import worst_cases
from equibench.reports.registered import figures, html, tables
from equibench.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow


def payload_of(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text[1])


def text_of(page):
    return " ".join(re.sub(r"<[^>]+>", "", page.partition("<script")[0]).split())


def test_the_page_stands_alone(two_suites, tmp_path):
    (file,) = html(two_suites, tmp_path / "out", image_seconds=0)
    assert file.name == "index.html"
    page = file.read_text(encoding="utf-8")
    assert len(page) < 200_000
    sources = re.findall(r"""\s(?:src|href|action)=["']?([^"'\s>]+)|url\(([^)]*)\)""", page)
    assert all(re.match(r"data:|#", "".join(found)) for found in sources)
    assert not re.search(r"@import|https?://|fetch\(|import\(", page)


def test_no_script_but_the_pages_own_may_run(two_suites):
    page = render({"run": RunData.read(two_suites)})
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.split("; ")[0] == "default-src 'none'"
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_page_says_what_was_measured_on_what(two_suites):
    text = text_of(render({"run": RunData.read(two_suites)}))
    assert "2 networks processed 64 shifted images of 2 data sets" in text
    assert "Most robust APS: output does not change beyond rounding." in text
    assert "Untrained: unet-baseline. An untrained network starts from a fixed seed" in text
    assert "derived from the test data of pyradiomics" in text
    assert "abc-dirty" in text
    assert "mri-sample version 1 (n=2)" in text
    assert "--shifts grid:max=6,step=3 --precision fp32 --seed 7 --data fastmri=DIR" in text
    assert "/private/place" not in text


@pytest.mark.parametrize(("cases", "named"), [(4, False), (12, True)])
def test_the_legend_names_intervals_where_there_are_any(make, cases, named):
    def by_case(case, dy, dx):
        return 1e-3 * (1 + int(case[1:]))

    run = make([rows("unet-baseline", "mri-sample", by_case, cases=cases)])
    legend = render({"run": RunData.read(run)}).partition('class="muted legend"')[2]
    assert ("95 % interval of the mean" in legend.partition("</p>")[0]) == named


def test_padding_is_told_before_the_numbers(make):
    part = rows("m", "noise", constant(0.1)).assign(padded=True)
    text = render({"run": RunData.read(make([part]))})
    assert text.count("dded and cropped back, which changes equivariance: m") == 1
    assert text.index("Padded and cropped back") < text.index('class="cards"')


def test_what_is_turned_is_not_called_shifted(make):
    shifted = rows("m", "noise", constant(0.1))
    turned = shifted.assign(transform="d4", element="rot90", dy=np.nan, dx=np.nan)
    text = text_of(render({"run": RunData.read(make([pd.concat([shifted, turned])]))}))
    assert "processed 16 shifted and 16 otherwise transformed images of 1 data set" in text
    assert "16 shifted images a model" in text
    assert "16 transformed images a model" in text


def test_one_network_alone_is_not_compared_with_others(make):
    page = render({"run": RunData.read(make([rows("m", "noise", constant(0.1))]))})
    assert re.search(r"<h1[^>]*>How robust is this network to shifts\?</h1>", page)
    alone = text_of(page)
    assert "Most robust" not in alone
    assert "All alike" not in alone


def test_hostile_names_are_text(hostile):
    page = render({"run": RunData.read(hostile)})
    assert page.count("<script") == page.count("</script>") == 2
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;" in page
    assert "and 2 more" in page
    assert payload_of(page)["series"][0]["model"] == HOSTILE


def test_json_survives_in_a_script_and_keeps_what_is_not_finite():
    value = {"a": "</script><!-- &\u2028", "b": [float("nan"), float("inf"), -float("inf"), 1 / 3]}
    text = embedded(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value | {"b": ["NaN", "Infinity", "-Infinity", 0.3333]}


def test_charts_have_the_numbers_of_the_rows(two_suites):
    found = payload_of(render({"run": RunData.read(two_suites)}))
    baseline = found["series"][0]
    assert (baseline["model"], baseline["subset"]) == ("unet-baseline", "mri-sample")
    assert baseline["stats"]["eq_nmse"]["mean"] == 6e-3
    assert len(baseline["points"]["values"]["eq_nmse"]) == 16
    heat = baseline["maps"]["eq_nmse"]
    cell = list(zip(heat["dy"], heat["dx"], strict=True)).index((-3, 3))
    assert (heat["mean"][cell], heat["worst"][cell]) == (7.5e-3, 8e-3)
    assert heat["cases"][heat["case"][cell]] == "c1"
    assert found["series"][3]["stats"]["eq_nmse"]["mean"] == "NaN"


def test_what_ranks_networks_is_exact_on_the_page(make):
    errors = {"a": 1.000001e-3, "b": 1.000002e-3}
    data = RunData.read(make([rows(m, "mri-sample", constant(e)) for m, e in errors.items()]))
    for series in payload_of(render({"run": data}))["series"]:
        (line,) = data.summary[data.summary["model"] == series["model"]].to_dict("records")
        assert series["stats"]["eq_nmse"]["mean"] == line["eq_nmse_mean"]
        assert series["stats"]["delta_psnr"]["worst"] == line["delta_psnr_worst"]
        assert series["quality"]["psnr"] == line["psnr_mean"]


def test_points_beyond_the_budget_are_thinned_and_the_worst_is_kept(make, monkeypatch):
    monkeypatch.setattr("equibench.reports.page.chart_data._POINTS", 20)
    run = make([rows("m", "noise", rising, cases=40)])
    points = payload_of(render({"run": RunData.read(run)}))["series"][0]["points"]
    assert points["total"] == 320
    assert len(points["case"]) <= 23
    assert max(points["values"]["eq_nmse"]) == 8e-3


def test_a_run_of_failures_only_has_a_page_and_no_figures(make, tmp_path):
    failures = [
        {"model": "m", "error": "ModelError", "message": f"m raised {i}"} for i in range(60)
    ]
    run = make([], {"m": described()}, failures, state="interrupted")
    (file,) = html(run, tmp_path / "out")
    page = file.read_text(encoding="utf-8")
    assert "This run has no measurements" in page
    assert "This run is interrupted: the numbers are of what is there." in page
    assert "m raised 49" in page
    assert "And 10 more in <code>failures.json</code>" in page
    assert figures(run, tmp_path / "out") == []
    assert (tables(run, tmp_path / "out")[1]).read_text() == "No measurements.\n"


def test_models_that_cannot_be_loaded_any_more_are_named(two_suites):
    gallery = worst_cases("run", RunData.read(two_suites), seconds=20)
    assert gallery.pictures == []
    said = "Left out: the weights of unet-baseline are not those of the run: repeat the run."
    assert said in gallery.notes


def test_the_worst_case_of_a_model_is_shown_again(cli, tmp_path):
    models = [f"unet-{name},width=0.0625,label={name}" for name in ("baseline", "aps")]
    chosen = ["-m", models[0], "-m", models[1], "-s", "noise,n=2,size=32"]
    cli("run", *chosen, "--shifts", "random:n=3,max=4", "--out", "run")
    data = RunData.read(RunFolder(tmp_path / "run"))
    gallery = worst_cases("run", data, seconds=60)
    assert gallery.notes == []
    base, aps = gallery.pictures
    line = data.summary[data.summary["model"] == "baseline"].iloc[0]
    assert (base.case, base.shift) == (
        line["eq_nmse_worst_case"],
        (line["eq_nmse_worst_dy"], line["eq_nmse_worst_dx"]),
    )
    assert (aps.case, aps.shift) == (base.case, base.shift)
    assert base.difference.startswith("data:image/webp;base64,")
    assert base.numbers["eq_nmse"] == line["eq_nmse_worst"]
    late = worst_cases("run", data, seconds=-1)
    assert late.notes == ["2 pictures left out for time or size; --image-seconds gives more time."]


# ---- in a browser


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_fits_and_every_chart_is_painted(visit, two_suites, width):
    page = visit([two_suites], width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for canvas in page.locator("canvas").all():
        drawn(canvas)


def test_the_page_opens_fast(visit, two_suites):
    """By the processor's time, which other processes do not take away."""
    page = visit([two_suites])
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    assert 0 < metrics["TaskDuration"] < 1


def test_a_click_sorts_and_a_second_one_turns_round(visit, two_suites):
    page = visit([two_suites])
    worst = page.locator("#sheet thead tr").nth(1).locator("th button").nth(2)
    assert worst.inner_text() == "worst"
    worst.click()
    first = ["APS", "Baseline", "Baseline", "APS"]  # NaN is last
    assert models(page) == first
    worst.click()
    column = page.locator("#sheet th[aria-sort=descending]")
    assert column.count() == 1
    values = page.locator("#sheet tbody tr td:nth-child(5)").all_inner_texts()
    assert values == ["2.0e-02", "8.0e-03", "0", "NaN"]


def test_the_section_in_view_is_marked_in_the_navigation(visit, two_suites):
    page = visit([two_suites])
    current = page.locator("nav a[aria-current]")
    assert current.all_inner_texts() == ["Overview"]
    page.evaluate("document.getElementById('quality').scrollIntoView()")
    page.locator("nav a[aria-current][href='#quality']").wait_for()
    assert current.all_inner_texts() == ["Quality"]


@pytest.mark.parametrize("width", [1400, 800, 390])
def test_the_navigation_is_not_cut(visit, two_suites, width):
    page = visit([two_suites], width)
    links = page.locator("nav a").all()
    assert all(link.bounding_box()["x"] + link.bounding_box()["width"] <= width for link in links)


def test_hovering_a_cell_names_shift_value_and_case(visit, two_suites):
    page = visit([two_suites])
    canvas = drawn(page.locator("#shift-charts canvas").first)
    canvas.hover(position={"x": 60, "y": 40})
    lines = page.locator("#tip").inner_text().splitlines()
    assert lines[:2] == ["Baseline", "shift (−3, −3) pixels, mri-sample"]
    assert lines[2:] == ["mean NMSE 7.5e-03", "worst 8.0e-03, c1"]


def test_the_arrow_keys_move_from_cell_to_cell(visit, two_suites):
    page = visit([two_suites])
    drawn(page.locator("#shift-charts canvas").first).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "shift (−3, 0) pixels" in page.locator("#live").inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert "shift (3, 0) pixels" in page.locator("#live").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_sorting_needs_no_mouse(visit, two_suites):
    page = visit([two_suites])
    page.locator("#sheet th button").first.focus()
    page.keyboard.press("Enter")
    assert models(page) == ["APS", "APS", "Baseline", "Baseline"]


def test_the_theme_follows_the_system_until_it_is_chosen(visit, two_suites):
    page = visit([two_suites], color_scheme="dark")
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(back) != dark
    page.click("#theme")
    assert page.evaluate(back) == dark


def test_metric_scale_and_lines_can_be_chosen(visit, two_suites):
    page = visit([two_suites])
    scale, metric = (page.get_by_label(n).first for n in ("Colours", "Metric"))
    scale.select_option("panel")
    metric.select_option("delta_psnr")
    canvas = drawn(page.locator("#shift-charts canvas").first)
    canvas.hover(position={"x": 60, "y": 40})
    assert "mean ΔPSNR 0.075" in page.locator("#tip").inner_text()
    page.get_by_label("Lines").select_option("Baseline")
    drawn(page.locator("#distribution-charts canvas").first).focus()
    page.keyboard.press("ArrowDown")
    assert "c0, shift (−3, −3)" in page.locator("#live").inner_text()


def test_hostile_names_stay_text_in_the_browser(visit, hostile):
    page = visit([hostile])
    assert models(page) == [HOSTILE]
    drawn(page.locator("[data-chart=dots] canvas")).focus()
    page.keyboard.press("ArrowDown")
    assert HOSTILE in page.locator("#live").inner_text()


def test_runs_stand_side_by_side_and_can_be_taken_out(visit, make):
    runs = [
        make([rows("m", "noise", constant(v))], name=n) for n, v in (("old", 1e-3), ("new", 1e-5))
    ]
    page = visit(runs)
    assert page.locator("#sheet tbody tr td:first-child").all_inner_texts() == ["old", "new"]
    assert "m (new)" in page.locator(".card dd").first.inner_text()
    page.locator(".chips").get_by_role("button", name="old").click()
    assert page.locator("#sheet tbody tr:visible td:first-child").all_inner_texts() == ["new"]


@pytest.mark.long
def test_fifty_models_and_failures_only_open_as_well(visit, make):
    parts = [rows(f"model-{i}", "noise", rising, cases=1) for i in range(50)]
    assert len(models(visit([make(parts)]))) == 50
    empty = make([], {"m": described()}, [{"message": "m raised"}], name="empty", state="failed")
    assert "m raised" in visit([empty]).locator("#failures").inner_text()
