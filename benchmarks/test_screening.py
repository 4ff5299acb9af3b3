"""The worst of many shifts found in a fast precision, beside all of them in fp32."""

import numpy as np
import pytest
import torch
from race import race

import equibench as eb
from equibench.evaluation.model_on_suite import Evaluation
from equibench.loading.load import load_spec
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings
from equibench.registry.specs import Spec

SIZE, BATCH = {"cpu": 48, "cuda": 320}, {"cpu": 2, "cuda": 64}
REACH = {"cpu": 5, "cuda": 15}
WAYS = [
    ("cpu", "bf16"),
    *(pytest.param("cuda", fast, marks=pytest.mark.gpu) for fast in ("tf32", "bf16")),
]


@pytest.mark.parametrize(("device", "fast"), WAYS)
def test_the_worst_of_many_shifts(benchmark, report, device, fast):
    width = 0.125 if device == "cpu" else 1
    model = load_spec(Spec.parse(f"unet-baseline,width={width}")).model
    random = torch.Generator().manual_seed(0)
    suite = eb.ImageCases(torch.rand(1, 1, SIZE[device], SIZE[device], generator=random))
    suite.label = suite.name
    fields = {"models": ["m"], "suites": ["s"], "shifts": f"grid:max={REACH[device]},step=1"}
    fields |= {"device": device, "batch": BATCH[device]}

    def settings(**more):
        return Settings.of(validated(fields | more, "benchmark"))

    with (
        Evaluation(model, "unet", suite, settings()).ready() as whole,
        Evaluation(model, "unet", suite, settings(screen=fast)).ready() as screened,
    ):
        rows = [each(suite.cases()).rows.query("draw > 0") for each in (whole, screened)]
        worst = [float(each["eq_nmse"].max()) for each in rows]
        assert worst[1] == pytest.approx(worst[0], rel=1e-3)
        runs = {"whole": whole, "screened": screened}
        times = race({n: lambda r=r: r(suite.cases()) for n, r in runs.items()}, rounds=2)
        benchmark.pedantic(screened, (suite.cases(),))
    found = rows[1]
    report(
        times_as_fast_as_fp32=times.ratio("whole", "screened"),
        share_confirmed=float((found["precision"] == "fp32").mean()),
        screening_error=float(np.sqrt(found["screen_nmse"].max())),
        worst_error=float(np.sqrt(worst[0])),
    )
