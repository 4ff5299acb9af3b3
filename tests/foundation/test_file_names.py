"""Files whose names are no UTF-8, which Linux allows: they are measured, stored and shown."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from equibench.errors import DataError
from equibench.foundation.file_names import as_path, as_text
from equibench.runs.run_folder import RunFolder

LATIN = os.fsdecode(b"caf\xe9")  # in Latin-1
SHOWN = r"caf\xe9"
SOURCE = """
import torch


def build():
    return torch.nn.Conv2d(1, 1, 3, padding=1)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")


def test_a_name_becomes_text_and_finds_its_file_again(tmp_path):
    file = tmp_path / LATIN
    file.touch()
    text = as_text(file)
    assert text == f"{tmp_path}/{SHOWN}"
    assert as_path(text) == file


@pytest.mark.parametrize("name", ["net.py", "naïve/ネット.py", r"C:\xe9"])
def test_other_names_stay_as_they_are(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert as_text(tmp_path / name) == str(tmp_path / name)
    assert as_path(str(tmp_path / name)) == tmp_path / name


def test_a_message_about_such_a_file_can_be_stored():
    assert str(DataError(f"{LATIN} is truncated")).encode() == rf"{SHOWN} is truncated".encode()


@pytest.mark.slow
def test_a_model_file_and_its_weights_may_have_such_names(cli, tmp_path):
    folder = tmp_path / LATIN
    folder.mkdir()
    (folder / "net.py").write_text(SOURCE)
    torch.save(torch.nn.Conv2d(1, 1, 3, padding=1).state_dict(), folder / f"{LATIN}.pth")
    model = f"{folder}/net.py:build,weights={folder}/{LATIN}.pth"
    suite = ("-s", "noise,n=1,size=16", "--shifts", "grid:max=1,step=1")
    status, _, err = cli("run", "-m", model, *suite, "--out", "run")
    assert status == 0, err
    status, _, err = cli("report", "run", "-o", "report", "--only", "html")
    assert status == 0, err
    assert r"caf\xe9" in (tmp_path / "report/index.html").read_text()


def test_a_suite_of_such_images_is_measured_and_a_broken_one_is_named(cli, tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 3, padding=1), tmp_path / "net.pt")
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "plain.png")
    for name in ("plain", LATIN):
        shutil.copy(tmp_path / "plain.png", tmp_path / "images" / f"{name}.png")
    (tmp_path / "images" / f"{LATIN}-broken.png").write_bytes(b"no image")
    status, _, _ = cli(
        "run", "-m", "net.pt", "--trust-pickle", "-s", "imagenet", "--data", "imagenet=images",
        "--shifts", "random:n=1,max=4", "--out", "run",
    )  # fmt: skip
    assert status == 1
    folder = RunFolder(tmp_path / "run")
    assert sorted(folder.rows()["case"].unique()) == [f"{SHOWN}.png", "plain.png"]
    (failure,) = json.loads((tmp_path / "run/failures.json").read_text())
    assert failure["cases"] == [f"{SHOWN}-broken.png"]
    assert rf"images/{SHOWN}-broken.png" in failure["message"]


def test_a_run_folder_of_such_a_name_is_refused_in_one_line(cli, tmp_path):
    status, _, err = cli("run", "-m", "unet-aps", "-s", "noise", "--out", LATIN)
    line = f"the name of {SHOWN} is no UTF-8: rename it, or choose another --out"
    assert (status, err) == (2, f"equibench: {line}\n")
    assert not (tmp_path / LATIN).exists()
