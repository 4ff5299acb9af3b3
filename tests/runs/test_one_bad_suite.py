"""A suite that cannot be built stops no other one."""

import subprocess
import sys

from equibench.measurement.run_config import RunConfig
from equibench.runs.runner import run


def test_a_plugin_whose_root_is_missing_leaves_the_other_suites_alone(plugin, tmp_path):
    file = plugin(
        "class Scans(eb.Suite):\n"
        "    name = 'scans'\n"
        "    def cases(self):\n"
        "        raise eb.UsageError('scans has no root: set EQUIBENCH_DATA')\n"
        "    def load(self, name): ...\n"
        "def net():\n"
        "    return torch.nn.Identity()\n"
    )
    config = RunConfig(
        models=(f"{file}:net",),
        suites=(f"{file}:Scans", "noise,n=1,size=16"),
        shifts="random:n=2,max=4",
    )
    folder = run(config, tmp_path / "run", progress=False)
    assert set(folder.rows()["suite"]) == {"noise"}
    assert [failure["message"] for failure in folder.failures] == [
        "scans has no root: set EQUIBENCH_DATA"
    ]


def test_the_package_can_be_run_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "equibench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("equibench ")
