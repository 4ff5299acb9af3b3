"""What a run writes, resumes and shares."""

import json
import shlex

import pandas as pd
import pytest
import torch
from small_runs import MODEL, SUITE, mistakes, run

pytestmark = pytest.mark.slow


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
        "model", "suite", "group", "cluster", "case", "draw", "transform", "element",
        "dy", "dx", "frame", "precision",
        "eq_nmse", "eq_psnr", "eq_ssim", "delta_psnr", "nmse", "psnr", "ssim", "psnr_shifted",
        "near_ties", "floor_nmse", "covers", "evidence", "spots", "spot_deviation",
        "repeatability", "repeat_nmse", "batch", "padded", "resized",
        "constant",
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


@pytest.mark.long
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


@pytest.mark.long
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


def test_the_table_of_an_unfinished_run_says_so(cli, tmp_path):
    run(cli)
    manifest = tmp_path / "run/run.json"
    manifest.write_text(manifest.read_text().replace('"finished"', '"interrupted"'))
    status, out, err = cli("table", "run")
    assert status == 0
    assert "| base" in out
    assert err == "not all of it: run is interrupted; its command resumes it\n"


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
