"""Write ``reports/gallery/``: screenshots of the page of the published run, in light and dark.

It needs Chromium and the extra ``test``:

    python tools/make_gallery.py
"""

import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from equibench.reports.registered import html
from equibench.runs.run_folder import RunFolder

ROOT = Path(__file__).parent.parent
RUN = ROOT / "results/published/width-0.125"
GALLERY = ROOT / "reports/gallery"

SHOTS: dict[str, dict[str, Any]] = {
    "overview": {"width": 1400, "height": 880, "section": "overview"},
    "shifts": {"width": 1400, "height": 900, "section": "shifts"},
    "quality": {"width": 1400, "height": 700, "section": "quality"},
    "worst": {"width": 1400, "height": 600, "section": "worst"},
    "phone": {"width": 390, "height": 844, "section": "overview"},
}
"""By the stem of its file: the window in pixels, and what is scrolled to."""
THEMES = {"light": "", "dark": "-dark"}
"""What its file's stem ends with, by theme."""


def main() -> None:
    """Make the page, all worst cases included, and photograph it."""
    chromium = shutil.which("chromium")
    if not chromium:
        sys.exit("no chromium here: apt-get install chromium")
    GALLERY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        (page,) = html(RunFolder(RUN), Path(folder), image_seconds=600)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for (name, shot), (theme, ending) in product(SHOTS.items(), THEMES.items()):
            size = {"width": shot["width"], "height": shot["height"]}
            tab = browser.new_page(viewport=size, color_scheme=theme)
            tab.goto(page.as_uri())
            if shot["section"] != "overview":
                tab.evaluate("id => { location.hash = id }", shot["section"])
            tab.wait_for_timeout(1500)
            file = GALLERY / f"{name}{ending}.png"
            tab.screenshot(path=file)
            # a palette is a third of the size
            image = Image.open(file).convert("RGB")
            palette = image.quantize(192, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            palette.save(file, optimize=True)
            print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")
        browser.close()


if __name__ == "__main__":
    main()
