"""The house: every module says what it is, every public name has one home, rooms stay small."""

import ast
import importlib
import tomllib
from pathlib import Path

import pytest

import equibench as eb
from equibench import _moved

ROOT = Path(__file__).parents[2]
FOLDERS = {"harness": "equibench", **{f: f"equibench.{f}" for f in ("models", "suites", "reports")}}


def modules():
    """Every module of the project: its dotted name, and what it holds."""
    for folder, package in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(p for p in parts if p != "__init__")])
            yield name, ast.parse(file.read_text(encoding="utf-8"))


MODULES = dict(modules())


def exported(tree):
    """The names in ``__all__``; None where there is no such list."""
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(targets[0], ast.Name) and targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return None


def is_room(name):
    return any(other.startswith(f"{name}.") for other in MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_and_what_it_exports(name):
    assert ast.get_docstring(MODULES[name])
    if not is_room(name) and not name.endswith("__main__"):
        assert exported(MODULES[name]) is not None


def test_every_room_is_part_of_the_distribution():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text)["tool"]["setuptools"]["packages"]
    assert {name for name in MODULES if is_room(name)} <= set(listed)


def test_no_room_has_more_than_ten_modules():
    rooms, files = ([n for n in MODULES if is_room(n) == room] for room in (True, False))
    sizes = {room: sum(n.rpartition(".")[0] == room for n in files) for room in rooms}
    assert len(sizes) > 30
    assert {room: n for room, n in sizes.items() if n > 10} == {}


def test_every_public_name_is_defined_in_exactly_one_module():
    # what a command does is typed, not imported
    importable = [m for m in MODULES if m != "equibench" and ".commands." not in m]
    homes = {
        name: [m for m in importable if name in (exported(MODULES[m]) or ())] for name in eb.__all__
    }
    assert {name: where for name, where in homes.items() if len(where) != 1} == {}
    for name, (home,) in homes.items():
        assert getattr(eb, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("name", eb.__all__)
def test_documentation_names_every_public_name_where_it_lives(name):
    assert f"`eb.{name}" in (ROOT / "docs/api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("module", "name", "now"),
    [(module, name, now) for module, names in _moved.MOVED.items() for name, now in names.items()],
)
def test_old_paths_of_public_names_work_and_say_what_to_write_instead(module, name, now):
    old = importlib.import_module(f"equibench.{module}")
    with pytest.warns(DeprecationWarning, match=f"write `from equibench import {now}`"):
        assert getattr(old, name) is getattr(eb, now)


def test_names_that_never_were_are_no_attributes_of_old_modules():
    store = importlib.import_module("equibench.store")
    with pytest.raises(AttributeError, match=r"'equibench.store' has no attribute 'Runs'"):
        store.Runs  # noqa: B018
