"""A report's page in a real browser."""

import shutil
from time import monotonic

import pytest

from equibench.reports.findings.run_data import RunData
from equibench.reports.page.page import render
from equibench.reports.page.worst_cases import Gallery

PATIENCE = 120_000
"""Milliseconds until something that never comes fails a test."""
PAINTED = """canvas => canvas.width > 0 && canvas.getContext('2d')
    .getImageData(0, 0, canvas.width, canvas.height).data.some(v => v > 0)"""


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, the system's; it is told to reach nothing."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not found:
        pytest.skip("no chromium here: apt-get install chromium")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser):
    """Open a file where nothing else can be reached; errors in its console fail the test."""
    errors, contexts = [], []

    def opened(file, width=1400, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(PATIENCE)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(file.as_uri())
        contexts.append(context)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def visit(opened, tmp_path):
    """Open a page of runs."""

    def visit(runs, width=1400, pictures=(), **options):
        data = {run.path.name: RunData.read(run) for run in runs}
        file = tmp_path / "index.html"
        file.write_text(render(data, [Gallery(list(pictures), [])]), encoding="utf-8")
        return opened(file, width, **options)

    return visit


def drawn(canvas):
    """A chart, once it is there; nothing scrolls to it."""
    until = monotonic() + PATIENCE / 1000
    while not canvas.evaluate(PAINTED):
        assert monotonic() < until, canvas.get_attribute("aria-label")
        canvas.evaluate("() => new Promise(requestAnimationFrame)")
    return canvas


def models(page, table="#sheet"):
    names = page.locator(f"{table} tbody tr:visible th").all_inner_texts()
    return [name.partition("\n")[0] for name in names]  # on phones the suite stands below
