"""The map of the project: what it names is there, and its order is the one that is checked."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def contracts():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["tool"]["importlinter"]["contracts"]


def test_every_file_and_folder_that_the_map_names_is_there():
    table = MAP[MAP.index("## To change") :]
    places = re.findall(r"`((?:harness|models|suites|reports|tests|docs)/[\w./]*)`", table)
    assert len(places) > 15
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_the_way_of_an_image_names_modules_that_are_there():
    way = MAP[MAP.index("## The way") : MAP.index("## To change")]
    modules = re.findall(r"`(\w+/\w+\.py)`", way)
    assert len(modules) > 8
    assert [module for module in modules if not (ROOT / "harness" / module).exists()] == []


def test_the_picture_has_the_rooms_in_the_order_that_is_checked():
    layers = next(c for c in contracts() if c.get("containers") == ["equibench"])["layers"]
    drawn = [name for group in re.findall(r'\["([^<"]+)<br/>', MAP) for name in group.split(" · ")]
    checked = [name.strip() for layer in layers for name in layer.split("|")]
    known = {"cli", "commands", "models", "suites", "cases", "transforms", "metrics"}
    assert set(drawn) == set(checked) - {"_moved"}
    order = [name for name in checked if name in drawn and name not in known | {"errors"}]
    assert [name for name in drawn if name not in known | {"errors"}] == order
