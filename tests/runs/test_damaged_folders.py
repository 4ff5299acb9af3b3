"""A damaged run folder: every command names the file and the way out, and shows nothing."""

import json
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from net_runs import CASES, COMMANDS, NETS, finish

from equibench.errors import EquibenchError, UsageError
from equibench.measurement.run_config import validated
from equibench.runs.run_folder import RunFolder
from equibench.runs.runner import run

AGAIN = "delete it and run the same command again"


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


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_every_command_names_the_damaged_file_in_one_line_and_shows_nothing(cli, place, damage):
    message = DAMAGES[damage](place).split(" is damaged (Unterminated")[0]
    for name, command in COMMANDS.items():
        status, out, err = cli(*command)
        assert (status, out) == (1, ""), name
        (line,) = err.splitlines()
        assert line.startswith(f"equibench: {message}"), name
    assert not (place / "new.json").exists()


@pytest.mark.slow
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


@pytest.mark.slow
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
