"""Evaluation beside the bare network, and beside a loop as researchers write it."""

import numpy as np
import pytest
import torch
from race import race
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import equibench as eb
from equibench.evaluation.batch_tuning import tuned
from equibench.evaluation.model_on_suite import Evaluation
from equibench.inference.placement import placed
from equibench.inference.precision import numerics
from equibench.loading.load import load_spec
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings
from equibench.registry.specs import Spec

SHIFTS = 10
BATCHES = {"cpu": (1, 2, 4), "cuda": (8, 16, 32, 64, 128)}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


class Images(eb.ImageCases):
    """Images of the size of the MRI suite, with its metrics and data ranges."""

    def __init__(self, number):
        random = torch.Generator().manual_seed(0)
        smooth = torch.nn.functional.avg_pool2d(
            torch.rand(number, 1, 326, 326, generator=random), 7, 1
        )
        noise = 0.05 * torch.randn(number, 1, 320, 320, generator=random)
        super().__init__(smooth + noise, smooth)
        self.label = self.name


def evaluation(width, device, number):
    """A network, some images, and the evaluation of the one on the others with a tuned batch."""
    model = load_spec(Spec.parse(f"unet-baseline,width={width}")).model
    fields = {"models": ["m"], "suites": ["s"], "shifts": f"random:n={SHIFTS},max=16"}
    settings = Settings.of(validated(fields | {"device": device}, "benchmark"))
    suite = Images(number)
    batch = tuned(model, suite.images[:1], settings, f"benchmark {width}")
    settings = Settings.of(validated(fields | {"device": device, "batch": batch}, "benchmark"))
    return model, suite, Evaluation(model, "unet", suite, settings)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIBENCH_CACHE", str(tmp_path))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("width", [0.125, 0.25, 1])
def test_evaluation_beside_the_bare_network(benchmark, report, width, device):
    number = (1 if width == 1 else 2) if device == "cpu" else 64
    model, suite, measured = evaluation(width, device, number)
    forwards = number * (2 + SHIFTS)
    images = suite.images[:1].to(device)

    def bare(forward, batch):
        def run():
            with numerics("fp32"):
                for _ in range(forwards // batch):
                    forward(images.expand(batch, -1, -1, -1).contiguous())

        return run

    with measured.ready() as ready, placed(model, torch.device(device), "fp32") as forward:
        batches = [batch for batch in BATCHES[device] if forwards % batch == 0]
        runners = {f"bare, batch {batch}": bare(forward, batch) for batch in batches}
        runners["evaluation"] = lambda: ready(suite.cases())
        times = race(runners, 3 if width == 1 else 7)
        benchmark.pedantic(ready, (suite.cases(),))
    best = min((name for name in runners if name != "evaluation"), key=times.seconds)
    peak = {}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        with measured.ready() as ready:
            ready(suite.cases())
        peak["peak_GiB"] = torch.cuda.max_memory_allocated() / 2**30
    report(
        share_of_bare_throughput=times.ratio(best, "evaluation"),
        milliseconds_per_forward=1000 * times.seconds("evaluation") / forwards,
        batch=measured.settings.batch,
        best_batch=int(best.split()[-1]),
        **peak,
    )


@pytest.mark.parametrize("device", DEVICES)
def test_evaluation_beside_a_plain_loop(benchmark, report, device):
    """Batch 1, one roll, two passes for each shift, metrics by NumPy and scikit-image."""
    number = 4 if device == "cpu" else 16
    model, suite, measured = evaluation(0.125, device, number)
    plan, seed = measured.settings.plan, measured.settings.seed

    def plain():
        rows = []
        for case, image, target in zip(suite.cases(), suite.images, suite.targets, strict=True):
            truth = target[0].numpy()
            for dy, dx in plan.shifts(seed, suite.name, case, (320, 320)):
                shift = (int(dy), int(dx))
                x = image[None].to(device)
                y = model(x)[0, 0].cpu().numpy()
                moved = model(torch.roll(x, shift, (-2, -1)))[0, 0].cpu().numpy()
                back = np.roll(moved, (-shift[0], -shift[1]), (0, 1))
                nmse = np.sum((y - back) ** 2) / np.sum(y**2)
                ssim = structural_similarity(y, back, data_range=y.max())
                before = peak_signal_noise_ratio(truth, y, data_range=truth.max())
                after = peak_signal_noise_ratio(truth, back, data_range=truth.max())
                rows.append((nmse, ssim, abs(after - before)))
        return rows

    def plainly():
        with torch.inference_mode(), numerics("fp32"):  # PyTorch's default on GPUs is TF32
            return plain()

    with measured.ready() as ready:
        model.to(device).eval()
        found = ready(suite.cases()).rows.query("draw > 0")
        wanted = np.array(plainly())
        columns = ["eq_nmse", "eq_ssim", "delta_psnr"]
        np.testing.assert_allclose(found[columns], wanted, rtol=1e-3, atol=1e-5)
        times = race({"plain": plainly, "evaluation": lambda: ready(suite.cases())})
        benchmark.pedantic(ready, (suite.cases(),))
    report(times_as_fast_as_a_plain_loop=times.ratio("plain", "evaluation"))


def test_two_workers_beside_one(benchmark, report, cost, tmp_path, monkeypatch):
    """Whole commands, workers of one thread each; the start of the cluster counts."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(workers):
        return cost(
            "from equibench.cli import main; main()", "run", "-m", "unet-baseline,width=0.25",
            "-s", "noise,n=80,size=320", "--workers", workers, "--out", tmp_path / str(workers),
        )  # fmt: skip

    one = run(1)
    two = benchmark.pedantic(run, (2,))
    report(share_of_the_time_of_one=two.seconds / one.seconds)
