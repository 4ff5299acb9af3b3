"""The run folder: who may write, what is lost, and one file for each model × suite."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from operator import methodcaller

import numpy as np
import pandas as pd
import pytest

from equibench.errors import EquibenchError, UsageError
from equibench.runs.run_folder import RunFolder

STEM = "net_images_0123abcd"
UNITS = [f"{STEM}_{number:05d}" for number in range(5)]
RETRY = "run the same command again"


def rows(unit, model="net", suite="images", error=None):
    """Rows of one case: an unshifted one and three shifts."""
    random = np.random.default_rng(abs(hash((unit, model))) % 2**32)
    constant = {"model": model, "suite": suite, "group": "all", "cluster": unit, "case": unit}
    constant |= {"frame": "canonical", "precision": "fp32", "covers": 1, "evidence": ""}
    constant |= {"transform": "circular", "element": ""}
    constant |= {"spots": 0, "repeatability": "", "repeat_nmse": np.nan}
    constant |= {"near_ties": 0.0, "floor_nmse": 1e-15, "spot_deviation": np.nan, "batch": 8}
    errors = random.random(4) if error is None else np.full(4, error)
    return pd.DataFrame(constant | {"draw": range(4), "dy": range(4), "dx": 0, "eq_nmse": errors})


@pytest.fixture
def folder(tmp_path):
    """A run folder without rows, of a run that is going on."""
    folder = RunFolder(tmp_path / "run", create=True)
    folder.write_manifest(
        {
            "state": "running",
            "fingerprint": {"suites": {"images": {}}},
            "models": {"net": {}, "other": {}},
            "units": {STEM: len(UNITS)},
        }
    )
    return folder


@pytest.fixture
def whole(folder):
    """The same with the rows of every unit."""
    for unit in UNITS:
        folder.write_rows(unit, rows(unit))
    return folder


def names(folder):
    """What the files of rows are called, without the digests of what they hold."""
    return sorted(path.name.rsplit(".", 2)[0] for path in (folder.path / "rows").iterdir())


def file_of(folder, unit):
    (file,) = (folder.path / "rows").glob(f"{unit}.*.parquet")
    return file


@contextmanager
def another_process(folder, shard=None):
    """A process that holds the folder's lock."""
    source = (
        "import sys; from equibench.runs.run_folder import RunFolder\n"
        f"with RunFolder({str(folder.path)!r}).lock({shard!r}):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(folder, shard=None):
    with pytest.raises(UsageError) as caught, folder.lock(shard):
        pass
    return str(caught.value)


def test_a_folder_is_taken_where_a_run_that_was_stopped_at_once_left_nothing_else(tmp_path):
    (tmp_path / "rows").mkdir()
    for left in (".lock", ".run.json.17.tmp"):
        (tmp_path / left).write_text("")
    assert RunFolder(tmp_path, create=True).manifest == {}


@pytest.mark.parametrize("foreign", ["rows", "rows/mine.parquet", "notes.txt"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, foreign):
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("")
    with pytest.raises(UsageError, match=rf"{tmp_path} exists and is no run folder: choose"):
        RunFolder(tmp_path, create=True)
    with pytest.raises(UsageError, match=rf"{tmp_path} is no run folder: it has no run\.json"):
        RunFolder(tmp_path)


@pytest.mark.long
def test_a_second_run_is_refused_with_who_is_there_until_that_one_is_killed(folder):
    with another_process(folder) as first:
        message = (
            rf"{folder.path} is in use by process {first.pid} on \S+ since "
            rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\S+: wait for it or stop it, then {RETRY}"
        )
        assert re.fullmatch(message, refused(folder))
        assert re.fullmatch(message, refused(folder, "1/4"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        with folder.lock():
            pass


def test_shards_write_side_by_side_but_no_shard_twice_and_none_beside_a_whole_run(folder):
    with folder.lock("1/4"), folder.lock("2/4"):
        assert ", shard 1/4: wait for it" in refused(folder, "1/4")
        assert re.search(r", shard 1/4 and process \d+ .*, shard 2/4: wait", refused(folder))
    with folder.lock():
        assert "is in use by process" in refused(folder, "1/4")
    assert not list(folder.path.glob(".*"))


def test_a_forked_child_does_not_keep_the_lock(folder):
    with folder.lock():
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
    try:
        with folder.lock():
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_changes_of_the_manifest_are_none_lost(folder):
    def change(number):
        for turn in range(10):
            folder.update_manifest(methodcaller("update", {f"{number}.{turn}": turn}))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(4)))
    assert {f"{number}.{turn}" for number in range(4) for turn in range(10)} <= set(folder.manifest)


def test_failures_of_shards_add_up_and_a_whole_run_replaces_them(folder):
    one, two, three = ({"message": text} for text in ("one", "two", "three"))
    folder.write_failures([three])
    folder.write_failures([one], shard="1/2")
    folder.write_failures([one, two], shard="2/2")
    assert folder.failures == [one, two]
    folder.write_failures([two], shard="1/2")
    folder.write_failures([], shard="2/2")
    assert folder.failures == [two]
    folder.write_failures([three])
    assert folder.failures == [three]


def test_finished_units_become_one_file_with_the_same_rows(whole):
    before = whole.rows()
    whole.consolidate(STEM, UNITS)
    assert names(whole) == [STEM]
    pd.testing.assert_frame_equal(whole.rows(), before, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_parquet(whole.path / "rows"), before, check_exact=True)
    assert whole.finished([*UNITS, f"{STEM}_00005"]) == set(UNITS)
    assert whole.lacking == []


def test_a_unit_that_is_not_finished_keeps_files_apart(whole):
    file_of(whole, UNITS[2]).unlink()
    whole.write_rows(UNITS[2], rows(UNITS[2]), complete=False)
    whole.consolidate(STEM, UNITS)
    assert len(names(whole)) == 5
    assert whole.lacking == []


def test_a_kill_after_merging_shows_no_row_twice_and_is_tidied_up(whole, tmp_path):
    before = whole.rows()
    shutil.copytree(whole.path / "rows", tmp_path / "single")
    whole.consolidate(STEM, UNITS)
    shutil.copytree(tmp_path / "single", whole.path / "rows", dirs_exist_ok=True)
    pd.testing.assert_frame_equal(whole.rows(), before, check_exact=True)
    assert len(pd.concat(whole.parts())) == len(before)
    assert whole.summary()["cases"].tolist() == [5]
    whole.consolidate(STEM, UNITS)
    assert names(whole) == [STEM]


def test_a_row_file_that_is_gone_is_missed_in_a_finished_run(whole):
    whole.conclude(state="finished")
    file_of(whole, UNITS[3]).unlink()
    message = f"{whole.path} lacks 1 of 5 units ({UNITS[3]}): {RETRY}"
    for read in (whole.rows, whole.summary, lambda: list(whole.parts())):
        with pytest.raises(EquibenchError, match=re.escape(message)):
            read()
    whole.write_rows(UNITS[3], rows(UNITS[3]))
    whole.consolidate(STEM, UNITS)
    file_of(whole, STEM).unlink()
    whole.write_rows("other", rows("other", model="other"))
    with pytest.raises(EquibenchError, match=rf"lacks 5 of 5 units \({UNITS[0]} …\): {RETRY}"):
        whole.rows()


def test_a_run_that_goes_on_is_read_as_far_as_it_is(folder, cli):
    folder.write_rows(UNITS[0], rows(UNITS[0]))
    assert len(folder.rows()) == 4
    status, out, err = cli("table", folder.path)
    short = f"{folder.path} is running and lacks 4 of 5 units"
    assert (status, err) == (0, f"not all of it: {short}; its command resumes it\n")
    assert "| net" in out


def test_what_is_measured_and_lacking_is_told_unit_by_unit(folder):
    folder.write_rows(UNITS[1], rows(UNITS[1]))
    folder.write_rows(UNITS[0], rows(UNITS[0]))
    assert (folder.units, folder.measured, folder.lacking) == (UNITS, UNITS[:2], UNITS[2:])


def test_shards_say_each_what_it_left_unmeasured_and_what_failed(folder):
    folder.write_rows(UNITS[0], rows(UNITS[0]))
    folder.conclude([{"message": "one"}], shard="1/2", units=UNITS[:2])
    assert folder.manifest["unmeasured"] == {"1/2": [UNITS[1]]}
    folder.conclude([{"message": "two"}], shard="2/2", units=UNITS[2:])
    assert folder.manifest["unmeasured"] == {"1/2": [UNITS[1]], "2/2": UNITS[2:]}
    assert folder.failures == [{"message": "one"}, {"message": "two"}]
    folder.conclude()
    assert folder.manifest["unmeasured"] == {"": UNITS[1:]}


def test_each_file_is_missed_by_those_who_read_it(whole):
    whole.conclude([{"message": "no"}], state="finished")
    (whole.path / "failures.json").unlink()
    assert whole.summary()["cases"].tolist() == [5]
    whole.verify(resuming=True)
    for read in (whole.verify, lambda: whole.failures):
        with pytest.raises(EquibenchError, match=r"failures\.json"):
            read()
    (whole.path / "summary.csv").write_text("suite\n")
    whole.write_failures([{"message": "no"}])
    assert whole.failures == [{"message": "no"}]
    for read in (whole.verify, whole.summary, lambda: whole.verify(resuming=True)):
        with pytest.raises(EquibenchError, match=r"summary\.csv"):
            read()


def test_units_that_failed_are_not_missed(whole):
    file_of(whole, UNITS[1]).unlink()
    failures = whole.conclude([{"message": "no"}], state="finished")
    assert (failures, whole.lacking) == ([{"message": "no"}], [])
    assert len(whole.rows()) == 16


def test_the_summary_of_a_finished_run_is_read_and_equals_what_its_rows_give(whole):
    whole.write_rows("other", rows("other", model="other", error=np.nan))
    computed = whole.summary(whole.rows())
    (failure,) = whole.conclude(state="finished")
    assert failure["message"].startswith("other has an NMSE of nan on images, case other, 4 shifts")
    pd.testing.assert_frame_equal(whole.summary(), computed, check_exact=True)
    whole.write_summary(computed.assign(cases=7))
    whole.update_manifest(lambda manifest: None)
    assert set(whole.summary()["cases"]) == {7}
    whole.write_rows("more", rows("more", model="other"))  # what was written is out of date
    assert whole.summary()["cases"].tolist() == [5, 2]


def test_a_summary_keeps_every_digit_whatever_a_library_makes_numpy_print(whole):
    third = pd.DataFrame({"third": [1 / 3, np.nan], "case": ["a", "b"]})
    with np.printoptions(legacy="1.13"):
        whole.write_summary(third)
    assert (whole.path / "summary.csv").read_text() == "third,case\n0.3333333333333333,a\n,b\n"


@contextmanager
def full_disk(size):
    """No file can grow beyond a size: the kernel refuses it as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_named_and_leaves_everything_as_it_was(whole):
    whole.write_summary(pd.DataFrame({"a": [1]}))
    content = {path: path.read_bytes() for path in whole.path.rglob("*") if path.is_file()}
    kept = "mend that and run the same command again: finished units are kept"
    writes = {
        f"rows/{STEM}.parquet": lambda: whole.consolidate(STEM, UNITS),
        f"rows/{UNITS[0]}.parquet": lambda: whole.write_rows(UNITS[0], rows(UNITS[0])),
        "summary.csv": lambda: whole.write_summary(pd.DataFrame({"a": range(9999)})),
        "run.json": lambda: whole.update_manifest(lambda m: m.update(long=9999 * "x")),
    }
    for name, write in writes.items():
        with full_disk(2000), pytest.raises(EquibenchError) as caught:
            write()
        assert str(caught.value) == f"cannot write {whole.path / name}: File too large; {kept}"
    assert content == {p: p.read_bytes() for p in whole.path.rglob("*") if p.is_file()}


def test_a_folder_that_cannot_be_written_is_named(whole):
    """Root may write everywhere, so a child gives its rights away first."""
    for path in (whole.path, whole.path / "rows"):
        path.chmod(0o555)
    for parent in whole.path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o555)
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        said = []
        for write in (
            lambda: whole.lock().__enter__(),
            lambda: whole.write_rows(UNITS[0], rows(UNITS[0])),
            lambda: whole.write_failures([]),
        ):
            try:
                write()
            except EquibenchError as error:
                said.append(str(error))
        os.write(writable, json.dumps(said).encode())
        os._exit(0)
    os.close(writable)
    said = json.loads(os.read(readable, 10000))
    os.close(readable)
    os.waitpid(child, 0)
    kept = "Permission denied; mend that and run the same command again: finished units are kept"
    assert said == [
        f"cannot write {whole.path}: {kept}",
        f"cannot write {whole.path}/rows/{UNITS[0]}.parquet: {kept}",
        f"cannot write {whole.path}/failures.json: {kept}",
    ]


def test_what_a_killed_run_was_writing_is_removed_by_the_next(whole):
    for place in (".run.json.17.tmp", f"rows/.{STEM}.parquet.17.tmp"):
        (whole.path / place).write_text("half of")
    assert len(whole.rows()) == 20
    with whole.lock():
        assert not list(whole.path.rglob(".*.tmp"))
