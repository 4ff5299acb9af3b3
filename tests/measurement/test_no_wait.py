"""A GPU is never waited for before the table, and a batch is a fixed, small number of kernels.

No GPU is needed: fake tensors have a device and a shape, and no numbers. Whoever asks for a number
before the table fails.
"""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import equibench as eb
from equibench.inference.parallel_copies import Lanes
from equibench.measurement import batch_outputs
from equibench.measurement.batching import Loader
from equibench.measurement.measurement import Forward, Measurement
from equibench.measurement.row_table import suite_metrics
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.metrics import structural_similarity

pytestmark = pytest.mark.slow

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")

ASKING = {"_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select"}
"""What needs numbers of a device on the CPU."""

COPIES = {"_to_copy"}

VIEWS = {
    *("select", "slice", "unsqueeze", "squeeze", "view", "_unsafe_view", "reshape", "expand"),
    *(
        "_reshape_alias",
        "alias",
        "detach",
        "unbind",
        "split",
        "split_with_sizes",
        "transpose",
        "permute",
        "t",
    ),
    *(
        "device",
        "as_strided",
        "lift_fresh",
        "narrow",
        "chunk",
        "movedim",
        "real",
        "imag",
        "view_as_real",
    ),
}


class Traffic(TorchDispatchMode):
    """What a device is given to do: kernels by name, and what somebody waits for.

    What concerns the CPU alone is computed, and so is all that is not under way to fake tensors.
    """

    def __init__(self, device):
        super().__init__()
        self.device = device
        self.kernels, self.waits = Counter(), []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.name().split("::")[1].split(".")[0]
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if torch.is_tensor(leaf)]
        given = {each.device.type for each in tensors}
        wanted = kwargs.get("device")
        devices = given | ({torch.device(wanted).type} if wanted is not None else set())
        if self.device in devices and name not in VIEWS | COPIES:
            self.kernels[name] += 1
        if not any(isinstance(each, FakeTensor) for each in tensors) and "cuda" not in devices:
            with unset_fake_temporarily():
                return function(*args, **kwargs)
        if given == {"cpu"} and devices == {"cpu", "cuda"}:  # from the CPU to the GPU
            pinned = getattr(tensors[0], "is_in_pinned_memory", False)
            if not (pinned and kwargs.get("non_blocking")):
                self.waits.append(f"{name} from pageable memory")
        elif len(devices) > 1 and any(each.ndim for each in tensors if each.device.type == "cpu"):
            self.waits.append(f"{name} of {' and '.join(sorted(devices))}")
        elif "cuda" in given and (devices != {"cuda"} or name in ASKING):
            self.waits.append(name)
        return function(*args, **kwargs)


class Volumes(eb.Suite):
    """Cases of one image or of several, with ground truth, in units of their own."""

    name = label = "volumes"
    clamp = 6.0
    metrics = ("nmse", "psnr", "ssim")

    def __init__(self, number, images=1, target=lambda image: image.flip(-1)):
        self.number, self.images, self.target = number, images, target

    def cases(self):
        return [str(number) for number in range(self.number)]

    def load(self, name):
        random = torch.Generator().manual_seed(int(name))
        input = torch.rand(self.images, 1, 16, 16, generator=random)
        scale = torch.full((self.images,), 2.0)
        return eb.Case(name, input, self.target(input), scale=scale, offset=0 * scale)


@pytest.fixture
def pinning(monkeypatch):
    """Pinned memory, as far as names go: there is none without a GPU."""

    def pin(tensor):
        pinned = tensor.clone()
        pinned.is_in_pinned_memory = True
        return pinned

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(
        torch.Tensor, "is_pinned", lambda tensor: getattr(tensor, "is_in_pinned_memory", False)
    )


def settings(device, batch=8, **fields):
    config = RunConfig(models=("m",), suites=("s",), batch=batch, device="cpu", **fields)
    return replace(Settings.of(config), device=device)


def measured(suite, settings, model=torch.relu):
    with Loader(suite, settings.device) as load, torch.no_grad():
        load.expect(suite.cases())
        lanes = Lanes([Forward(model, lambda: None)])
        metrics = suite_metrics(suite)
        return Measurement(lanes, "model", suite, metrics, settings, load).run(suite.cases()).rows


@pytest.fixture
def traffic(pinning, monkeypatch):
    """What a fake GPU does until there is a table: traffic(suite, settings)."""

    def measure(suite, given, model=torch.relu):
        tables = []

        def table(*sums):
            tables.append(sums)
            return pd.DataFrame()

        with monkeypatch.context() as patch:
            patch.setattr("equibench.measurement.measurement.row_table", table)
            with FakeTensorMode(allow_non_fake_inputs=True), Traffic("cuda") as found:
                measured(suite, given, model)
        assert tables
        return found

    return measure


CONDITIONS = {
    "shifts": {"shifts": "random:n=5,max=7"},
    "as shifts left them": {"shifts": "random:n=5,max=7", "frame": "reference"},
    "quarter turns": {"transforms": ("d4",)},
    "fractions": {"transforms": ("fourier",)},
    "intensity": {"transforms": ("intensity",)},
    "tiles": {"transforms": ("tile:size=12,overlap=4",)},
}


@pytest.mark.long
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("images", [1, 3])
def test_nobody_waits_for_a_gpu_before_the_table(condition, images, traffic):
    found = traffic(Volumes(4, images), settings(GPU, **CONDITIONS[condition]))
    assert found.kernels
    assert found.waits == []


def test_labels_are_compared_without_waiting(traffic):
    suite = Volumes(4, target=lambda image: (image > 0.5).float())
    suite.metrics = ("agreement", "iou", "dice")
    model = eb.adapt(torch.relu, "out.labels=threshold:0.5")
    found = traffic(suite, settings(GPU, shifts="random:n=5,max=7"), model)
    assert found.waits == []


@pytest.mark.parametrize("frame", ["canonical", "reference"])
def test_a_batch_of_more_images_and_cases_is_as_many_kernels(frame, traffic):
    """Four images pass for each case: two cases in a batch of eight, eight in one of 32."""
    fields = {"shifts": "random:n=2,max=7", "frame": frame}
    few = traffic(Volumes(6), settings(GPU, batch=8, **fields))
    many = traffic(Volumes(24), settings(GPU, batch=32, **fields))
    assert few.kernels == many.kernels
    batches = 3
    assert sum(many.kernels.values()) / batches <= 300


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_images_that_are_compared_at_once_have_the_rows_of_each_alone(
    condition, images, monkeypatch
):
    suite, given = Volumes(5, images), settings(CPU, **CONDITIONS[condition])
    alone = measured(suite, given)
    monkeypatch.setattr(batch_outputs, "TOGETHER", {"cpu"})
    together = measured(suite, given)
    pd.testing.assert_frame_equal(alone, together, rtol=1e-6)


@pytest.mark.parametrize("size", [(16, 20), (9, 16, 20)])
def test_sums_over_windows_by_pooling_are_running_sums(size):
    """A GPU takes the one, a CPU the other."""
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    for dim in range(2, x.ndim):
        for side in (1, 2, 7):
            pooled = structural_similarity._pooled_sums(x, side, dim)
            running = structural_similarity._running_sums(x, side, dim)
            torch.testing.assert_close(pooled, running, rtol=1e-12, atol=0)
