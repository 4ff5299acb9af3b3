"""A toy board, measured once, and entries with planted numbers."""

from dataclasses import replace

import pytest

from equibench.board.definition import read_board
from equibench.board.entry import CaseErrors, Entry, read_entries
from equibench.board.measuring import measure

NET = """
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self, mode="zeros", seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode)

    def forward(self, images):
        return self.conv(images)


class Pooled(Plain):
    def forward(self, images):
        small = nn.functional.max_pool2d(self.conv(images), 2)
        return nn.functional.interpolate(small, scale_factor=2)


class Fixed(Plain):
    def forward(self, images):
        assert images.shape[-1] == 16, "16 columns alone"
        return self.conv(images)


def broken():
    raise RuntimeError("no such weights")
"""

BOARD = """
title = "Toys"
suites = ["noise,n=8,size=16"]
reference = "{net}:Plain"

[settings]
metrics = ["nmse"]
shifts = "random:n=2,max=4"
transforms = ["crop:random:n=1,max=2,window=8", "d4:grid=1"]

[[groups]]
title = "plain"
models = [
  "{net}:Plain,label=zeros", "{net}:Plain,mode=circular,label=circular", "{net}:Fixed,label=fixed",
]

[[groups]]
title = "pooled"
models = [
  "{net}:Pooled,mode=circular", "{net}:Pooled,mode=circular,mend=canonical",
  "{net}:broken,label=broken",
]

[[groups]]
title = "learned"
trained = "on nothing in particular"
licence = "MIT"
models = ["{net}:Pooled,seed=1,label=learned"]
"""


class Toys:
    """A measured board: its folder, definition, entries by label, what was said and what failed."""

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "board.toml"
        net = folder / "net.py"
        net.write_text(NET, encoding="utf-8")
        self.file.write_text(BOARD.format(net=net), encoding="utf-8")
        self.board = read_board(self.file)
        self.said = []
        self.failed = self.measure(self.said)

    def measure(self, said, board=None, **options):
        return measure(
            board or self.board,
            self.folder / "entries",
            self.folder / "runs",
            said.append,
            **options,
        )

    @property
    def entries(self):
        return {entry.label: entry for entry in read_entries(self.folder / "entries")}


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return Toys(tmp_path_factory.mktemp("board"))


EIGHT = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17]
"""Errors of eight images."""


def planted(label, errors, *, trained="", model="", quality=None, motions=("circular",), **facts):
    """An entry with an error for each of some images, the same under every motion."""
    truth = {} if quality is None else {"psnr": quality}
    at = ["(1, 0)", "(0, 1)"]
    cases = [
        CaseErrors("photos", motion, f"c{n}", f"c{n}", 0.0, at, [error, error], [], truth)
        for motion in motions
        for n, error in enumerate(errors)
    ]
    return Entry(
        label=label,
        model=model or label,
        trained=trained,
        source="",
        licence="",
        identity={"parameters": 1000, "state_sha256": label},
        facts={"time": 1.0, "padding": "zeros", "stride": [], "evidence": "", "obstacle": "it pads"}
        | facts,
        conditions={"precision": "fp32", "suites": {}},
        environment={"versions": {"torch": "2.14.1"}, "commit": "abc"},
        measured="",
        refused={},
        errors=cases,
    )


def renamed(entry, **fields):
    return replace(entry, **fields)
