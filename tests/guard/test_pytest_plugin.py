"""The pytest plugin: fixture, marker, options, and what a failure looks like."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

import equibench.guard.pytest_fixture  # noqa: F401 (once, not in every inner run)

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

OTHERS = ("odl_plugins", "cacheprovider", "hypothesispytest")
"""Plugins that inner runs do without."""

NET = """
import pytest
import torch

STRENGTH = 0.5

def net(x):
    return x * torch.linspace(1 - STRENGTH, 1, x.shape[-1])

@pytest.fixture
def images():
    return torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
"""
TEST = """
def test_net(equivariance, images):
    equivariance(net, images)
"""


@pytest.fixture
def project(pytester):
    """A project with one test file: call it with pytest's options to run it, warnings as errors."""
    pytester.makeini(f"[pytest]\naddopts = {' '.join(f'-p no:{name}' for name in OTHERS)}\n")

    def run(*options, source=NET + TEST, subprocess=False):
        pytester.makepyfile(test_net=source)
        start = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
        return start("-W", "error", "--strict-markers", *options)

    run.path = pytester.path
    return run


def called(arguments):
    """The test above, with further arguments of the fixture."""
    return NET + TEST.replace("(net, images)", f"(net, images, {arguments})")


def messages(result):
    return [line[1:].strip() for line in result.outlines if line.startswith("E  ")]


def weaker(source=NET + TEST):
    return source.replace("STRENGTH = 0.5", "STRENGTH = 0.9")


def test_it_costs_a_test_run_that_does_not_use_it_next_to_nothing():
    code = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import equibench.guard.pytest_plugin\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split()) - sys.stdlib_module_names
    assert {name for name in imported if "editable" not in name} == {"equibench"}


def test_a_run_that_does_not_use_it_imports_no_torch(project):
    result = project(
        source="import sys\ndef test_nothing():\n    assert 'torch' not in sys.modules\n",
        subprocess=True,
    )
    result.assert_outcomes(passed=1)
    assert "equivariance" not in result.stdout.str()


@pytest.mark.long
def test_the_core_dependencies_are_enough(project):
    """What the extras bring is made impossible to import."""
    own = ('extra == "test"', 'extra == "lint"', 'extra == "models"', 'extra == "all"')
    lines = [line for line in metadata.requires("equibench") if "extra ==" in line]
    brought = {re.split(r"[^\w-]", line)[0] for line in lines if not line.endswith(own)}
    core = {re.split(r"[^\w-]", line)[0] for line in metadata.requires("equibench")
            if "extra ==" not in line}  # fmt: skip
    names = {"scikit-image": "skimage", "astra-toolbox": "astra"}
    brought -= core | {"setuptools", "equibench"}
    blocked = {names.get(n, n).replace("-", "_") for n in brought}
    assert {"matplotlib", "skimage", "h5py"} <= blocked
    project.path.joinpath("conftest.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({sorted(blocked)}))\n"
    )
    project("--equivariance-update", subprocess=True).assert_outcomes(passed=1)
    project("--equivariance-report", "report", source=weaker(), subprocess=True).assert_outcomes(
        failed=1
    )


def test_without_a_baseline_a_test_fails_with_the_remedy(project):
    result = project()
    result.assert_outcomes(failed=1)
    assert messages(result) == [
        "AssertionError: there is no equivariance baseline for test_net.py::test_net yet: run "
        "pytest --equivariance-update and commit "
        f"{project.path}/equivariance/test_net/test_net.json"
    ]


def test_update_writes_one_file_beside_the_test_and_the_next_run_passes(project):
    result = project("--equivariance-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["equivariance: 1 updated"])
    file = project.path / "equivariance/test_net/test_net.json"
    assert json.loads(file.read_text())["conditions"]["shifts"] == "grid:max=8,step=3"
    before = file.read_bytes()
    result = project()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["equivariance: 1 passed"])
    project("--equivariance-update")
    assert file.read_bytes() == before


def test_a_regression_shows_each_figure_once_and_the_remedy(project):
    project("--equivariance-update")
    result = project(source=weaker())
    result.assert_outcomes(failed=1)
    file = project.path / "equivariance/test_net/test_net.json"
    assert messages(result) == [
        f"AssertionError: 7 of 7 figures fail against {file}",
        "regression: net · images · all: mean eq_nmse, was 0.07641 and is 0.3791, limit 0.08405",
        "regression: net · images · all: median eq_nmse, was 0.07453 and is 0.3722, limit 0.08198",
        "regression: net · images · all: worst eq_nmse, was 0.1137 and is 0.5688, limit 0.125, "
        "at 00001 (-6, 6)",
        "regression: net · images · all: mean eq_ssim, was 0.9113 and is 0.6555, limit 0.9024",
        "regression: net · images · all: median eq_ssim, was 0.9181 and is 0.6587, limit 0.9099",
        "regression: net · images · all: worst eq_ssim, was 0.8425 and is 0.3937, limit 0.8268, "
        "at 00001 (-6, -6)",
        "changed: net · images: outputs, is 0.04443, limit 1.279e-11, NMSE between the "
        "unshifted outputs and the baseline's, estimated",
        "if this is meant: pytest --equivariance-update=worse",
    ]
    text = result.stdout.str()
    assert text.count("mean eq_nmse") == 1, "each figure once"
    assert "fixture.py" not in text  # the traceback ends in the test


def test_an_update_that_makes_figures_worse_says_so_and_needs_to_be_told(project):
    project("--equivariance-update")
    file = project.path / "equivariance/test_net/test_net.json"
    before = file.read_bytes()
    result = project("--equivariance-update", ".", source=weaker())
    result.assert_outcomes(failed=1)
    said = messages(result)
    assert said[0] == f"AssertionError: {file} is not updated, for 6 figures would be worse"
    assert [line.partition(",")[0] for line in said[1:7]] == [
        f"regression: net · images · all: {statistic} {metric}"
        for metric in ("eq_nmse", "eq_ssim")
        for statistic in ("mean", "median", "worst")
    ]
    assert said[7] == "if this is meant: pytest --equivariance-update=worse"
    result.stdout.fnmatch_lines(["equivariance: 1 not updated"])
    assert file.read_bytes() == before
    result = project("--equivariance-update=worse", ".", source=weaker())
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["equivariance: 1 updated for the worse"])
    project(source=weaker()).assert_outcomes(passed=1)
    project("--equivariance-update").assert_outcomes(passed=1)  # better again


def test_a_damaged_baseline_is_replaced_by_an_update(project):
    project("--equivariance-update")
    file = project.path / "equivariance/test_net/test_net.json"
    file.write_text("{")
    project().assert_outcomes(failed=1)
    project("--equivariance-update").assert_outcomes(passed=1)
    project().assert_outcomes(passed=1)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="terminals are files on POSIX")
@pytest.mark.parametrize(("answer", "ended"), [("y", 0), ("", 1)])
def test_at_a_terminal_a_person_is_asked(project, answer, ended):
    import pty

    project("--equivariance-update")
    file = project.path / "equivariance/test_net/test_net.json"
    before = file.read_bytes()
    (project.path / "test_net.py").write_text(weaker(), encoding="utf-8")
    person, terminal = pty.openpty()
    os.write(person, f"{answer}\n".encode())
    command = [sys.executable, "-P", "-m", "pytest", "-q", "--equivariance-update"]
    done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False)
    os.close(person)
    os.close(terminal)
    assert done.returncode == ended
    assert "regression: net · images · all: mean eq_nmse, was 0.07641 and is 0.3791" in done.stdout
    assert f"store {file} with 6 figures worse? [y/N]" in done.stdout
    assert (file.read_bytes() == before) == bool(ended)


@pytest.mark.long
def test_baselines_of_tests_that_no_longer_exist_are_listed(project):
    twice = NET + TEST + "    equivariance(net, images)\n"
    project("--equivariance-update", source=twice)
    folder = project.path / "equivariance"
    folder.joinpath("test_gone").mkdir()
    gone = folder / "test_gone/test_it.json"
    gone.write_text("{}")
    renamed = twice.replace("test_net(", "test_renamed(")
    project("--equivariance-update", source=renamed)
    left = [gone, folder / "test_net/test_net.2.json", folder / "test_net/test_net.json"]
    listed = [f"equivariance: no test has the baseline {file}: delete it" for file in left]
    said = "equivariance: no test"
    assert [x for x in project(source=renamed).outlines if x.startswith(said)] == listed
    # of what was not collected whole, nothing is known
    part = project("test_net.py::test_renamed", source=renamed)
    assert not [x for x in part.outlines if x.startswith(said)]
    for file in left:
        file.unlink()
    assert not [x for x in project(source=renamed).outlines if x.startswith(said)]


def test_a_network_that_does_not_repeat_itself_is_counted_and_stays_within_its_own_spread(project):
    source = NET.replace("x * torch", "torch.nn.functional.dropout(x, 0.5, True) * torch") + TEST
    result = project("--equivariance-update", source=source)
    result.stdout.fnmatch_lines(
        ["equivariance: 1 updated; 1 of networks that do not repeat themselves"]
    )
    project(source=source).assert_outcomes(passed=1)
    plain = project("--equivariance-update=worse")
    plain.assert_outcomes(passed=1)
    result = project(source=source)
    result.assert_outcomes(failed=1)
    wanted = "regression: net · images · all: repeatability, it was repeatable and is random"
    assert wanted in messages(result)


def test_other_outputs_may_be_allowed(project):
    source = called("outputs=False, tolerance=10")
    project("--equivariance-update", source=source)
    project(source=weaker(source)).assert_outcomes(passed=1)


def test_limits_need_no_baseline(project):
    source = called("nmse=0.2")
    project(source=source).assert_outcomes(passed=1)
    result = project(source=weaker(source))
    result.assert_outcomes(failed=1)
    assert messages(result)[0].startswith(
        "AssertionError: worst equivariance NMSE is 0.569, above the limit 0.2, on images at case "
        "00001, shift (-6, 6); "
    )


@pytest.mark.long
def test_each_call_and_each_parameter_has_a_baseline_of_its_own(project):
    source = NET + (
        "@pytest.mark.parametrize('name', ['a', 'a b'])\n"
        "def test_net(equivariance, images, name):\n"
        "    equivariance(net, images)\n"
        "    equivariance(lambda x: x, images)\n"
    )
    project("--equivariance-update", source=source).assert_outcomes(passed=2)
    names = sorted(path.name for path in (project.path / "equivariance/test_net").iterdir())
    assert names == [
        "test_net[a-b]-0a6dc7b1.2.json",
        "test_net[a-b]-0a6dc7b1.json",
        "test_net[a].2.json",
        "test_net[a].json",
    ]
    project(source=source).assert_outcomes(passed=2)


def test_the_marker_has_settings_the_closest_wins_and_a_call_beats_both(project):
    source = NET + (
        "pytestmark = pytest.mark.equivariance(shifts='grid:max=4,step=4', precision='fp64')\n"
        "@pytest.mark.equivariance(shifts='grid:max=2,step=2')\n"
        "def test_net(equivariance, images):\n"
        "    result = equivariance(net, images, nmse=1.0)\n"
        "    assert len(result.rows) == 2 * (1 + 3)\n"
        "    assert set(result.rows['precision']) == {'fp64'}\n"
        "    result = equivariance(net, images, nmse=1.0, shifts='grid:max=2,step=1')\n"
        "    assert len(result.rows) == 2 * (1 + 15)\n"
        "def test_unknown(equivariance, images):\n"
        "    equivariance(net, images, shift='all')\n"
    )
    result = project(source=source)
    result.assert_outcomes(passed=1, failed=1)
    assert messages(result) == [
        "equibench.errors.UsageError: equivariance has no option 'shift': there are metrics, "
        "shifts, device, precision, batch, seed, seed_forward"
    ]


def test_tests_that_use_the_fixture_can_be_selected(project):
    source = called("nmse=1.0") + "def test_other():\n    pass\n"
    project("-m", "not equivariance", source=source).assert_outcomes(passed=1, deselected=1)


def test_a_report_holds_the_worst_image_and_a_summary(project):
    project("--equivariance-update")
    result = project("--equivariance-report", "report", source=weaker())
    report = project.path / "report"
    result.stdout.fnmatch_lines([f"equivariance: 1 failed; {report}/summary.json"])
    assert f"saved: {report}/test_net/test_net/worst.npz" in messages(result)
    with np.load(report / "test_net/test_net/worst.npz") as file:
        assert file["shift"].tolist() == [-6, 6]
        assert file["difference"].shape == (1, 1, 16, 16)
    (entry,) = json.loads((report / "summary.json").read_text())
    assert (entry["test"], entry["outcome"]) == ("test_net.py::test_net", "failed")
    assert entry["figures"][0]["eq_nmse_worst"] == pytest.approx(0.5688, rel=1e-3)


@pytest.fixture
def packages(project):
    """A repository with two packages, each with a test of the same name in a file of that name."""
    (project.path / ".git").mkdir()
    for name in ("first", "second"):
        folder = project.path / name / "tests"
        folder.mkdir(parents=True)
        (folder / "test_net.py").write_text(called("nmse=1e-9"))
        (project.path / name / "pytest.ini").write_text((project.path / "tox.ini").read_text())
    return project.path


def saved(folder):
    return sorted(str(file.parent.relative_to(folder)) for file in folder.rglob("worst.npz"))


BOTH = ["first/tests/test_net/test_net", "second/tests/test_net/test_net"]


@pytest.mark.parametrize("sessions", [[["first", "second"]], [["first"], ["second"]]])
def test_tests_of_one_name_in_several_packages_have_reports_of_their_own(
    packages, pytester, sessions
):
    options = ("--import-mode=importlib", "--equivariance-report", str(packages / "report"))
    for folders in sessions:
        pytester.runpytest_inprocess(*options, *folders).assert_outcomes(failed=len(folders))
    assert saved(packages / "report") == BOTH
    entries = json.loads((packages / "report/summary.json").read_text())
    assert [(entry["test"], entry["outcome"]) for entry in entries] == [
        ("first/tests/test_net.py::test_net", "failed"),
        ("second/tests/test_net.py::test_net", "failed"),
    ]


def test_a_second_session_replaces_what_the_first_said_of_its_tests(project):
    for limit, outcome in (("1e-9", "failed"), ("1.0", "passed")):
        project("--equivariance-report", "report", source=called(f"nmse={limit}"))
        (entry,) = json.loads((project.path / "report/summary.json").read_text())
        assert entry["outcome"] == outcome


def test_a_damaged_summary_of_an_earlier_session_is_replaced(project):
    (project.path / "report").mkdir()
    (project.path / "report/summary.json").write_text("{")
    project("--equivariance-report", "report", source=called("nmse=1.0"))
    (entry,) = json.loads((project.path / "report/summary.json").read_text())
    assert entry["outcome"] == "passed"


@pytest.mark.parametrize("damage", ["{", '{"schema": 0}'])
def test_a_baseline_that_cannot_be_read_names_the_option(project, damage):
    file = project.path / "equivariance/test_net/test_net.json"
    file.parent.mkdir(parents=True)
    file.write_text(damage)
    (message,) = messages(project())
    assert f"baseline {file}" in message
    assert message.endswith("write it anew with --equivariance-update")


def test_without_a_seed_the_default_plan_draws_nothing(project):
    project("--equivariance-update")
    project(source=called("seed=9")).assert_outcomes(passed=1)


@pytest.mark.long
def test_it_works_with_xdist(project):
    source = NET + TEST + TEST.replace("test_net", "test_again")
    parallel = ("-n", "2", "-p", "no:benchmark")
    result = project("--equivariance-update", *parallel, source=source, subprocess=True)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["equivariance: 2 updated"])
    result = project("--equivariance-report", "report", *parallel, source=weaker(source),
                     subprocess=True)  # fmt: skip
    result.assert_outcomes(failed=2)
    entries = json.loads((project.path / "report/summary.json").read_text())
    assert sorted(entry["test"] for entry in entries) == [
        "test_net.py::test_again", "test_net.py::test_net"
    ]  # fmt: skip
    assert len(list((project.path / "report").rglob("worst.npz"))) == 2


LABELS = """
import equibench as eb

def test_labels(equivariance, images):
    model = eb.adapt(net, "out.labels=threshold:0.4")
    equivariance(model, images, metrics=("iou",), limits={"eq_iou": LIMIT})
"""


def test_labels_are_held_to_limits_on_their_metrics(project):
    project(source=NET + LABELS.replace("LIMIT", "0.0")).assert_outcomes(passed=1)
    result = project(source=NET + LABELS.replace("LIMIT", "0.999"))
    result.assert_outcomes(failed=1)
    assert any("worst equivariance IoU is 0." in message for message in messages(result))


def test_a_baseline_holds_metrics_of_labels(project):
    source = NET + LABELS.replace(', limits={"eq_iou": LIMIT}', "")
    project("--equivariance-update", source=source).assert_outcomes(passed=1)
    project(source=source).assert_outcomes(passed=1)
    result = project(source=weaker(source))
    result.assert_outcomes(failed=1)
    assert "eq_iou" in result.stdout.str()
