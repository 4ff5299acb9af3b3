"""Runs from the command line: the folder, resuming, and every kind of bad input."""

import json
import os
import shlex
import sys

import pandas as pd
import pytest
import torch

MODEL = "unet-baseline,width=0.05,label=base"
SUITE = "noise,n=3,size=32"


def run(cli, *arguments, out="run"):
    return cli("run", "-m", MODEL, "-s", SUITE, "--out", out, *arguments)


def mistakes(err):
    """What was said to the user; progress bars left out."""
    return [line for line in err.splitlines() if line.startswith(("equibench:", "failed:"))]


def test_a_run_folder_holds_rows_manifest_summary_and_failures(cli, tmp_path):
    status, out, _ = run(cli, "--shifts", "random:n=4,max=8")
    assert status == 0
    assert "base" in out
    folder = tmp_path / "run"
    assert sorted(p.name for p in folder.iterdir()) == [
        "failures.json", "rows", "run.json", "summary.csv"
    ]  # fmt: skip
    rows = pd.read_parquet(folder / "rows")
    assert len(rows) == 3 * (1 + 4)
    assert list(rows.columns) == [
        "model", "suite", "group", "cluster", "case", "draw", "dy", "dx", "frame", "precision",
        "eq_nmse", "eq_psnr", "eq_ssim", "delta_psnr", "nmse", "psnr", "ssim", "psnr_shifted",
        "near_ties", "floor_nmse", "covers", "evidence", "spots", "spot_deviation",
        "repeatability", "repeat_nmse", "batch", "padded",
    ]  # fmt: skip
    summary = pd.read_csv(folder / "summary.csv")
    assert summary["eq_nmse_worst"][0] == rows["eq_nmse"].max()
    assert json.loads((folder / "failures.json").read_text()) == []


def test_the_manifest_says_how_the_numbers_came_about(cli, tmp_path):
    run(cli, "--precision", "fp64", "--seed", 7)
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    assert manifest["schema"] == 3
    assert manifest["state"] == "finished"
    assert manifest["configuration"]["precision"] == "fp64"
    assert manifest["configuration"]["seed"] == 7
    assert manifest["environment"]["device"] == "cpu"
    assert manifest["environment"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "commit" in manifest["environment"]
    model = manifest["models"]["base"]
    assert model["weights"] == "untrained"
    assert len(model["state_sha256"]) == len(model["source_sha256"]) == 64
    assert model["details"]["total_stride"] == 16


@pytest.fixture
def loads(monkeypatch):
    """The cases of noise suites that were loaded, in order; ``loads.stop_at`` interrupts there."""
    from equibench.suites.noise import Noise

    class Loads(list):
        stop_at = None

        def __call__(self, suite, name):
            if name == self.stop_at:
                raise KeyboardInterrupt
            self.append(name)
            return load(suite, name)

    load, found = Noise.load, Loads()
    monkeypatch.setattr(Noise, "load", lambda suite, name: found(suite, name))
    return found


def test_the_same_command_again_measures_nothing(cli, loads):
    run(cli, "--shifts", "random:n=40,max=8")
    loads.clear()
    assert run(cli, "--shifts", "random:n=40,max=8")[0] == 0
    assert loads == []


def test_an_interrupted_run_keeps_its_finished_units(cli, tmp_path, loads):
    loads.stop_at = "00002"
    status, _, err = run(cli, "--shifts", "random:n=40,max=8")
    assert status == 130
    remedy = err.splitlines()[-1].removeprefix("equibench: interrupted; to go on: ")
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "interrupted"
    assert len(list((tmp_path / "run/rows").iterdir())) == 2
    loads.clear()
    loads.stop_at = None
    program, *arguments = shlex.split(remedy)
    assert program == "equibench"
    assert cli(*arguments)[0] == 0
    assert loads == ["00000", "00002"]  # the first is what models are tried with
    run(cli, "--shifts", "random:n=40,max=8", out="undisturbed")
    resumed, whole = (pd.read_parquet(tmp_path / name / "rows") for name in ("run", "undisturbed"))
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)


def test_shards_share_a_folder_and_make_one_run(cli, tmp_path):
    for shard in ("2/3", "1/3"):
        run(cli, "--shifts", "random:n=40,max=8", "--shard", shard)
        assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "running"
    run(cli, "--shifts", "random:n=40,max=8", "--shard", "3/3")
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "finished"
    run(cli, "--shifts", "random:n=40,max=8", out="whole")
    shards, whole = (pd.read_parquet(tmp_path / name / "rows") for name in ("run", "whole"))
    pd.testing.assert_frame_equal(shards, whole, check_exact=True)
    summaries = [(tmp_path / name / "summary.csv").read_bytes() for name in ("run", "whole")]
    assert summaries[0] == summaries[1]


def test_a_changed_configuration_is_refused_with_what_changed(cli):
    run(cli, "--shifts", "random:n=4,max=8")
    status, _, err = run(cli, "--shifts", "random:n=5,max=8")
    assert status == 2
    assert mistakes(err) == [
        "equibench: run holds another run: shifts was 'random:n=4,max=8' and is "
        "'random:n=5,max=8'; plan was 'Random(n=4, max=8)' and is 'Random(n=5, max=8)'; choose "
        "another --out, delete the folder to start anew, or repeat the command that made it to "
        "resume it"
    ]


def test_changed_weights_under_the_same_name_are_refused(cli, tmp_path):
    from equibench.models.variants import unet_baseline

    for width in (0.05, 0.05):
        torch.save(unet_baseline(width=width).state_dict(), tmp_path / "w.pt")
        weighted = ("run", "-m", f"{MODEL},weights=w.pt", "-s", SUITE, "--out", "run")
        status, _, err = cli(*weighted)
    assert status == 2
    assert "run holds another run: base state_sha256 was " in mistakes(err)[0]


def test_without_out_equal_commands_share_a_folder_and_others_do_not(cli, tmp_path):
    for shifts in ("random:n=1,max=8", "random:n=1,max=8", "random:n=2,max=8"):
        assert cli("run", "-m", MODEL, "-s", SUITE, "--shifts", shifts)[0] == 0
    assert len(list((tmp_path / "equibench-runs").iterdir())) == 2


def test_a_toml_file_has_the_same_fields_and_options_win(cli, tmp_path):
    (tmp_path / "bench.toml").write_text(
        f'models = ["{MODEL}"]\nsuites = ["{SUITE}"]\nshifts = "random:n=2,max=8"\nlimit = 1\n'
    )
    assert cli("run", "--config", "bench.toml", "--limit", 2, "--out", "run")[0] == 0
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert rows.groupby("case").size().tolist() == [3, 3]


def test_names_of_plugins_are_data_and_never_a_path(cli, tmp_path):
    hostile = '"../../<script>alert(1)</script>"'
    status, out, _ = cli("run", "-m", f"unet-aps,width=0.05,label={hostile}", "-s", SUITE,
                         "--out", "run")  # fmt: skip
    assert status == 0
    assert "<script>" in out
    (file,) = (tmp_path / "run/rows").iterdir()
    assert not {"/", "<", ">"} & set(file.name)


GOOD = "def good():\n    return lambda x: x\n"
FAILING = {
    "raises": (
        "lambda x: 1 / 0",
        "failed: bad raised ZeroDivisionError on noise, case 00000 (input (2, 1, 32, 32)): "
        "division by zero",
    ),
    "tuple": (
        "lambda x: (x, x)",
        "failed: bad returned a tuple (Tensor (2, 1, 32, 32), Tensor (2, 1, 32, 32)) on noise, "
        "case 00000 (input (2, 1, 32, 32)), not one tensor (2, C, 32, 32): set out.select=0",
    ),
    "shape": (
        "lambda x: x[:, :, 1:]",
        "failed: bad returned a tensor (2, 1, 31, 32) on noise, case 00000 (input (2, 1, 32, 32)),"
        " not one tensor (2, C, 32, 32): wrap it so that it returns that",
    ),
    "nan": (
        "lambda x: x * torch.nan",
        "failed: bad has an NMSE of nan on noise, case 00000, 3 shifts, first (0, 0): its "
        "output is not finite there",
    ),
    "no callable": (
        "7",
        "failed: bad: {plugin}:bad gave a int, not a callable from (B, C, H, W) to (B, C', H, W)",
    ),
    "exits": (
        "lambda x: exit(3)",
        "failed: bad raised SystemExit on noise, case 00000 (input (2, 1, 32, 32)): 3",
    ),
    "another device": (
        "lambda x: x.to('meta')",
        "failed: bad returned a torch.strided tensor on meta on noise, case 00000 (input "
        "(2, 1, 32, 32)), not a dense one on cpu: wrap it so that it returns that",
    ),
    "says nothing": (
        "lambda x: (_ for _ in ()).throw(AssertionError())",
        "failed: bad raised AssertionError on noise, case 00000 (input (2, 1, 32, 32)): no message",
    ),
    "factory raises": (
        "[][1]",
        "failed: bad cannot be built: IndexError: list index out of range",
    ),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_failing_model_is_named_and_the_others_go_on(kind, cli, plugin, tmp_path):
    expression, message = FAILING[kind]
    path = plugin(f"{GOOD}def bad():\n    return {expression}\n")
    status, out, err = cli(
        "run", "-m", f"{path}:bad,label=bad", "-m", f"{path}:good,label=good", "-s", SUITE,
        "--out", "run", "--shifts", "random:n=2,max=8",
    )  # fmt: skip
    assert status == 1
    assert mistakes(err)[0] == message.format(plugin=path)
    assert "good" in out
    assert "good" in set(pd.read_csv(tmp_path / "run/summary.csv")["model"])
    failures = json.loads((tmp_path / "run/failures.json").read_text())
    assert {failure["model"] for failure in failures} == {"bad"}


def test_a_model_that_changes_the_default_dtype_does_not_harm_the_next(cli, plugin):
    path = plugin(
        "def rude():\n    def f(x):\n        torch.set_default_dtype(torch.float64)\n"
        "        return x\n    return f\n"
    )
    model = f"{path}:rude,label=rude"
    assert cli("run", "-m", model, "-m", MODEL, "-s", SUITE, "--out", "run")[0] == 0


def test_a_network_that_a_file_builds_on_import_starts_from_the_seed(cli, plugin, tmp_path):
    path = plugin("net = torch.nn.Conv2d(1, 1, 3, padding=1)\n")
    hashes = set()
    for out in ("one", "two"):
        for name in [n for n in sys.modules if n.startswith("equibench_file_")]:
            del sys.modules[name]
        assert cli("run", "-m", f"{path}:net,label=net", "-s", SUITE, "--out", out)[0] == 0
        manifest = json.loads((tmp_path / out / "run.json").read_text())
        hashes.add(manifest["models"]["net"]["state_sha256"])
    assert len(hashes) == 1


def test_the_table_of_an_unfinished_run_says_so(cli, tmp_path):
    run(cli)
    manifest = tmp_path / "run/run.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"interrupted"'))
    status, out, err = cli("table", "run")
    assert status == 0
    assert "| base" in out
    assert err == "not all of it: run is interrupted; its command resumes it\n"


def test_a_plugin_that_cannot_be_imported_fails_alone(cli, plugin):
    path = plugin("raise RuntimeError('broken at import')")
    status, out, err = run(cli, "-m", f"{path}:net,label=bad")
    assert status == 1
    assert mistakes(err) == [
        f"failed: model '{path}:net' ({path}:net) cannot be imported: "
        "RuntimeError: broken at import"
    ]
    assert "base" in out


def test_weights_of_another_width_are_refused_and_the_misfit_is_named(cli, tmp_path):
    from safetensors.torch import save_file

    from equibench.models.variants import unet_baseline

    save_file(unet_baseline(width=0.1).state_dict(), tmp_path / "wide.safetensors")
    status, _, err = cli(
        "run", "-m", f"{MODEL},weights=wide.safetensors", "-s", SUITE, "--out", "run"
    )
    assert status == 1
    assert mistakes(err) == [
        "failed: base: the weights in wide.safetensors do not fit: stem.0.weight is 6×1×3×3, not "
        "3×1×3×3; stem.1.weight is 6, not 3; stem.1.bias is 6, not 3 and 96 more; build the model "
        "with the arguments that it was trained with"
    ]


def test_weights_that_would_unpickle_code_are_not_read(cli, tmp_path):
    torch.save({"code": os.system}, tmp_path / "evil.pt")
    status, _, err = cli("run", "-m", f"{MODEL},weights=evil.pt", "-s", SUITE, "--out", "run")
    assert status == 1
    (message,) = mistakes(err)
    assert message.startswith("failed: base: cannot read weights from evil.pt: UnpicklingError: ")
    assert message.endswith(
        "; save a state dict, as safetensors or with torch.save, or, if you know who made it, "
        "unpickle it with --trust-pickle"
    )


def test_a_size_that_the_stride_does_not_divide_is_named(cli):
    status, _, err = cli("run", "-m", MODEL, "-s", "noise,n=1,size=40", "--out", "run")
    assert status == 1
    assert mistakes(err) == [
        "failed: base raised ValueError on noise, case 00000 (input (2, 1, 40, 40)): the total "
        "stride 16 does not divide the size 40×40: crop to 32×32 (padding would break equivariance)"
    ]


def test_a_truncated_file_fails_its_unit_and_the_others_go_on(cli, tmp_path):
    from equibench.suites.samples import MRISample

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
    from equibench.suites.samples import PhotoSample

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
    from equibench.suites.samples import PhotoSample

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
    from equibench.suites.samples import PhotoSample

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


NOISE = ("-s", SUITE)
USAGE = {
    "unknown model": (
        ("run", "-m", "unet-bassline", *NOISE),
        "no model is called 'unet-bassline'. Did you mean unet-baseline? There are: ",
    ),
    "unknown suite": (
        ("run", "-m", MODEL, "-s", "fastmr"),
        "no suite is called 'fastmr'. Did you mean fastmri? There are: ",
    ),
    "no model": (
        ("run", *NOISE),
        "run needs a model and a suite: -m unet-baseline -s mri-sample",
    ),
    "unknown argument": (
        ("run", "-m", "unet-aps,wdith=1", *NOISE),
        "model 'unet-aps': got an unexpected keyword argument 'wdith'; it takes width, "
        "in_channels, out_channels",
    ),
    "no such weights": (
        ("run", "-m", "unet-aps,weights=no.pt", *NOISE),
        "unet-aps: there is no weights file no.pt; packaged are ct-sample, mri-sample",
    ),
    "no factory": (
        ("run", "-m", "math:sqrt", *NOISE),
        "model 'math:sqrt': missing a required argument: 'x'; it takes x (name what builds and "
        "returns the model, not the model)",
    ),
    "width of text": (
        ("run", "-m", MODEL, "-s", "noise,n=abc"),
        "suite 'noise' cannot be built: TypeError: '<' not supported between instances of 'str' "
        "and 'int'",
    ),
    "same label twice": (
        ("run", "-m", MODEL, "-m", MODEL, *NOISE),
        "two models are called 'base': give one a label=…",
    ),
    "same suite twice": (
        ("run", "-m", MODEL, *NOISE, "-s", "noise"),
        "two suites are called 'noise': give one a label=…",
    ),
    "bad shifts": (
        ("run", "-m", MODEL, *NOISE, "--shifts", "some"),
        "no shift plan is called 'some'; write random:n=10,max=16 · grid:max=16,step=4 · all · "
        "file:shifts.csv · paper",
    ),
    "bad precision": (
        ("run", "-m", MODEL, *NOISE, "--precision", "fp8"),
        "run: precision = 'fp8': input should be 'fp32', 'fp64', 'tf32', 'bf16' or 'fp16'",
    ),
    "bad batch": (
        ("run", "-m", MODEL, *NOISE, "--batch", "many"),
        "run: batch = 'many': input should be a valid integer, unable to parse string as an "
        "integer or input should be 'auto'",
    ),
    "bad device": (
        ("run", "-m", MODEL, *NOISE, "--device", "gpu"),
        "no device is called 'gpu': take auto, cpu, cuda or cuda:1",
    ),
    "absent device": (
        ("run", "-m", MODEL, *NOISE, "--device", "cuda:99"),
        f"device 'cuda:99' is not here ({torch.cuda.device_count()} CUDA devices): "
        "take --device cpu",
    ),
    "bad data": (
        ("run", "-m", MODEL, *NOISE, "--data", "knee"),
        "--data 'knee' is not SUITE=DIR",
    ),
    "data of no suite": (
        ("run", "-m", MODEL, *NOISE, "--data", "nosuch=/x"),
        "--data nosuch=…: no suite of this run is called 'nosuch'",
    ),
    "limit of none": (
        ("run", "-m", MODEL, *NOISE, "--limit", "0"),
        "run: limit = 0: input should be greater than 0",
    ),
    "no data at all": (
        ("run", "-m", MODEL, "-s", "fastmri"),
        "suite 'fastmri' has no data: set EQUIBENCH_DATA=DIR (with DIR/fastmri/singlecoil_val) "
        "or pass --data fastmri=DIR",
    ),
    "no config": (
        ("run", "--config", "no.toml"),
        "cannot read no.toml: No such file or directory",
    ),
    "no run": (
        ("table", "nowhere"),
        "nowhere is no run folder: it has no run.json",
    ),
    "not verifiable": (
        ("data", "verify", "noise"),
        "suite 'noise' has nothing to verify",
    ),
}


@pytest.mark.parametrize("mistake", USAGE)
def test_a_user_s_mistake_is_one_line_and_exit_status_2(mistake, cli, tmp_path):
    arguments, message = USAGE[mistake]
    status, _, err = cli(*arguments)
    assert status == 2
    (line,) = err.splitlines()
    if message.endswith(": "):
        assert line.startswith(f"equibench: {message}")
    else:
        assert line == f"equibench: {message}"
    assert not (tmp_path / "equibench-runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'modles = ["a"]',
            "bench.toml: there is no field 'modles'; did you mean models? There are: models, "
            "suites, also, shifts, device, precision, batch, limit, frame, seed, exhaustive, "
            "spots, seed_forward, optimize, engine, scheduler, workers, shard, data, "
            "trust_pickle, isolate",
        ),
        ('models = ["a"]', 'bench.toml: suites is missing; write suites = ["…"]'),
        (
            'models = ["a"]\nsuites = ["b"]\nlimit = 0',
            "bench.toml: limit = 0: input should be greater than 0",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\noptimize = ["fuze"]',
            "bench.toml: optimize[1] = 'fuze': input should be 'fuse', 'channels-last' or "
            "'compile'",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\n[also]\nmodels = ["c"]',
            "bench.toml: also is one table, not a list of them: write [[also]]",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\n[[also]]\nmodles = ["c"]\nsuites = ["d"]',
            "bench.toml, also[1]: there is no field 'modles'; did you mean models? "
            "There are: models, suites",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\n[[also]]\nmodels = []\nsuites = ["d"]',
            "bench.toml, also[1]: models = []: should not be empty",
        ),
        (
            'models = ["a"]\nsuites = "b"',
            "bench.toml: suites = 'b': should be a list",
        ),
        ("models = [", "bench.toml is no TOML: Invalid value (at end of document)"),
    ],
)
def test_a_mistake_in_a_toml_file_is_named(cli, tmp_path, content, message):
    (tmp_path / "bench.toml").write_text(content)
    status, _, err = cli("run", "--config", "bench.toml")
    assert (status, err) == (2, f"equibench: {message}\n")


def test_a_folder_of_something_else_is_not_written_to(cli, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.tex").write_text("…")
    status, _, err = run(cli, out="thesis")
    assert status == 2
    assert mistakes(err) == ["equibench: thesis exists and is no run folder: choose another --out"]


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (1, "repeat the run into another folder"),
        (99, "a newer equibench wrote it; pip install --upgrade equibench"),
    ],
)
def test_a_run_of_another_schema_version_is_refused(cli, tmp_path, version, remedy):
    run(cli)
    manifest = tmp_path / "run/run.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema": version}))
    status, _, err = cli("table", "run")
    assert status == 2
    assert mistakes(err) == [
        f"equibench: run has schema version {version}, this equibench reads versions 2 to 3: "
        f"{remedy}"
    ]


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
