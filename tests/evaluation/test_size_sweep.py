"""At which sizes which shifts commute with a network."""

import pytest
import torch
from torch import nn

import equibench as eb
from equibench.evaluation.model_on_suite import Evaluation
from equibench.evaluation.size_sweep import parse_sizes, sweep
from equibench.foundation.validation import checked
from equibench.measurement.run_config import Conditions
from equibench.measurement.settings import Settings
from equibench.reports.diagnosis.sizes import sizes_figure, sizes_text


class Pooled(nn.Module):
    """Circular, with two poolings; a size that they do not divide is cut off and filled up."""

    def forward(self, x):
        if x.shape[-1] == 15:
            raise ValueError("fifteen is too odd")
        low = nn.functional.max_pool2d(x, 4)
        large = nn.functional.interpolate(low, scale_factor=4)
        rest = [n - m for n, m in zip(x.shape[-2:], large.shape[-2:], strict=True)]
        return nn.functional.pad(large, (0, rest[1], 0, rest[0]))


def swept(model, sizes, images=None):
    suite = eb.ImageCases(torch.rand(1, 1, 20, 24) if images is None else images)
    suite.label = suite.name
    settings = Settings.of(checked(Conditions, {"device": "cpu", "batch": 2}, "test"))
    evaluation = Evaluation(model, "net", suite, settings)
    return list(sweep(evaluation, suite.cases(), sizes))


@pytest.fixture(scope="module")
def found():
    return swept(Pooled(), range(12, 18))


def test_multiples_of_the_stride_commute_where_it_divides_the_size_alone(found):
    assert [each.stride for each in found] == [(4, 4), None, None, None, (4, 4), None]
    assert found[1].deviation > 1e-3


def test_a_size_that_the_model_refuses_is_said_to_be(found):
    refused = [each.size for each in found if each.refusal]
    assert refused == [15]
    assert "fifteen is too odd" in found[3].refusal


def test_the_table_has_every_size_and_names_where_each_stride_holds(found):
    lines = sizes_text(found, "net", "images").splitlines()
    assert lines[1] == "    12  multiples of 4 commute"
    assert lines[2].startswith("    13  no shift commutes: NMSE ")
    assert "refused: net raised ValueError" in lines[4]
    assert lines[-1] == "multiples of 4 commute at 12, 16"


def test_images_are_repeated_where_they_are_smaller_than_a_size():
    (large,) = swept(nn.Identity(), [50])
    assert large.stride == (1, 1)


def test_where_nothing_commutes_that_is_said():
    zeros = nn.Conv2d(1, 1, 3, padding=1)
    text = sizes_text(swept(zeros, [9, 10]), "net", "images")
    assert text.endswith("no shift commutes at any of them")


def test_the_figure_is_written_as_png_and_pdf(found, tmp_path):
    assert [file.name for file in sizes_figure(found, tmp_path)] == ["sizes.png", "sizes.pdf"]


def test_ranges_are_read_with_and_without_a_step():
    assert list(parse_sizes("64..66")) == [64, 65, 66]
    assert list(parse_sizes(" 64 .. 72 : 4 ")) == [64, 68, 72]


@pytest.mark.parametrize("text", ["64", "64-96", "96..64", "a..b", "1..4", "64..96:0", "64..96:-4"])
def test_what_is_no_range_is_refused_with_what_to_write(text):
    with pytest.raises(eb.UsageError, match=r"is no range of sizes: write --sizes 64\.\.96"):
        parse_sizes(text)


def test_too_many_sizes_are_refused_with_a_step_that_works():
    with pytest.raises(eb.UsageError) as refused:
        parse_sizes("64..2000")
    remedy = str(refused.value).rpartition("--sizes ")[2]
    assert 1 < len(parse_sizes(remedy)) <= 512


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_the_figure(cli, tmp_path):
    options = ("-s", "noise,n=1,size=32", "--device", "cpu", "-o", tmp_path / "out")
    status, out, _ = cli("probe", "unet-lpf-3,width=0.05", "--sizes", "32..40:8", *options)
    assert status == 0
    assert "    40  refused: " in out
    assert out.count("commute at 32") == 1
    assert (tmp_path / "out/sizes.png").exists()
