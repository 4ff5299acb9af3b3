"""The documentation site: built strictly and without a network, read without a server."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import equibench
from equibench.cli import app
from equibench.registry.listing import list_metrics, list_models, list_suites
from equibench.registry.registries import METRICS, MODELS, SUITES

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


OFFLINE = """
import socket, sys
def refuse(*_):
    raise OSError("the build asked for a network")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, as ``tox -e docs`` builds it, where nothing else can be reached."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def words(page):
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_every_public_name_has_one_place_in_the_reference(site):
    pages = [page.read_text(encoding="utf-8") for page in site.glob("docs/reference/*.html")]
    headings = re.findall(r'<h2 id="equibench\.(\w+)"', "\n".join(pages))
    assert sorted(headings) == sorted(equibench.__all__)


def test_every_registered_name_stands_in_its_table(site):
    for kind, registry, listed in (
        ("models", MODELS, list_models()),
        ("suites", SUITES, list_suites()),
        ("metrics", METRICS, list_metrics()),
    ):
        # other tests register names of their own in this process
        names = {name for name in listed if registry.get(name).distribution == "equibench"}
        assert names
        shown = re.findall(
            r"<td><code>([\w-]+)</code>", (site / f"docs/reference/{kind}.html").read_text()
        )
        assert names - set(shown) == set()


def test_the_help_of_every_command_stands_on_one_page(site):
    shown = words(site / "docs/reference/help.html")
    for name in typer.main.get_command(app).commands:
        assert f"Usage: equibench {name} " in shown


def test_every_page_of_docs_is_in_the_navigation(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    reachable = set(re.findall(r'href="(docs/[\w/-]+\.html)"', start))
    assert {f"docs/{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} <= reachable


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="?([^" >]+)', text)
        loaded += re.findall(r'<link[^>]+rel="?(?:stylesheet|icon|preconnect)[^>]*>', text)
        assert [each for each in loaded if "//" in each] == [], page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "reports/gallery/index.html"])
def test_pictures_have_the_colours_of_the_page(site, opened, name, theme):
    tab = opened(site / name, color_scheme=theme)
    pictures = tab.locator("article img").all()
    shown = [each.get_attribute("src") for each in pictures if each.is_visible()]
    assert shown
    assert all(each.endswith(f"#only-{theme}") for each in shown)
    assert len(pictures) == 2 * len(shown)
    assert all(each.evaluate("image => image.naturalWidth > 0") for each in pictures)


def test_the_site_is_read_and_searched_from_a_folder(site, opened):
    asked = []
    for width in (390, 1400):
        tab = opened(site / "index.html", width)
        tab.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "docs/reference/models.html", "docs/commands.html"):
            tab.goto((site / name).as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.click("input.md-search__input")
    tab.keyboard.type("polyphase")
    tab.wait_for_selector(".md-search-result__item a[href*='measurement.html']")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
