"""The packaged baseline after treatment: exact, and as good as it was."""

import pytest

import equibench as eb

pytestmark = pytest.mark.long

PACKAGED = "unet-baseline,width=0.125,weights=mri-sample"
SHIFTS = "random:n=2,max=160"


@pytest.fixture(scope="module")
def results():
    specs = {"as it is": PACKAGED, "mended": f"{PACKAGED},mend=canonical"}
    return {
        name: eb.evaluate(spec, "mri-sample", shifts=SHIFTS, progress=False)
        for name, spec in specs.items()
    }


def test_canonical_brings_its_worst_error_to_the_floor(results):
    before, after = (result.summary["eq_nmse_worst"].max() for result in results.values())
    assert before > 1e-5
    assert after <= 1e-12


def test_canonical_keeps_its_quality(results):
    rows = [result.rows.query("draw == 0") for result in results.values()]
    assert len(rows[0]) > 4
    before, after = (each["psnr"].mean() for each in rows)
    assert abs(after - before) <= 0.05
