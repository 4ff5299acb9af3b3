"""Files of rows by themselves: their names, the order in which they are read, what is damaged."""

import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from equibench.errors import EquibenchError
from equibench.runs.row_files import LABELS, RowFiles, unit_name


def rows(case, model="net", suite="images", **columns):
    constant = {"model": model, "suite": suite, "group": "all", "cluster": case, "case": case}
    constant |= {
        "frame": "canonical",
        "precision": "fp32",
        "evidence": "sampled",
        "transform": "circular",
        "element": "",
        "repeatability": "exact",
    }
    constant |= {"covers": 1, "exact": False, "draw": range(3), "eq_nmse": 0.5}
    return pd.DataFrame(constant | columns)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "rows").mkdir()
    return RowFiles(tmp_path / "rows")


def places(files, suites, models):
    parts = list(files.parts(suites, models))
    return [(part["suite"].iloc[0], part["model"].iloc[0]) for part in parts]


def test_parts_come_suite_by_suite_in_the_order_of_the_run_and_what_it_does_not_name_comes_last(
    files,
):
    for number, (suite, model) in enumerate([(s, m) for s in "abz" for m in "pqz"]):
        files.write(f"unit{number}", rows("c", model, suite), complete=True)
    found = places(files, {"b": 0, "a": 1}, {"q": 0, "p": 1})
    assert found == [(s, m) for s in "baz" for m in "qpz"]


def test_a_part_has_all_rows_of_its_model_on_its_suite_and_no_others(files):
    files.write("unit0", pd.concat([rows("a"), rows("b", model="other")]), complete=True)
    files.write("unit1", rows("c"), complete=True)
    net, other = files.parts({"images": 0}, {"net": 0, "other": 1})
    assert net["case"].tolist() == 3 * ["a"] + 3 * ["c"]
    assert other["case"].tolist() == 3 * ["b"]


def test_the_text_of_parts_is_categorical_and_that_of_whole_files_is_not(files):
    files.write("unit0", rows("a"), complete=True)
    (part,) = files.parts({}, {})
    assert {str(part[label].dtype) for label in LABELS} == {"category"}
    whole = files.read(files.files())
    assert not any(isinstance(whole[label].dtype, pd.CategoricalDtype) for label in LABELS)


def test_there_are_rows_where_there_is_a_file_damaged_or_not(files, tmp_path):
    assert not files
    assert not RowFiles(tmp_path / "nowhere")
    files.write("unit0", rows("a"), complete=False)
    assert files
    (tmp_path / "file").write_text("no folder")
    assert RowFiles(tmp_path / "file")
    with pytest.raises(EquibenchError, match=r"file is damaged \(it is no folder\): delete it"):
        RowFiles(tmp_path / "file").units()


def test_files_without_a_digest_in_their_name_are_those_of_schema_2(files):
    rows("a").to_parquet(files.path / "unit0.parquet")
    old = RowFiles(files.path, signed=False)
    assert old.units() == old.finished(["unit0", "unit1"]) == {"unit0"}
    assert len(old.read(old.files())) == 3
    with pytest.raises(EquibenchError, match=r"unit0\.parquet is damaged \(this run did not write"):
        files.units()


def test_units_are_finished_whatever_is_missing_before_them(files):
    names = [unit_name("net_images_1", number) for number in range(4)]
    for name in (names[1], names[3]):
        files.write(name, rows(name), complete=True)
    files.write(names[2], rows(names[2]), complete=False)
    assert files.finished(names) == {names[1], names[3]}
    assert files.units() == set(names[1:])


def test_a_file_that_is_changed_after_it_was_read_is_damaged(files):
    files.write("unit0", rows("a"), complete=True)
    assert files.units() == {"unit0"}
    (file,) = files.files()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 10**9))
    with pytest.raises(EquibenchError) as damaged:
        files.units()
    assert str(damaged.value) == (
        f"{file} is damaged (it is not what was written): delete it and run the same command again"
    )


def test_columns_that_a_unit_has_as_whole_numbers_or_not_at_all_are_merged(files):
    names = [unit_name("net_images_1", number) for number in range(3)]
    ties = [np.arange(3), np.array([0.5, np.nan, 1.0]), None]
    for name, values in zip(names, ties, strict=True):
        files.write(name, rows(name, near_ties=values), complete=True)
    files.consolidate("net_images_1", names)
    (file,) = files.files()
    merged = files.read([file])
    np.testing.assert_array_equal(
        merged["near_ties"].to_numpy(float), [0, 1, 2, 0.5, np.nan, 1, *3 * [np.nan]]
    )
    assert merged["case"].tolist() == [name for name in names for _ in range(3)]


def test_a_merged_file_is_compressed_and_says_what_its_parts_said(files, tmp_path):
    units = [unit_name("net", number) for number in range(2)]
    for unit in units:
        files.write(unit, rows(unit), complete=True)
    noted = pq.read_schema(files.files()[0]).metadata
    files.consolidate("net", units)
    (file,) = (tmp_path / "rows").iterdir()
    metadata = pq.read_metadata(file)
    columns = [metadata.row_group(0).column(n) for n in range(metadata.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}
    assert noted.items() <= pq.read_schema(file).metadata.items()


def test_the_digest_of_all_rows_follows_from_what_the_files_hold(files, tmp_path):
    files.write("unit0", rows("a"), complete=True)
    before = files.digest()
    assert files.digest() == before
    (tmp_path / "same").mkdir()
    same = RowFiles(tmp_path / "same")
    same.write("unit0", rows("a"), complete=True)
    assert same.digest() == before
    files.write("unit0", rows("b"), complete=True)
    assert files.digest() != before
