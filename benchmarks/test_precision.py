"""What a precision costs and what it does to outputs and errors, beside fp64."""

import pytest
import torch
from race import race

import equibench as eb
from equibench.inference.placement import placed
from equibench.inference.precision import numerics
from equibench.loading.load import load_spec
from equibench.metrics.squared_error import nmse
from equibench.registry.specs import Spec

WAYS = [
    ("cpu", 0.125, "bf16"),
    *(
        pytest.param("cuda", width, precision, marks=pytest.mark.gpu)
        for width in (0.125, 1)
        for precision in ("tf32", "bf16", "fp16")
    ),
]


@pytest.mark.parametrize(("device", "width", "precision"), WAYS)
def test_a_precision_beside_fp32(benchmark, report, device, width, precision):
    """Outputs beside those of fp64, the worst error of ten shifts, and the time of a pass."""
    spec = f"unet-baseline,width={width}"
    model = load_spec(Spec.parse(spec)).model
    batch, side = (2, 96) if device == "cpu" else (32, 320)
    random = torch.Generator().manual_seed(0)
    images = torch.rand(batch, 1, side, side, generator=random).to(device)

    def passes(name):
        with placed(model, images.device, name) as forward, numerics(name):
            output = forward(images).double()
            times = race({"pass": lambda: forward(images)}, rounds=5)
        return output, times.seconds("pass")

    exact, _ = passes("fp64")
    (ours, seconds), (theirs, fast) = passes("fp32"), passes(precision)
    off = [float(nmse(exact, output, 1.0).max()) for output in (ours, theirs)]
    worst = [
        float(
            eb.evaluate(
                spec, images[:1].cpu(), device=device, precision=each, batch=2, progress=False
            ).rows["eq_nmse"].max()
        )
        for each in ("fp64", "fp32", precision)
    ]  # fmt: skip
    benchmark.pedantic(passes, (precision,))
    report(
        times_as_fast_as_fp32=seconds / fast,
        milliseconds_per_image=1000 * fast / batch,
        nmse_of_outputs=off[1],
        nmse_of_outputs_fp32=off[0],
        worst=worst[2],
        worst_fp32=worst[1],
        worst_fp64=worst[0],
    )
