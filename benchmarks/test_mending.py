"""What a treatment costs: ratios of forward passes within one run."""

from statistics import median
from time import process_time

import pytest
import torch
from race import race

import equibench as eb

PACKAGED = "unet-baseline,width=0.125,weights=mri-sample"


@pytest.mark.parametrize("treatment", ["canonical", "aps", "blur"])
def test_a_pass_of_a_treated_network_beside_the_untreated_one(benchmark, treatment, report):
    image = torch.randn(1, 1, 320, 320, generator=torch.Generator().manual_seed(0))
    plain = eb.load_model(PACKAGED).eval()
    mended = eb.mend(plain, treatment)
    with torch.inference_mode():
        times = race({"plain": lambda: plain(image), "mended": lambda: mended(image)}, rounds=11)
        ratio = _ratio_of_cpu_time(lambda: mended(image), lambda: plain(image))
        benchmark.pedantic(lambda: mended(image))
    report(times_of_a_pass=times.ratio("mended", "plain"), times_of_its_cpu_time=ratio)
    if treatment == "canonical":
        assert ratio <= 1.05


def _ratio_of_cpu_time(one, other, rounds=21):
    """The same ratio of what the process computed: other processes do not count."""
    spent = {one: [], other: []}
    for _ in range(rounds):
        for run, times in spent.items():
            begun = process_time()
            run()
            times.append(process_time() - begun)
    return median(a / b for a, b in zip(spent[one], spent[other], strict=True))
