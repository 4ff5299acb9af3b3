"""The model is what its registration says, and the suite can be measured."""

import equibench as eb
from equibench.testing import check_model, check_suite


def test_the_circular_network_is_equivariant_and_the_other_is_not():
    worst = {
        padding: eb.evaluate(
            f"example-resnet,padding={padding}", "example-stripes", device="cpu"
        ).summary["eq_nmse_worst"][0]
        for padding in ("circular", "zeros")
    }
    assert worst["circular"] < 1e-12 < worst["zeros"]


def test_the_model_and_the_suite_keep_their_contracts():
    check_model("example-resnet,padding=circular", size=(1, 32, 32))
    check_suite("example-stripes")


def test_every_case_has_a_ground_truth():
    rows = eb.evaluate("example-resnet", "example-stripes", device="cpu").rows
    assert rows["psnr"].notna().all()
    assert rows["case"].nunique() == 4
