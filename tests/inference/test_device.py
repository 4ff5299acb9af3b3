"""Where a model runs: ``auto`` takes what the environment names, then a GPU, then the CPU."""

import pytest
import torch

import equibench as eb
from equibench.errors import UsageError
from equibench.inference.precision import resolve_device

CPU = torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two GPUs, as far as names go."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("EQUIBENCH_DEVICE")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("EQUIBENCH_DEVICE")


@pytest.mark.usefixtures("two_gpus")
def test_auto_takes_the_gpu_where_there_is_one():
    assert resolve_device("auto").type == "cuda"


@pytest.mark.usefixtures("no_gpu")
def test_auto_takes_the_cpu_where_there_is_no_gpu():
    assert resolve_device("auto") == CPU


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("named", ["cpu", "cuda:0", "cuda:1"])
def test_auto_takes_what_the_environment_names(named, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_DEVICE", named)
    assert resolve_device("auto") == torch.device(named)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("empty", ["", "auto"])
def test_an_environment_that_names_no_device_changes_nothing(empty, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_DEVICE", empty)
    assert resolve_device("auto").type == "cuda"


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_asked_for_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("EQUIBENCH_DEVICE", "cpu")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    monkeypatch.setenv("EQUIBENCH_DEVICE", "cuda")
    assert resolve_device("cpu") == CPU


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("gpu", "EQUIBENCH_DEVICE: no device is called 'gpu': take auto, cpu, cuda or cuda:1"),
        ("cuda:", "EQUIBENCH_DEVICE: no device is called 'cuda:': take auto, cpu, cuda or cuda:1"),
        (
            "cuda:1",
            "EQUIBENCH_DEVICE: device 'cuda:1' is not here (0 CUDA devices): take cpu, or unset it",
        ),
    ],
)
def test_an_environment_that_names_an_absent_device_is_named(named, message, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_DEVICE", named)
    with pytest.raises(UsageError) as refused:
        resolve_device("auto")
    assert str(refused.value) == message


@pytest.mark.usefixtures("two_gpus")
def test_the_environment_holds_for_whoever_measures(monkeypatch, cli):
    """Everything that runs a model takes its device from the same place."""
    monkeypatch.setenv("EQUIBENCH_DEVICE", "cpu")
    devices = set()

    def model(x):
        devices.add(x.device)
        return x

    images = torch.rand(1, 1, 8, 8)
    eb.evaluate(model, eb.ImageCases(images), progress=False)
    eb.assert_shift_equivariant(model, images)
    assert devices == {CPU}
