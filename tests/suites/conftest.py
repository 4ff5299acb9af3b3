"""Fixtures that the tests of this room share."""

import pytest


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A cache folder in which the samples are built once for all tests."""
    return tmp_path_factory.mktemp("equibench-cache")


@pytest.fixture(autouse=True)
def _own_folders(built, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_CACHE", str(built))
    monkeypatch.delenv("EQUIBENCH_DATA", raising=False)

    def prompt(*_):
        raise AssertionError("a suite asked a question on standard input")

    monkeypatch.setattr("builtins.input", prompt)
