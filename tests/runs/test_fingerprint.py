"""Whatever a run's numbers depend on makes another run of it, and nothing else does."""

import json
from dataclasses import replace
from importlib import metadata

import pytest
import torch

import equibench as eb
from equibench.errors import UsageError
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings
from equibench.metrics.squared_error import nmse
from equibench.metrics.structural_similarity import ssim
from equibench.registry.plugin_files import load_file
from equibench.registry.registries import SUITES, register_suite
from equibench.runs.fingerprint import changes, fingerprint, refuse_changes
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import parse_shifts

ENVIRONMENT = {
    "commit": "1234abcd",
    "versions": {"equibench": "0.1", "torch": "2.14", "numpy": "2.1", "pandas": "3.1"},
    "threads": 2,
}
SOURCE = """
import torch
import equibench as eb

class Crosses(eb.Suite):
    name = label = "crosses"

    def cases(self):
        return ["one", "two"]

    def load(self, name):
        return eb.Case(name, torch.ones(1, 1, 8, 8))
"""


def config(**fields):
    return validated({"models": ["m"], "suites": ["s"], "device": "cpu"} | fields, "test")


def identity(suites=(), metrics=(nmse, ssim), environment=None, settings=None, **fields):
    asked = config(**fields)
    settings = Settings.of(asked) if settings is None else settings
    return fingerprint(asked, settings, suites, metrics, ENVIRONMENT | (environment or {}))


def suite(**attributes):
    found = eb.ImageCases(torch.ones(2, 1, 8, 8), name="photos")
    found.label = "photos"
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"shifts": "random:n=3,max=4"}, "shifts plan"),
        ({"seed": 1}, "seed"),
        ({"precision": "fp64"}, "precision"),
        ({"batch": 7}, "batch"),
        ({"limit": 3}, "limit"),
        ({"frame": "reference"}, "frame"),
        ({"exhaustive": True}, "exhaustive"),
        ({"optimize": ["fuse"]}, "optimize"),
        ({"also": [{"models": ["n"], "suites": ["t"]}]}, "also"),
    ],
)
def test_another_configuration_is_another_run_and_named(fields, what):
    found = [change.split(" was ")[0] for change in changes(identity(), identity(**fields))]
    assert " ".join(found) == what


@pytest.mark.parametrize(
    "fields",
    [
        {"shard": "1/2"},
        {"engine": "dask", "workers": 2},
        {"data": {"s": "elsewhere"}},
        {"trust_pickle": True},
        {"isolate": True},
    ],
)
def test_how_the_work_is_done_and_where_data_lie_make_no_other_run(fields):
    assert identity(**fields) == identity()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        # what the same configuration may come to on another machine
        ("batch", 32, "batch was 2 and is 32"),
        ("device", torch.device("cuda:1"), "device was 'cpu' and is 'cuda'"),
        ("frame", "reference", "frame was 'canonical' and is 'reference'"),
        (
            "transforms",
            (Circular(parse_shifts("random:n=2,max=4")),),
            "plan was 'Random(n=10, max=16)' and is 'Random(n=2, max=4)'",
        ),
    ],
)
def test_what_auto_comes_to_on_another_machine_is_another_run(field, value, said):
    elsewhere = replace(Settings.of(config()), **{field: value})
    assert list(changes(identity(), identity(settings=elsewhere))) == [said]


def test_one_gpu_is_as_good_as_another():
    first, second = (
        replace(Settings.of(config()), device=torch.device(f"cuda:{number}")) for number in (0, 1)
    )
    assert identity(settings=first) == identity(settings=second)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"commit": "5678ef"}, "commit was '1234abcd' and is '5678ef'"),
        *(
            (
                {"versions": ENVIRONMENT["versions"] | {name: "99"}},
                f"versions {name} was '{ENVIRONMENT['versions'][name]}' and is '99'",
            )
            for name in ("equibench", "torch", "numpy")
        ),
    ],
)
def test_another_commit_or_version_of_what_computes_is_another_run(environment, said):
    assert list(changes(identity(), identity(environment=environment))) == [said]


def test_threads_and_versions_of_what_computes_no_number_make_no_other_run():
    other = {"threads": 64, "versions": ENVIRONMENT["versions"] | {"pandas": "99"}}
    assert identity(environment=other) == identity()


def test_another_version_of_a_metric_is_another_run(monkeypatch):
    before = identity()
    monkeypatch.setattr(type(ssim), "version", 9)
    assert list(changes(before, identity())) == ["metric versions ssim was 1 and is 9"]


@pytest.mark.parametrize(
    ("attributes", "cases", "said"),
    [
        ({"version": 2}, ["00000", "00001"], "suites photos version was 1 and is 2"),
        ({"name": "faces"}, ["00000", "00001"], "suites photos name was 'photos' and is 'faces'"),
        ({}, ["00000"], "suites photos cases was '2 ("),
        ({}, ["00001", "00000"], "suites photos cases was '2 ("),
    ],
)
def test_another_version_of_a_suite_and_other_cases_are_another_run(attributes, cases, said):
    before = identity([(suite(), ["00000", "00001"])])
    (change,) = changes(before, identity([(suite(**attributes), cases)]))
    assert change.startswith(said)


def test_an_edited_source_of_a_suite_is_another_run(tmp_path):
    found = []
    for folder, source in (("a", SOURCE), ("b", SOURCE), ("c", SOURCE.replace("ones", "zeros"))):
        file = tmp_path / folder / "crosses.py"
        file.parent.mkdir()
        file.write_text(source)
        found.append(identity([(load_file(str(file)).Crosses(), ["one", "two"])]))
    assert list(changes(found[0], found[1])) == []
    (change,) = changes(found[0], found[2])
    assert change.startswith("suites crosses source was '")


def test_another_version_of_a_library_that_a_suite_reads_with_is_another_run(monkeypatch):
    monkeypatch.setattr(SUITES, "_decorated", {})
    register_suite("photos", modules=("scipy",))(suite)
    before = identity([(suite(), ["00000"])])
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "99" if n == "scipy" else installed(n))
    assert list(changes(before, identity([(suite(), ["00000"])]))) == [
        f"suites photos libraries scipy was '{installed('scipy')}' and is '99'"
    ]


def test_what_was_stored_and_read_again_is_the_same_run():
    new = identity([(suite(), ["00000"])], optimize=["fuse"], seed=3)
    assert list(changes(json.loads(json.dumps(new)), new)) == []


def test_a_suite_or_metric_may_join_and_nothing_else(tmp_path):
    alone = identity(metrics=(nmse,))
    joined = identity([(suite(), ["00000"])])
    assert list(changes(alone, joined)) == list(changes(joined, alone)) == []
    refuse_changes(alone, joined, tmp_path)
    assert list(changes(alone, alone | {"new": 1})) == ["new was None and is 1"]
    changed = [(suite(), ["00000"]), (suite(label="others", version=2), ["00000"])]
    others = identity([(suite(label="others"), ["00000"])])
    assert list(changes(others, identity(changed))) == ["suites others version was 1 and is 2"]
    assert list(changes(identity(changed), others)) == ["suites others version was 2 and is 1"]


def test_a_refusal_names_three_changes_and_counts_the_others(tmp_path):
    old = {"a": 1, "b": 2, "c": 3, "d": 4, "e": f"{16 * 'abcd'}"}
    with pytest.raises(UsageError) as refused:
        refuse_changes(old, old | {"a": 2, "e": 16 * "1234"}, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path} holds another run: a was 1 and is 2; e was 'abcdabcdabcd…' and is "
        "'123412341234…'; choose another --out, delete the folder to start anew, or repeat the "
        "command that made it to resume it"
    )
    assert refused.value.topic == "another-run"
    with pytest.raises(UsageError, match="c was 3 and is 4; choose"):
        refuse_changes(old, old | {"a": 2, "b": 3, "c": 4}, tmp_path)
    with pytest.raises(UsageError, match="c was 3 and is 4 and 1 more changes; choose"):
        refuse_changes(old, old | {"a": 2, "b": 3, "c": 4, "d": 5}, tmp_path)
    with pytest.raises(UsageError, match="; c was 3 and is None and 2 more changes; choose"):
        refuse_changes(old, {}, tmp_path)
    refuse_changes(old, dict(old), tmp_path)
    assert list(changes({"a": {"b": 1}}, {"a": 2})) == ["a was {'b': 1} and is 2"]
    assert list(changes({"a": 2}, {"a": {"b": 1}})) == ["a was 2 and is {'b': 1}"]


def test_a_run_of_shifts_alone_names_no_transforms():
    assert "transforms" not in identity()


def test_transforms_are_named_in_full_but_for_shifts_that_are_the_plan():
    both = identity(transforms=["d4"], shifts="random:n=3,max=4")
    assert (list(both["transforms"]), both["plan"]) == (["d4"], "Random(n=3, max=4)")
    listed = identity(transforms=["circular", "d4"], shifts="")
    assert list(listed["transforms"]) == ["circular", "d4"]
