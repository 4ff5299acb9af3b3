"""The card of a model: what the Hub shows of its equivariance."""

from math import isfinite

import pytest

from equibench.errors import UsageError
from equibench.reports.findings.run_data import RunData
from equibench.reports.model_card import BEGIN, END, model_card

hub = pytest.importorskip("huggingface_hub")

WRITTEN = """\
---
license: mit
tags:
- denoising
model-index:
- name: mine
  results:
  - task:
      type: image-to-image
    dataset:
      name: DIV2K
      type: div2k
    metrics:
    - type: psnr
      value: 33.1
---
# Mine

It was trained with care.

## Licence
"""


def results(text):
    """The results that the Hub reads from a card, by data set and metric."""
    card = hub.ModelCard(text, ignore_metadata_errors=False)
    return {(r.dataset_type, r.metric_type): r for r in card.data.eval_results}


def test_a_new_card_has_the_numbers_of_the_table_and_metadata_that_the_hub_reads(two_suites):
    data = RunData.read(two_suites)
    text = model_card(data, "unet-baseline")
    assert "| mri-sample   | unet-baseline |       6.0e-03 |" in text
    assert "unet-aps" not in text.partition("To measure it again")[0]
    found = results(text)
    (line,) = (
        data.of_models(["unet-baseline"]).summary.query("suite == 'mri-sample'").to_dict("records")
    )
    for name in ("eq_nmse_mean", "eq_nmse_worst", "eq_ssim_worst", "delta_psnr_mean"):
        assert found["mri-sample", name].metric_value == line[name]
    assert ("photo-sample", "delta_psnr_mean") not in found, "there is no ground truth"
    assert hub.ModelCard(text).data.model_name == "unet-baseline"


def test_what_is_no_number_is_not_in_the_metadata(two_suites):
    found = results(model_card(RunData.read(two_suites), "unet-aps"))
    assert ("mri-sample", "eq_nmse_worst") in found
    assert ("photo-sample", "eq_nmse_worst") not in found
    assert all(isfinite(each.metric_value) for each in found.values())


def test_of_a_card_that_exists_all_else_stays_and_a_second_time_changes_nothing(two_suites):
    data = RunData.read(two_suites)
    once = model_card(data, "unet-baseline", WRITTEN)
    assert model_card(data, "unet-baseline", once) == once
    card = hub.ModelCard(once)
    assert (card.data.license, card.data.tags, card.data.model_name) == (
        "mit",
        ["denoising"],
        "mine",
    )
    assert results(once)["div2k", "psnr"].metric_value == 33.1
    before, _, rest = once.partition(BEGIN)
    section, _, after = rest.partition(END)
    assert before.rstrip().endswith(WRITTEN.partition("---\n# ")[2].rstrip())
    assert after.strip() == ""
    other = model_card(data, "unet-aps", once.replace(END, f"{END}\n\n## After"))
    assert other.count(BEGIN) == 1
    assert other.rstrip().endswith("## After")
    assert section not in other


def test_a_model_that_the_run_does_not_have_is_named_with_those_it_has(two_suites):
    with pytest.raises(UsageError, match="no numbers of 'net': choose unet-baseline, unet-aps"):
        model_card(RunData.read(two_suites), "net")


def test_metadata_that_cannot_be_read_are_one_line(two_suites):
    with pytest.raises(UsageError, match="the card's metadata cannot be read: "):
        model_card(RunData.read(two_suites), "unet-aps", "---\n[1, 2\n---\n# Mine\n")


@pytest.mark.slow
def test_the_command_prints_a_card_or_brings_a_file_up_to_date(two_suites, cli, tmp_path):
    status, out, _ = cli("card", two_suites.path, "unet-baseline")
    assert status == 0
    assert results(out)
    file = tmp_path / "README.md"
    file.write_text(WRITTEN, encoding="utf-8")
    assert cli("card", two_suites.path, "unet-baseline", "-o", file)[:2] == (0, f"card: {file}\n")
    assert file.read_text(encoding="utf-8") == model_card(
        RunData.read(two_suites), "unet-baseline", WRITTEN
    )
    status, _, err = cli("card", two_suites.path, "nobody")
    assert (status, len(err.splitlines())) == (2, 1)
