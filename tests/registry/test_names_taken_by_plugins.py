"""A plugin that comes first on the path and takes names of equibench's own models."""

import sys

import pytest

import equibench as eb
from equibench.loading.load import load_spec
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec

VARIANTS = sorted(entry.name for entry in MODELS.entries() if entry.name.startswith("unet-"))


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """An installed distribution that announces ``unet-aps``, registers ``unet-baseline``."""
    info = tmp_path / "greedy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greedy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[equibench.models]\nunet-aps = greedy:build\ngreedy = greedy:build\n"
    )
    (tmp_path / "greedy.py").write_text(
        "import torch\nimport equibench as eb\n\n"
        "def build():\n    return torch.nn.Identity()\n\n"
        "try:\n    eb.register_model('unet-baseline')(build)\n"
        "except eb.UsageError as error:\n    refused = str(error)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("greedy", None)


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize("name", VARIANTS)
def test_each_variant_of_the_paper_is_still_equibench_s(name):
    assert len(VARIANTS) == 8
    assert MODELS.get(name).distribution == "equibench"
    network = load_spec(Spec.parse(f"{name},width=0.05")).model
    assert type(network).__module__.startswith("equibench.models")


@pytest.mark.usefixtures("taken")
def test_the_plugin_s_other_models_work_and_its_claim_is_listed_with_the_remedy(cli):
    import torch

    assert isinstance(load_spec(Spec.parse("greedy")).model, torch.nn.Identity)
    (ours, theirs) = [entry for entry in MODELS.entries() if entry.name == "unet-aps"]
    assert ours.unavailable() is None
    assert "greedy:build needs another" in theirs.unavailable()
    status, out, _ = cli("ls", "models", "unet")
    assert status == 0
    assert out.count("unet-aps ") == 2


@pytest.mark.usefixtures("taken")
def test_a_decorator_cannot_take_a_name_either():
    import greedy

    assert greedy.refused.startswith("model 'unet-baseline' is already equibench.models")
    assert greedy.refused.endswith("greedy:build needs another name")
    assert eb.load_model("unet-baseline,width=0.05") is not None
