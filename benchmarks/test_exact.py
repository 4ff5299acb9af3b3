"""The worst of all shifts by residue classes, beside every shift of an image in turn."""

from dataclasses import replace

import torch
from race import race

import equibench as eb
from equibench.evaluation import model_on_suite
from equibench.evaluation.model_on_suite import Evaluation
from equibench.loading.load import load_spec
from equibench.measurement.run_config import validated
from equibench.measurement.settings import Settings
from equibench.registry.specs import Spec
from equibench.transforms.circular_shift import Circular
from equibench.transforms.shift_plans import All, Fixed

SIZE, SOME = 320, 300


def test_all_shifts_of_an_image(benchmark, report, monkeypatch):
    """Brute force is measured on some shifts, and its time for all of them follows."""
    worthwhile = model_on_suite.WORTHWHILE
    spec = Spec.parse("unet-lpf-3,width=0.125")
    model = load_spec(spec).model
    suite = eb.ImageCases(torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    suite.label = suite.name
    cases = suite.cases()

    def evaluation(plan):
        fields = {"models": ["m"], "suites": ["s"], "shifts": "all", "device": "cpu"}
        settings = Settings.of(validated(fields, "benchmark"))
        return Evaluation(model, "unet", suite, replace(settings, transforms=(Circular(plan),)))

    every = All().shifts(0, "", "", (SIZE, SIZE))
    some = Fixed(tuple(map(tuple, every[:: len(every) // SOME][:SOME])))
    batches = []

    def short(worthwhile=worthwhile):
        monkeypatch.setattr(model_on_suite, "WORTHWHILE", worthwhile)
        with evaluation(All()).ready(cases) as ready:
            return ready(cases).rows

    def brute():
        with evaluation(some).ready() as ready:
            return ready(cases).rows

    def passing():
        """Every class passes through all of the network."""
        return short(worthwhile=2**62)

    hook = model.register_forward_hook(lambda module, inputs, output: batches.append(len(output)))
    rows = passing()
    hook.remove()
    assert rows["evidence"].isin(["sampled", "proved"]).all()
    assert rows.query("draw > 0")["covers"].sum() == SIZE**2
    times = race({"short": short, "passing": passing, "brute": brute}, rounds=2)
    benchmark.pedantic(short)
    report(
        times_as_fast_as_brute_force=times.ratio("brute", "short") * len(every) / SOME,
        times_as_fast_as_a_pass_for_each_class=times.ratio("passing", "short"),
        forwards_beside_the_classes=sum(batches) / 256 - 1,
    )
