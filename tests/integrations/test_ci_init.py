"""A workflow is written whose commands do what they are there for."""

import shlex
from xml.etree import ElementTree

import pytest
import yaml

NET = """
import torch
from pathlib import Path

def build():
    side = 7 if Path("worse").exists() else 3
    return torch.nn.MaxPool2d(side, 1, side // 2)
"""
FILES = {"github": ".github/workflows/equivariance.yml", "gitlab": ".gitlab/equivariance.yml"}


def ours(text, provider):
    """The equibench commands of a workflow, in their order."""
    content = yaml.safe_load(text)
    if provider == "github":
        lines = [step.get("run", "") for step in content["jobs"]["equivariance"]["steps"]]
    else:
        lines = content["equivariance"]["script"]
    return [shlex.split(line)[1:] for line in lines if line.startswith("equibench")]


@pytest.mark.slow
@pytest.mark.parametrize("provider", FILES)
def test_the_commands_of_a_workflow_pass_until_the_network_is_worse(cli, tmp_path, provider):
    (tmp_path / "net.py").write_text(NET)
    chosen = ("-m", "net.py:build,label=net", "-s", "noise,n=2,size=16")
    status, shown, _ = cli("ci", "init", provider, *chosen, "--shifts", "random:n=3,max=4")
    assert status == 0
    first, said, *baseline = shown.splitlines()
    assert (first, said) == (f"workflow: {FILES[provider]}", "write the baseline, and commit it:")
    for line in baseline:
        assert cli(*shlex.split(line)[1:])[0] == 0
    run, check = ours((tmp_path / FILES[provider]).read_text(), provider)
    assert cli(*run)[0] == 0
    assert cli(*check)[0] == 0
    assert (tmp_path / "equivariance.md").read_text().startswith("### ✅ runs/equivariance against")
    (tmp_path / "worse").touch()
    assert cli(*run[:-1], "runs/worse")[0] == 0
    check[1] = "runs/worse"
    status, shown, _ = cli(*check)
    assert status == 1
    assert ("::error" in shown) == (provider == "github")
    summary = (tmp_path / "equivariance.md").read_text()
    assert summary.startswith("### ❌ runs/worse against equivariance.json: ")
    assert "| ✗ regression | net " in summary.partition("<details>")[0]
    report = ElementTree.parse(tmp_path / "equivariance.xml").getroot()
    assert int(report.get("failures")) > 0


def test_a_workflow_that_is_there_is_kept_unless_it_is_to_be_replaced(cli, tmp_path):
    init = ("ci", "init", "-m", "unet-aps,width=0.125")
    assert cli(*init)[0] == 0
    file = tmp_path / FILES["github"]
    file.write_text("mine")
    status, _, said = cli(*init)
    assert (status, "--force replaces it" in said, file.read_text()) == (2, True, "mine")
    assert cli(*init, "--force")[0] == 0
    assert yaml.safe_load(file.read_text())["name"] == "equivariance"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "ci init: which model is guarded? -m net.py:build,label=net, say"),
        (("-m", "net.py:build"), "-m net.py:build: there is no file net.py here"),
        (("-m", "unet-apps"), "no model is called 'unet-apps'. Did you mean unet-aps"),
        (("-m", "unet-aps", "-s", "nois"), "no suite is called 'nois'. Did you mean noise"),
    ],
)
def test_no_workflow_names_a_model_or_suite_that_is_not_there(cli, tmp_path, options, message):
    status, _, said = cli("ci", "init", *options)
    assert (status, message in said, list(tmp_path.iterdir())) == (2, True, []), said


def test_names_with_spaces_and_quotes_stay_one_argument(cli, tmp_path):
    options = ("-s", "folder,path=my 'images'", "--baseline", "a b.json")
    assert cli("ci", "init", "-m", "unet-aps,width=0.125", *options)[0] == 0
    run, check = ours((tmp_path / FILES["github"]).read_text(), "github")
    assert run[run.index("-s") + 1] == "folder,path=my 'images'"
    assert check[check.index("--against") + 1] == "a b.json"


def test_a_file_of_another_kind_is_refused_by_name(cli, tmp_path):
    (tmp_path / "net.py").write_text(NET)
    assert cli("run", "-m", "net.py:build", "-s", "noise,n=1,size=16", "--out", "run")[0] == 0
    status, _, said = cli("compare", "run", "run", "--write", "verdicts.pdf")
    assert status == 2
    assert "--write verdicts.pdf: name a file that ends in .json, .md, .xml" in said
