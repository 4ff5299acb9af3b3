"""Messages that name a section of the page of troubleshooting, and the page that quotes them."""

import pickle
import re
from pathlib import Path

import pytest
import torch

from equibench.errors import EquibenchError, ModelError
from equibench.registry import entries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "harness/troubleshooting.md").read_text(encoding="utf-8")
SECTIONS = {
    heading.lower().replace(" ", "-"): quote
    for heading, quote in re.findall(r"^## (.+)\n\n\*(.+)\*$", PAGE, re.MULTILINE)
}
NET = """
import torch

config = {"width": 8}

def coloured():
    return torch.nn.Conv2d(3, 1, 1)

def smaller():
    return torch.nn.MaxPool2d(2)

class Large(torch.nn.Module):
    def forward(self, images):
        raise MemoryError("no room")
"""
NOISE = ("-s", "noise,n=1,size=32")
SEEN = {
    "unknown-name": ("run", "-m", "unet-ap", *NOISE),
    "wrong-arguments": ("run", "-m", "unet-aps,widht=1", *NOISE),
    "missing-extra": ("run", "-m", "smp-unet", *NOISE),
    "broken-plugin": ("run", "-m", "broken.py:build", *NOISE),
    "no-data": ("run", "-m", "unet-aps", "-s", "fastmri"),
    "no-network": ("run", "-m", "net.py:config", *NOISE),
    "network-raises": ("run", "-m", "net.py:coloured", *NOISE),
    "no-image": ("run", "-m", "net.py:smaller", *NOISE),
    "weights-do-not-fit": ("run", "-m", "net.py:coloured,weights=best.pth", *NOISE),
    "pickled-code": ("run", "-m", "net.py:coloured,weights=whole.pth", *NOISE),
    "another-run": ("run", "-m", "unet-aps,width=0.05", *NOISE, "--out", "runs/first"),
    "out-of-memory": ("run", "-m", "net.py:Large", *NOISE),
    "no-such-device": ("run", "-m", "unet-aps", *NOISE, "--device", "cuda:99"),
}


def topics():
    """Those that code names."""
    for folder in ("harness", "models", "suites", "reports"):
        for file in (ROOT / folder).rglob("*.py"):
            yield from re.findall(r'topic = "([\w-]+)"|topic="([\w-]+)"', file.read_text("utf-8"))


def test_each_topic_of_the_code_has_a_section_and_each_section_a_topic():
    assert {one or other for one, other in topics()} == set(SECTIONS) == set(SEEN)


def test_the_adapters_that_are_advised_are_those_of_own_models():
    known = (ROOT / "docs/own-model.md").read_text(encoding="utf-8")
    advised = set(re.findall(r"`((?:in|out)\.\w+)=", PAGE))
    assert len(advised) > 5
    assert {key for key in advised if f"`{key}=" not in known} == set()


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "broken.py").write_text("import mypackage\n")
    torch.save(torch.nn.Conv2d(1, 8, 3).state_dict(), tmp_path / "best.pth")
    torch.save(torch.nn.Conv2d(3, 1, 1), tmp_path / "whole.pth")
    found = entries._importable
    monkeypatch.setattr(
        entries, "_importable", lambda name: "segmentation" not in name and found(name)
    )


@pytest.mark.slow
@pytest.mark.parametrize("topic", SEEN)
def test_a_message_that_is_seen_often_is_quoted_and_explained(topic, files, cli):
    if topic == "another-run":
        assert cli(*SEEN[topic], "--shifts", "random:n=1,max=4")[0] == 0
    status, _, said = cli(*SEEN[topic])
    assert status in (1, 2)
    *_, message, more = said.splitlines()
    assert more == f"more: equibench explain {topic}"
    for part in SECTIONS[topic].split("…"):
        assert part.strip() in message
    status, shown, _ = cli("explain", topic)
    assert status == 0
    assert SECTIONS[topic] in shown


def test_topics_are_listed_and_an_unknown_one_is_refused(cli):
    assert cli("explain")[1].split() == list(SECTIONS)
    status, _, said = cli("explain", "nonsense")
    assert (status, said.partition(". ")[0]) == (2, "equibench: no topic is called 'nonsense'")


def test_a_traceback_names_the_topic_and_a_pickled_error_keeps_it():
    error = pickle.loads(pickle.dumps(ModelError("it raised", topic="network-raises")))
    assert (str(error), error.topic) == ("it raised", "network-raises")
    assert error.__notes__ == ["more: equibench explain network-raises"]
    assert not hasattr(EquibenchError("it raised"), "__notes__")
