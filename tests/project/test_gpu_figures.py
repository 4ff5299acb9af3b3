"""``tox -e gpu`` measures on a GPU, says so where there is none; pages show no other figures."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TABLE = runpy.run_path(str(ROOT / "tools/benchmark_table.py"))
REPORT = '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="3"/></testsuites>'


def benchmarks():
    """Figures as a GPU's benchmarks leave them, all of them 0.5."""
    text = (ROOT / "tools/benchmark_table.py").read_text(encoding="utf-8")
    figures = dict.fromkeys(
        [*re.findall(r"f\['(\w+)'\]", text), "times_as_fast_as_a_plain_loop"], 0.5
    )
    names = [
        *(f"test_evaluation_beside_the_bare_network[{w}-cuda]" for w in ("0.125", "0.25", "1")),
        *(
            f"test_a_precision_beside_fp32[cuda-{w}-{p}]"
            for w in ("0.125", "1")
            for p in ("tf32", "bf16", "fp16")
        ),
        *(f"test_the_worst_of_many_shifts[cuda-{p}]" for p in ("tf32", "bf16")),
        "test_evaluation_beside_a_plain_loop[cuda]",
    ]
    card = {"card": "Card 9000", "driver": "1.2.3", "torch": "2.14"}
    return {
        "machine_info": {"cuda": card},
        "benchmarks": [{"name": n, "extra_info": figures, "stats": {"data": [1]}} for n in names],
    }


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """The tool on a machine that seems to have a GPU; what it runs is noted, and leaves figures."""
    loaded = runpy.run_path(str(ROOT / "tools/gpu.py"))
    names = loaded["main"].__globals__
    ran = []

    def run(*arguments, environment):
        ran.append((arguments, environment["EQUIBENCH_DEVICE"]))
        for argument in arguments:
            option, _, file = str(argument).partition("=")
            if option == "--junitxml":
                Path(file).write_text(REPORT)
            elif option == "--benchmark-json":
                Path(file).write_text(json.dumps(benchmarks()))
        return 0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(names, "ROOT", tmp_path)
    monkeypatch.setitem(names, "FIGURES", tmp_path / "cuda.json")
    monkeypatch.setitem(names, "run", run)
    return loaded["main"], ran, tmp_path / "cuda.json"


def test_without_a_gpu_one_line_says_so(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert runpy.run_path(str(ROOT / "tools/gpu.py"))["main"]([]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"no CUDA device here (torch {torch.__version__}, built ")


def test_tests_and_benchmarks_run_on_the_gpu_and_leave_one_file(tool):
    main, ran, file = tool
    assert main(["-k", "ssim"]) == 0
    (tests, first), (figures, second) = ran
    assert first == second == "cuda"
    assert tests[-2:] == ("-k", "ssim")
    assert "tests" in tests
    assert figures[3:6] == ("benchmarks", "-m", "gpu")
    kept = json.loads(file.read_text())
    assert kept["tests"] | {"seconds": 0} == {"passed": 4, "failed": 2, "skipped": 3, "seconds": 0}
    assert kept["machine_info"]["cuda"]["card"] == "Card 9000"
    assert all("data" not in each["stats"] for each in kept["benchmarks"])


def test_nothing_is_fetched(tool, monkeypatch):
    """Where equibench is not installed, the checkout is, without its dependencies."""
    main, ran, _ = tool
    known = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "equibench" else known(name)
    )
    monkeypatch.setenv("EQUIBENCH_DEVICE", "cpu")
    main([])
    (install, _), *_ = ran
    assert {"--no-deps", "--no-build-isolation", "--no-index"} <= set(install)


def test_the_page_of_gpus_has_the_stored_figures_or_says_that_there_are_none():
    page = (ROOT / "docs/gpu.md").read_text(encoding="utf-8")
    assert TABLE["gpu_section"](TABLE["stored"](TABLE["GPU_FIGURES"])) in page


def test_figures_of_a_gpu_stand_beside_those_of_the_cpu():
    results = TABLE["stored"](TABLE["FIGURES"])
    alone, beside = TABLE["table"](results).split("\n"), TABLE["table"](results, benchmarks())
    head, _, first, *_ = beside.split("\n")
    assert head == "| on two CPU cores | | on one Card 9000 |"
    assert first == f"{alone[2]} 50% |"
    assert len(beside.split("\n")) == len(alone)
    assert beside.count(" 0.5 × as fast |") == 1
    section = TABLE["gpu_section"](benchmarks())
    assert section.startswith("Measured on Card 9000, driver 1.2.3, torch 2.14:\n\n| width |")
    assert "| tf32 | 0.5 | 50.0% | 5.0e-01 | 5.0e-01 |" in section


def test_figures_that_come_later_take_the_place_of_the_line_that_says_there_are_none(tmp_path):
    page = tmp_path / "gpu.md"
    page.write_text((ROOT / "docs/gpu.md").read_text(encoding="utf-8"), encoding="utf-8")
    replace = TABLE["_replace"]
    pattern = r"(?<=## Measured\n\n).*?(?=\n\n## |\n\Z)"
    for section in (TABLE["gpu_section"](benchmarks()), TABLE["UNMEASURED"]):
        replace(page, pattern, section)
        assert page.read_text(encoding="utf-8").endswith(f"## Measured\n\n{section}\n")
