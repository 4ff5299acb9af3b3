"""Outputs that were kept stand in for the network: every number of theirs is the network's."""

import numpy as np
import pandas as pd
import pytest
import torch

import equibench as eb
from equibench.measurement.kept_outputs import UNSHIFTED, KeptOutput
from equibench.runs.outputs.output_files import OutputFiles

pytestmark = pytest.mark.slow

NETS = """
from pathlib import Path
import torch
import equibench as eb

def strided():
    assert not Path("forbidden").exists(), "the network is not to be built"
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1, stride=2), torch.nn.ReLU(),
                               torch.nn.Upsample(scale_factor=2), torch.nn.Conv2d(2, 1, 1))

def larger():
    network = torch.nn.Sequential(strided(), torch.nn.Upsample(scale_factor=2))
    return eb.adapt(network, "out.scale=2")

def restored():
    return eb.adapt(strided(), "in.mean=0.3,in.std=2,out.restore=true")

def classes():
    network = torch.nn.Sequential(strided(), torch.nn.Conv2d(1, 3, 1))
    return eb.adapt(network, "out.labels=argmax")

class Volumes(eb.Suite):
    name, images_per_case = "volumes", 3
    clamp = 1.5
    def cases(self):
        return ["a", "c"] if Path("moved").exists() else ["a", "b"]
    def load(self, name):
        image = torch.randn(3, 1, 16, 24, generator=torch.Generator().manual_seed(ord(name)))
        scale = torch.tensor([2.0, 3.0, 4.0])
        return eb.Case(name=name, group=name, input=image, target=image.relu() * 3, scale=scale)

class Masks(eb.Suite):
    name, metrics = "masks", ("agreement",)
    def cases(self):
        return ["a", "b"]
    def load(self, name):
        image = torch.randn(1, 1, 16, 24, generator=torch.Generator().manual_seed(ord(name)))
        return eb.Case(name=name, input=image, target=(image > 0).long() + (image > 1))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def run(cli, *options, metrics="nmse", out="kept", keep=True):
    kept = ["--keep-outputs"] if keep else []
    chosen = [] if metrics is None else ["--metrics", metrics]
    status, shown, said = cli("run", *options, *chosen, *kept, "--out", out)
    assert status == 0, said
    return shown, said


def rows(name):
    return eb.RunFolder(name).rows()


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "all_metrics", "some"),
    [
        (("-m", "nets.py:strided", "-s", "nets.py:Volumes"), "nmse,psnr,ssim,ssim-columns", "nmse"),
        (("-m", "nets.py:strided", "-s", "nets.py:Volumes", "--frame", "reference"),
         "nmse,psnr,ssim", "nmse"),
        (("-m", "nets.py:larger", "-s", "noise,n=3,size=16"), "nmse,psnr,ssim", "nmse"),
        (("-m", "nets.py:restored", "-s", "nets.py:Volumes"), "nmse,psnr,ssim", "nmse"),
        (("-m", "nets.py:classes", "-s", "nets.py:Masks"), "agreement,iou,boundary-dice",
         "agreement"),
        (("-m", "nets.py:strided", "-s", "nets.py:Volumes", "--precision", "bf16"),
         "nmse,psnr,ssim", "nmse"),
        (("-m", "nets.py:strided", "-s", "noise,n=3,size=32", "--shifts", "random:n=3,max=8",
          "--transform", "crop:random:n=2,max=4", "--transform", "d4"), "nmse,psnr,ssim", "nmse"),
    ],
)  # fmt: skip
def test_metrics_computed_from_kept_outputs_are_those_of_a_run(
    cli, folder, options, all_metrics, some
):
    more = () if "--transform" in options else ("--shifts", "random:n=3,max=8")
    run(cli, *options, *more, metrics=all_metrics, keep=False, out="whole")
    run(cli, *options, *more, metrics=some)
    status, _, said = cli("rescore", "kept", "--metrics", all_metrics, "--out", "again")
    assert status == 0, said
    pd.testing.assert_frame_equal(rows("again"), rows("whole"), check_exact=True)
    summaries = [eb.RunFolder(name).summary() for name in ("again", "whole")]
    pd.testing.assert_frame_equal(*summaries, check_exact=True)


def test_it_builds_no_network(cli, folder):
    run(cli, "-m", "nets.py:strided", "-s", "noise,n=2,size=16", "--shifts", "random:n=2,max=8")
    (folder / "forbidden").touch()
    assert cli("rescore", "kept", "--metrics", "ssim")[0] == 0
    assert rows("kept-rescored")["eq_ssim"].notna().all()


def test_the_run_stays_as_it_is_and_the_new_one_says_where_it_is_from(cli, folder):
    run(cli, "-m", "nets.py:strided", "-s", "noise,n=2,size=16", "--shifts", "random:n=2,max=8")
    before = {f: f.read_bytes() for f in (folder / "kept").rglob("*") if f.is_file()}
    assert cli("rescore", "kept", "--metrics", "ssim,psnr", "--out", "new")[0] == 0
    assert {f: f.read_bytes() for f in before} == before
    manifest = eb.RunFolder("new").manifest
    assert manifest["rescored"]["from"] == str(folder / "kept")
    assert manifest["rescored"]["metrics"] == ["ssim", "psnr"]
    assert set(manifest["fingerprint"]["metric versions"]) == {"nmse", "ssim", "psnr"}
    for command in ("table new", "check new --against new", "compare new new"):
        assert cli(*command.split())[0] == 0


def test_sizes_are_announced_before_anything_is_measured(cli, folder):
    options = ("-m", "nets.py:strided", "-s", "noise,n=3,size=16", "--shifts", "random:n=4,max=8")
    _, said = run(cli, *options)
    # three images, each as it is, once more and under four shifts
    assert f"outputs to keep: about 18, {18 * 16 * 16 * 4 / 1000:.3g} kB before compression" in said
    kept = OutputFiles(folder / "kept")
    (unit,) = eb.RunFolder("kept").measured
    found = sum(o.output.size for case in kept.of(unit)["cases"] for o in kept.read(unit, case))
    assert found == 18 * 16 * 16


def test_a_disk_that_is_too_small_is_told_before_anything_is_measured(cli, folder, monkeypatch):
    import shutil

    free = type(shutil.disk_usage("."))(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    options = ("-m", "nets.py:strided", "-s", "noise,n=3,size=16", "--keep-outputs")
    status, _, said = cli("run", *options, "--out", "kept")
    assert status == 2
    assert "and kept has 1 kB free: take fewer --shifts, --limit, or another --out" in said
    assert not list((folder / "kept/rows").iterdir())


def test_outputs_change_neither_rows_nor_what_a_run_is_resumed_by(cli, folder):
    options = ("-m", "nets.py:strided", "-s", "noise,n=3,size=16", "--shifts", "random:n=4,max=8")
    run(cli, *options, keep=False)
    files = {f.name for f in (folder / "kept/rows").iterdir()}
    run(cli, *options, out="with")
    assert {f.name for f in (folder / "with/rows").iterdir()} == files  # names have digests
    run(cli, *options)  # resumed: all is measured already
    status, _, said = cli("rescore", "kept", "--metrics", "ssim")
    assert status == 2
    assert "repeat the run with --keep-outputs into another folder" in said
    assert not (folder / "kept-rescored").exists()


def test_all_shifts_are_too_many_to_keep(cli, folder):
    options = ("-m", "nets.py:strided", "-s", "noise,n=1,size=16", "--shifts", "all")
    status, _, said = cli("run", *options, "--keep-outputs", "--out", "kept")
    assert status == 2
    assert "outputs under all shifts are too many: name --shifts random:n=10" in said


@pytest.mark.parametrize(
    ("metrics", "message"),
    [("sim", "no metric is called 'sim'. Did you mean ssim?"),
     ("iou", "iou compares labels, and these are none")],
)  # fmt: skip
def test_a_metric_that_does_not_fit_is_refused_and_leaves_nothing(cli, folder, metrics, message):
    run(cli, "-m", "nets.py:strided", "-s", "noise,n=2,size=16", "--shifts", "random:n=2,max=8")
    status, _, said = cli("rescore", "kept", "--metrics", metrics, "--out", "new")
    assert status != 0
    assert message in said
    assert not (folder / "new").exists()


def test_data_that_are_others_by_now_are_refused(cli, folder):
    options = ("-m", "nets.py:strided", "-s", "nets.py:Volumes", "--shifts", "random:n=2,max=8")
    run(cli, *options)
    (folder / "moved").touch()
    status, _, said = cli("rescore", "kept", "--metrics", "ssim")
    assert status == 2
    assert "the data of suite volumes are not those of the run: cases was" in said


def test_a_file_that_was_changed_is_told(cli, folder):
    run(cli, "-m", "nets.py:strided", "-s", "noise,n=2,size=16", "--shifts", "random:n=2,max=8")
    (file,) = (folder / "kept/outputs").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    status, _, said = cli("rescore", "kept", "--metrics", "ssim")
    assert status == 1
    assert f"outputs/{file.name} is damaged" in said


def kept_output(draw, image, output):
    element = np.array([draw, -draw], float)
    return KeptOutput("circular", "a", image, draw, element, output, True, "", False, None)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 2, 2, 3)])
def test_a_file_gives_back_what_was_written_to_the_last_bit(tmp_path, shape):
    random = np.random.default_rng(0)
    outputs = [
        kept_output(draw, image, random.standard_normal(shape).astype(np.float32))
        for draw in (0, 1, UNSHIFTED)
        for image in (1, 0)
    ]
    outputs[0].output.flat[:3] = np.inf, np.nan, -0.0
    files = OutputFiles(tmp_path)
    files.write("unit", {"model": "m", "suite": "s"}, outputs)
    assert files.of("unit") == {"model": "m", "suite": "s", "cases": ["a"]}
    found = {(each.draw, each.image): each for each in files.read("unit", "a")}
    assert len(found) == 6
    for each in outputs:
        same = found[each.draw, each.image]
        assert same.output.tobytes() == each.output.tobytes()
        assert same.output.shape == shape
        assert same.element.tolist() == each.element.tolist()
        assert (same.padded, same.resized, same.labels, same.added) == (True, "", False, None)


def test_files_are_smaller_than_what_they_hold(tmp_path):
    smooth = torch.linspace(0, 1, 64 * 64).reshape(1, 64, 64).numpy()
    files = OutputFiles(tmp_path)
    files.write("unit", {}, [kept_output(draw, 0, smooth + draw) for draw in range(4)])
    (file,) = files.path.iterdir()
    assert file.stat().st_size < 4 * smooth.nbytes / 2
