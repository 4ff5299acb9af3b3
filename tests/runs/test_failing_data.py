"""Data that fail are named, the others are measured, and what is mended joins."""

import json
import os
import sys

import pandas as pd
import pytest
import torch
from small_runs import MODEL, SUITE, mistakes, run

pytestmark = pytest.mark.slow


def test_a_truncated_file_fails_its_unit_and_the_others_go_on(cli, tmp_path):
    from equibench.suites.samples.images import MRISample

    sample = MRISample()._path("brain2")
    folder = tmp_path / "knee/singlecoil_val"
    folder.mkdir(parents=True)
    (folder / "good.h5").write_bytes(sample.read_bytes())
    (folder / "broken.h5").write_bytes(sample.read_bytes()[:20000])
    (tmp_path / "plugin.py").write_text("def same():\n    return lambda x: x\n")
    status, _, err = cli(
        "run", "-m", "plugin.py:same", "-s", "fastmri", "--data", "fastmri=knee",
        "--shifts", "paper", "--out", "run",
    )  # fmt: skip
    assert status == 1
    (message,) = mistakes(err)
    assert message.startswith("failed: truncated or not HDF5: knee/singlecoil_val/broken.h5 (")
    assert message.endswith("; fetch the file again")
    assert pd.read_csv(tmp_path / "run/summary.csv")["cases"].tolist() == [1]


def test_a_file_that_is_no_image_fails_its_unit(cli, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_text("I am no image")
    status, _, err = cli("run", "-m", MODEL, "-s", "imagenet", "--data", "imagenet=photos",
                         "--out", "run")  # fmt: skip
    assert status == 1
    assert mistakes(err) == [
        "failed: truncated or no image: photos/a.png (unknown format); fetch the file again"
    ]


def test_one_broken_image_fails_alone_and_is_measured_once_it_is_mended(cli, tmp_path):
    from equibench.suites.samples.images import PhotoSample

    folder = tmp_path / "photos"
    folder.mkdir()
    sample = PhotoSample()
    for name, source in zip("abc", sample.cases(), strict=False):
        (folder / f"{name}.png").write_bytes((sample._folder() / source).read_bytes())
    whole = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(whole[:1000])
    (tmp_path / "plugin.py").write_text("def same():\n    return lambda x: x\n")
    command = ("run", "-m", "plugin.py:same", "-s", "imagenet", "--data", "imagenet=photos",
               "--shifts", "random:n=2,max=8", "--out", "run")  # fmt: skip
    status, _, err = cli(*command)
    assert status == 1
    assert mistakes(err)[0].startswith("failed: truncated or no image: photos/b.png (")
    assert set(pd.read_parquet(tmp_path / "run/rows")["case"]) == {"a.png", "c.png"}
    (folder / "b.png").write_bytes(whole)
    assert cli(*command)[0] == 0
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert rows.groupby("case").size().to_dict() == {"a.png": 3, "b.png": 3, "c.png": 3}


def test_a_case_that_came_later_is_refused_and_not_mixed_in(cli, tmp_path):
    from equibench.suites.samples.images import PhotoSample

    folder = tmp_path / "photos"
    folder.mkdir()
    sample = PhotoSample()
    photo = (sample._folder() / sample.cases()[0]).read_bytes()
    (folder / "b.png").write_bytes(photo)
    (tmp_path / "plugin.py").write_text("def same():\n    return lambda x: x\n")
    command = ("run", "-m", "plugin.py:same", "-s", "imagenet", "--data", "imagenet=photos",
               "--out", "run")  # fmt: skip
    assert cli(*command)[0] == 0
    (folder / "a.png").write_bytes(photo)
    status, _, err = cli(*command)
    assert status == 2
    assert "run holds another run: suites imagenet cases was '1 (" in mistakes(err)[0]


def test_a_helper_of_a_plugin_file_that_changed_is_noticed(cli, tmp_path):
    helper, command = tmp_path / "helper_of_plugin.py", None
    (tmp_path / "plugin.py").write_text(
        "from helper_of_plugin import GAIN\ndef net():\n    return lambda x: GAIN * x\n"
    )
    command = ("run", "-m", "plugin.py:net", "-s", SUITE, "--out", "run")
    for gain, expected in ((1, 0), (2, 2)):
        helper.write_text(f"GAIN = {gain}\n")
        for name in [n for n in sys.modules if n.startswith(("equibench_file_", "helper_of"))]:
            del sys.modules[name]
        status, _, err = cli(*command)
        assert status == expected
    assert "run holds another run: plugin:net source_sha256 was " in mistakes(err)[0]
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "finished"


def test_a_suite_whose_data_were_missing_joins_when_they_are_there(cli, tmp_path):
    from equibench.suites.samples.images import PhotoSample

    status, _, _ = run(cli, "-s", "imagenet", "--limit", 1)
    assert status == 1
    (tmp_path / "photos").symlink_to(PhotoSample()._folder())
    status, _, _ = run(cli, "-s", "imagenet", "--limit", 1, "--data", "imagenet=photos")
    assert status == 0
    assert set(pd.read_csv(tmp_path / "run/summary.csv")["suite"]) == {"noise", "imagenet"}


def test_a_missing_data_root_fails_its_suite_and_the_others_go_on(cli):
    status, out, err = run(cli, "-s", "lodopab")
    assert status == 1
    assert mistakes(err) == [
        "failed: suite 'lodopab' has no data: set EQUIBENCH_DATA=DIR (with "
        "DIR/lodopab/ground_truth_test_000.hdf5) or pass --data lodopab=DIR"
    ]
    assert "base" in out


def test_a_full_disk_stops_the_run_and_keeps_what_is_finished(cli, tmp_path, monkeypatch):
    import errno

    real, written = os.fsync, []

    def full(descriptor):
        assert not torch.is_inference_mode_enabled()
        written.append(descriptor)
        if len(written) == 4:  # the second file of rows
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = run(cli, "--shifts", "random:n=40,max=8")
    assert status == 1
    (message,) = mistakes(err)
    assert message.startswith("equibench: cannot write run/rows/base_noise_")
    assert message.endswith(
        ".parquet: No space left on device; mend that and run the same command again: finished "
        "units are kept"
    )
    assert len(list((tmp_path / "run/rows").glob("*"))) == 1
    monkeypatch.setattr(os, "fsync", real)
    assert run(cli, "--shifts", "random:n=40,max=8")[0] == 0


def test_a_damaged_row_file_is_named_and_not_overwritten(cli, tmp_path):
    status, _, err = run(cli)
    assert (status, mistakes(err)) == (0, [])
    (file,) = (tmp_path / "run/rows").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert cli("table", "run")[0] == 1
    status, _, err = run(cli)
    assert status == 1
    assert f"equibench: run/rows/{file.name} is damaged (" in mistakes(err)[0]
    assert mistakes(err)[0].endswith("delete it and run the same command again")
    assert file.stat().st_size == 100


@pytest.mark.parametrize("suite", ["mri-sample", "ct-sample", "photo-sample"])
def test_the_samples_verify_as_complete(cli, suite):
    status, out, _ = cli("data", "verify", suite)
    assert status == 0
    assert "complete" in out


def test_verify_names_each_broken_file(cli, tmp_path):
    folder = tmp_path / "knee/singlecoil_val"
    folder.mkdir(parents=True)
    (folder / "file1.h5").write_text("no HDF5")
    status, out, _ = cli("data", "verify", "fastmri", "--data", "fastmri=knee")
    assert status == 1
    assert "singlecoil_val: 0 of 7135 slices in 1 file of 199, incomplete" in out
    assert "broken: truncated or not HDF5: knee/singlecoil_val/file1.h5 (" in out


def test_prepare_and_ls_say_what_is_ready(cli):
    assert cli("data", "prepare", "mri-sample")[:2] == (0, "mri-sample: 18 cases ready\n")
    status, out, _ = cli("data", "ls")
    assert status == 0
    assert "✓ mri-sample" in out
    assert "✗ fastmri       no data: set EQUIBENCH_DATA=DIR" in out
