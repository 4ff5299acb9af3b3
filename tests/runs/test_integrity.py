"""Nothing is silently missing: a run knows what it should hold, and every command says what it
does not."""

import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equibench.errors import EquibenchError, UsageError
from equibench.measurement.run_config import validated
from equibench.runs.run_folder import RunFolder
from equibench.runs.runner import run

CASES = 3
AGAIN = "delete it and run the same command again"
OPTIONS = ("-m", "net.py:base", "-m", "net.py:other", "-s", f"noise,n={CASES},size=16")
OPTIONS = (*OPTIONS, "--shifts", "random:n=40,max=8")
NETS = "def base():\n    return lambda x: x * x\ndef other():\n    return lambda x: 2 * x * x\n"


def finish(cli, *options, out="run"):
    return cli("run", *OPTIONS, *options, "--out", out)


@pytest.fixture(scope="module")
def _finished(tmp_path_factory):
    """A finished run of two networks, six units."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "net.py").write_text(NETS)
        run(
            validated(
                {
                    "models": ["net.py:base", "net.py:other"],
                    "suites": [f"noise,n={CASES},size=16"],
                    "shifts": "random:n=40,max=8",
                },
                "test",
            ),
            "run",
            progress=False,
        )
    return folder


@pytest.fixture
def place(_finished, cli, tmp_path):
    """A folder with a copy of that run, which is the working directory."""
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


COMMANDS = {
    "table": ("table", "run"),
    "report": ("report", "run", "-o", "out", "--only", "tables"),
    "check": ("check", "run", "--against", "run"),
    "check --update": ("check", "run", "--against", "new.json", "--update"),
    "compare": ("compare", "run", "run"),
    "compare --against": ("compare", "run", "--against", "net:base"),
    "run": ("run", *OPTIONS, "--out", "run"),
}


def file_of_rows(place):
    return min((place / "run/rows").iterdir())


def flip(at):
    def damage(place):
        file = file_of_rows(place)
        content = bytearray(file.read_bytes())
        content[int(at * len(content))] ^= 4
        file.write_bytes(content)
        return f"run/rows/{file.name} is damaged (it is not what was written): {AGAIN}"

    return damage


def rows_deleted(place):
    """Whoever does it keeps all metadata: the file is an intact Parquet file."""
    file = file_of_rows(place)
    table = pq.read_table(file)
    pq.write_table(table.slice(0, len(table) - 41), file)
    return f"run/rows/{file.name} is damaged (it is not what was written): {AGAIN}"


def rows_added(place):
    file = place / "run/rows/more.parquet"
    pd.read_parquet(file_of_rows(place)).to_parquet(file)
    return f"run/rows/more.parquet is damaged (this run did not write it): {AGAIN}"


def rows_truncated(place):
    file = file_of_rows(place)
    file.write_bytes(file.read_bytes()[:-100])
    return f"run/rows/{file.name} is damaged (it is not what was written): {AGAIN}"


def rows_empty(place):
    file = file_of_rows(place)
    file.write_bytes(b"")
    return f"run/rows/{file.name} is damaged (it is not what was written): {AGAIN}"


def rows_a_folder(place):
    file = file_of_rows(place)
    file.unlink()
    file.mkdir()
    return f"run/rows/{file.name} is damaged ([Errno 21] Is a directory: "


def rows_a_file(place):
    shutil.rmtree(place / "run/rows")
    (place / "run/rows").write_text("no folder")
    return f"run/rows is damaged (it is no folder): {AGAIN}"


def changed(name, text):
    def damage(place):
        file = place / "run" / name
        file.write_text(text(file.read_text()))
        return f"run/{name} is damaged (it is not what was written): {AGAIN}"

    return damage


def manifest(text, reason):
    def damage(place):
        file = place / "run/run.json"
        file.write_text(text(file.read_text()))
        return (
            f"run/run.json is damaged ({reason}): restore it, or repeat the run into another folder"
        )

    return damage


def without(name):
    return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != name})


DAMAGES = {
    "a bit of data flipped": flip(0.1),
    "a bit of the footer flipped": flip(0.97),
    "the last byte flipped": flip(0.99999),
    "rows deleted": rows_deleted,
    "rows added": rows_added,
    "a file of rows truncated": rows_truncated,
    "a file of rows empty": rows_empty,
    "a file of rows is a folder": rows_a_folder,
    "rows is a file": rows_a_file,
    "summary truncated": changed("summary.csv", lambda text: text[:200]),
    "summary empty": changed("summary.csv", lambda text: ""),
    "a figure of the summary changed": changed("summary.csv", lambda text: text.replace("3", "4")),
    "failures truncated": changed("failures.json", lambda text: text[:1]),
    "failures invented": changed("failures.json", lambda text: '[{"message": "no"}]'),
    "failures no list": changed("failures.json", lambda text: "{}"),
    "manifest truncated": manifest(lambda text: text[:300], "Unterminated string starting at: "),
    "manifest empty": manifest(lambda text: "", "Expecting value: line 1 column 1 (char 0)"),
    "manifest no object": manifest(lambda text: "[]", "it has no schema version"),
    "manifest without models": manifest(without("models"), "it has no models"),
    "manifest without fingerprint": manifest(without("fingerprint"), "it has no fingerprint"),
    "manifest with units of no number": manifest(
        lambda text: json.dumps(json.loads(text) | {"units": [1]}), "it has no units"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_command_names_the_damaged_file_in_one_line_and_shows_nothing(cli, place, damage):
    message = DAMAGES[damage](place).split(" is damaged (Unterminated")[0]
    for name, command in COMMANDS.items():
        status, out, err = cli(*command)
        assert (status, out) == (1, ""), name
        (line,) = err.splitlines()
        assert line.startswith(f"equibench: {message}"), name
    assert not (place / "new.json").exists()


@pytest.mark.parametrize("damage", [d for d in DAMAGES if "manifest" not in d])
def test_what_the_message_says_mends_the_folder(cli, place, damage):
    before = RunFolder("run").rows()
    named = place / DAMAGES[damage](place).split(" is damaged")[0]
    shutil.rmtree(named) if named.is_dir() else named.unlink()
    assert finish(cli)[0] == 0
    assert cli("table", "run")[::2] == (0, "")
    pd.testing.assert_frame_equal(RunFolder("run").rows(), before, check_exact=True)


def test_what_is_damaged_is_no_frame_in_python_either(place):
    flip(0.2)(place)
    folder = RunFolder("run")
    for read in (folder.rows, folder.summary, lambda: list(folder.parts()), lambda: folder.lacking):
        with pytest.raises(EquibenchError, match="is damaged"):
            read()


def test_a_whole_file_of_rows_that_is_gone_is_missed_by_every_command(cli, place):
    file_of_rows(place).unlink()
    for name, command in COMMANDS.items():
        status, out, err = cli(*command)
        if name == "run":
            assert status == 0
        else:
            assert (status, out) == (1, ""), name
            assert err.startswith("equibench: run lacks 3 of 6 units (net-base_noise_"), name
            assert err.endswith(" …): run the same command again\n"), name


def test_failures_that_are_gone_are_missed(cli, place):
    (place / "run/failures.json").unlink()
    status, _, err = cli("table", "run")
    assert (status, err) == (
        1, "equibench: run/failures.json is gone: run the same command again\n"
    )  # fmt: skip
    assert finish(cli)[0] == 0
    assert cli("table", "run")[0] == 0


def test_a_summary_that_is_older_than_its_rows_is_not_shown(cli, place):
    """The rows of one network are taken away, and the run told that they never were there."""
    folder = RunFolder("run")
    file_of_rows(place).unlink()

    def change(manifest):
        manifest["units"] = {stem: n for stem, n in manifest["units"].items() if "other" in stem}

    folder.update_manifest(change)
    status, out, _ = cli("table", "run")
    assert status == 0
    assert "net:other" in out
    assert "net:base" not in out


def test_rows_of_schema_2_have_no_digests_and_are_read(cli, place):
    for file in (place / "run/rows").iterdir():
        file.rename(file.with_name(file.name.rsplit(".", 2)[0] + ".parquet"))
    for schema, expected in ((3, 1), (2, 0)):
        file = place / "run/run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": schema}))
        assert cli("table", "run")[0] == expected
    file = file_of_rows(place)
    file.write_bytes(file.read_bytes()[:100])
    status, _, err = cli("table", "run")
    assert status == 1
    assert err.startswith(f"equibench: run/rows/{file.name} is damaged (Parquet magic bytes")


def test_files_of_file_managers_are_not_rows(cli, place):
    (place / "run/rows/._base.parquet").write_bytes(b"AppleDouble")
    (place / "run/rows/.DS_Store").write_bytes(b"")
    assert cli("table", "run")[0] == 0


# Shards


class Stop:
    """Interrupts a noise suite at a case."""

    def __init__(self, monkeypatch, case):
        from equibench.suites.noise import Noise

        load = Noise.load

        def stopping(suite, name):
            if name == case:
                raise KeyboardInterrupt
            return load(suite, name)

        monkeypatch.setattr(Noise, "load", stopping)


@pytest.fixture
def nets(cli, tmp_path):
    (tmp_path / "net.py").write_text(NETS)
    return tmp_path


@pytest.mark.parametrize("order", [("1/2", "2/2"), ("2/2", "1/2")])
def test_a_run_of_which_a_shard_was_interrupted_says_so_everywhere(cli, nets, order, monkeypatch):
    first, second = order
    assert finish(cli, "--shard", first)[0] == 0
    with monkeypatch.context() as patch:
        Stop(patch, "00001" if second == "1/2" else "00002")
        assert finish(cli, "--shard", second)[0] == 130
    folder = RunFolder("run")
    assert folder.manifest["state"] == "interrupted"
    missing = len(folder.lacking)
    assert 0 < missing < 3
    short = f"run is interrupted and lacks {missing} of 6 units"
    for name, command in COMMANDS.items():
        if name == "run":
            continue
        status, _, err = cli(*command)
        if name in ("table", "report"):
            assert (status, err) == (0, f"not all of it: {short}; its command resumes it\n")
        else:
            refusal = f"equibench: {short}: the command that made it resumes it\n"
            assert (status, err) == (2, refusal), name
    assert not (nets / "new.json").exists()
    assert finish(cli, "--shard", second)[0] == 0
    assert RunFolder("run").manifest["state"] == "finished"
    assert RunFolder("run").lacking == []
    assert cli("table", "run")[2] == ""


def test_a_shard_that_has_not_run_yet_is_missed(cli, nets):
    finish(cli, "--shard", "1/2")
    status, _, err = cli("table", "run")
    assert (status, err) == (
        0, "not all of it: run is running and lacks 3 of 6 units; its command resumes it\n"
    )  # fmt: skip
    assert cli("check", "run", "--against", "new.json", "--update")[0] == 2


def test_another_split_finishes_what_the_first_began(cli, nets):
    finish(cli, "--shard", "1/2")
    for shard in ("1/3", "2/3", "3/3"):
        assert RunFolder("run").manifest["state"] == "running"
        finish(cli, "--shard", shard)
    assert RunFolder("run").manifest["state"] == "finished"
    assert len(RunFolder("run").rows()) == 6 * 41


def test_a_refused_shard_does_not_make_a_run_finished(cli, nets):
    finish(cli, "--shard", "1/2")
    (nets / "net.py").write_text(NETS.replace("2 * x", "3 * x"))
    import sys

    for name in [n for n in sys.modules if n.startswith("equibench_file_")]:
        del sys.modules[name]
    assert finish(cli, "--shard", "2/2")[0] == 2
    assert RunFolder("run").manifest["state"] != "finished"
    assert len(RunFolder("run").lacking) == 3


def test_units_that_a_shard_gave_up_are_told_with_the_failures_and_not_missed(cli, nets):
    (nets / "net.py").write_text(NETS.replace("2 * x * x", "1 / 0"))
    for shard in ("1/2", "2/2"):
        assert finish(cli, "--shard", shard)[0] == 1
    folder = RunFolder("run")
    assert (folder.manifest["state"], folder.lacking) == ("finished", [])
    status, _, err = cli("table", "run")
    assert status == 0
    assert err.startswith("failed: net:other raised ZeroDivisionError")
    status, _, err = cli("check", "run", "--against", "new.json", "--update")
    assert status == 2
    assert "no baseline is written: " in err


def test_shards_whose_machines_tune_to_different_batches_share_the_first_one_s(
    cli, nets, monkeypatch
):
    monkeypatch.setattr("equibench.runs.units.worth_tuning", lambda device, forwards: True)
    for shard, batch in (("1/2", 4), ("2/2", 8)):
        monkeypatch.setattr("equibench.runs.units.tuned", lambda *a, batch=batch: batch)
        assert finish(cli, "--shard", shard)[0] == 0
    assert set(RunFolder("run").rows()["batch"]) == {4}


def test_a_shard_that_was_slower_to_decide_measures_again(cli, nets, monkeypatch):
    """Another shard decides while this one measures its first unit."""
    monkeypatch.setattr("equibench.runs.units.worth_tuning", lambda device, forwards: True)

    def tuned(*arguments):
        folder = RunFolder("run")
        folder.update_manifest(lambda m: m.update(batches=dict.fromkeys(m["units"], 4)))
        return 8

    monkeypatch.setattr("equibench.runs.units.tuned", tuned)
    assert finish(cli, "--shard", "1/2")[0] == 0
    assert set(RunFolder("run").rows()["batch"]) == {4}


def test_data_that_vanish_leave_no_gap_without_a_word(cli, nets, monkeypatch):
    """A suite's data were there for the first, interrupted command, and are not for the second."""
    (nets / "mine.py").write_text(
        "from pathlib import Path\n"
        "from equibench.errors import UnavailableError\n"
        "from equibench.suites.noise import Noise\n"
        "def mine():\n"
        "    if not Path('data').exists():\n"
        "        raise UnavailableError('suite mine has no data')\n"
        "    return Noise(n=3, size=16)\n"
    )
    (nets / "data").touch()
    command = (*OPTIONS, "-s", "mine.py:mine,label=mine", "--out", "run")
    with monkeypatch.context() as patch:
        Stop(patch, "00002")
        assert cli(*("run", *command))[0] == 130
    (nets / "data").unlink()
    assert cli("run", *command)[::2] == (1, "failed: suite mine has no data\n")
    folder = RunFolder("run")
    assert (folder.manifest["state"], folder.lacking) == ("finished", [])
    assert cli("table", "run")[2] == "failed: suite mine has no data\n"
    assert cli("check", "run", "--against", "new.json", "--update")[0] == 2


# Empty runs


def test_a_run_of_which_nothing_could_be_measured_is_no_success_anywhere(cli, nets):
    (nets / "net.py").write_text("def base():\n    return lambda x: 1 / 0\nother = base\n")
    assert finish(cli)[0] == 1
    for name in ("table", "report", "check", "compare"):
        status, _, err = cli(*COMMANDS[name])
        assert status != 0, name
        last = err.splitlines()[-1]
        if name in ("table", "report"):
            assert last == "equibench: run has no rows: nothing of it could be measured"
        else:
            assert last == "equibench: run has no rows yet: run the same command again"


def test_a_run_that_was_stopped_before_its_first_unit_is_no_success(cli, nets, monkeypatch):
    with monkeypatch.context() as patch:
        Stop(patch, "00000")
        assert finish(cli)[0] == 130
    for name in ("table", "report"):
        status, _, err = cli(*COMMANDS[name])
        assert status == 1
        assert err.splitlines() == [
            "not all of it: run is interrupted and lacks 6 of 6 units; its command resumes it",
            "equibench: run has no rows yet: run the same command again",
        ]


# One run against one of its models


def test_models_that_are_worse_than_the_named_one_fail(cli, nets):
    (nets / "net.py").write_text(
        "import torch\n"
        "def net(strength):\n"
        "    gain = torch.linspace(1 - strength, 1, 32)\n"
        "    return lambda x: x * gain\n"
        "def base():\n    return net(0.1)\n"
        "def other():\n    return net(0.5)\n"
    )
    cli("run", *OPTIONS[:4], "-s", "noise,n=8,size=32", "--shifts",
        "random:n=4,max=8", "--out", "run")  # fmt: skip
    status, out, _ = cli("compare", "run", "--against", "net:base")
    assert "✗ worse" in out
    assert status == 1
    status, out, _ = cli("compare", "run", "--against", "net:other")
    assert "▲ better" in out
    assert status == 0


def test_nothing_to_compare_is_an_error(cli, nets):
    cli("run", "-m", "net.py:base", "-s", "noise,n=2,size=16", "--out", "run")
    status, out, err = cli("compare", "run", "--against", "net:base")
    assert (status, out) == (2, "")
    assert err.startswith("equibench: nothing is compared: run has no model but net:base")


def test_a_newer_baseline_asks_for_an_upgrade(cli, place):
    assert cli("check", "run", "--against", "b.json", "--update")[0] == 0
    file = place / "b.json"
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 9'))
    status, _, err = cli("check", "run", "--against", "b.json")
    assert (status, err) == (
        2,
        "equibench: the baseline b.json has schema version 9, this equibench reads version 1: a "
        "newer equibench wrote it; pip install --upgrade equibench\n",
    )


def test_pandas_reads_all_rows_of_a_folder(place):
    rows = pd.read_parquet("run/rows")
    assert len(rows) == 6 * 41
    assert pa.parquet.ParquetDataset("run/rows").schema.names == list(rows.columns)


def test_a_configuration_of_another_run_is_still_refused(place):
    with pytest.raises(UsageError, match="holds another run"):
        run(validated({"models": ["net.py:base"], "suites": ["noise,n=2,size=16"]}, "t"), "run")


def test_a_seed_beyond_64_bits_is_refused_in_one_line(cli, nets):
    status, out, err = cli(
        "run", "-m", "net.py:base", "-s", "noise,n=1,size=16", "--seed", 2**64, "--out", "run"
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "seed = 18446744073709551616" in err
