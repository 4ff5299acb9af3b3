"""A network is measured while it trains: in a plain loop, and by a callback of Lightning."""

import logging
from pathlib import Path

import pandas as pd
import pytest
import torch
from lazy_imports import Lazy
from torch.utils.data import DataLoader, TensorDataset

import equibench as eb

pl, loggers = Lazy("pytorch_lightning"), Lazy("pytorch_lightning.loggers")
integration, own = Lazy("equibench.integrations.lightning"), Lazy("lightning_module")

SHIFTS = "random:n=2,max=8"


@pytest.fixture
def pictures():
    return torch.randn(6, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def fit(tmp_path, pictures):
    def run(*callbacks, module=None, epochs=4, **options):
        data = DataLoader(TensorDataset(pictures, pictures.relu()), batch_size=3)
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=loggers.CSVLogger(tmp_path, "log"),
            callbacks=list(callbacks), enable_progress_bar=False, enable_model_summary=False,
            log_every_n_steps=1, default_root_dir=tmp_path, **options,
        )  # fmt: skip
        trainer.fit(module or own.Module(), data, data)
        return trainer

    return run


pytestmark = pytest.mark.filterwarnings(
    "ignore:The '.*_dataloader' does not have many workers", "ignore:.isinstance.treespec, LeafSpec"
)


def logged(trainer):
    """The epochs in which something was logged, with ``eq_nmse_worst`` of each."""
    rows = pd.read_csv(Path(trainer.logger.log_dir) / "metrics.csv")
    rows = rows.dropna(subset="shift/eq_nmse_worst")
    return dict(zip(rows["epoch"], rows["shift/eq_nmse_worst"], strict=True))


def test_numbers_of_a_loop_are_those_of_evaluate(pictures):
    found = eb.shift_consistency(own.network(), pictures, shifts=SHIFTS, limit=3)
    options = {"shifts": SHIFTS, "limit": 3, "device": "cpu"}
    (line,) = eb.evaluate(own.network(), pictures, **options).summary.to_dict("records")
    seconds = found.pop("seconds")
    assert seconds > 0
    assert {f"eq_{m}_{s}" for m in ("nmse", "psnr", "ssim") for s in ("mean", "worst")} == set(
        found
    )
    assert found == {name: line[name] for name in found}


def test_with_ground_truths_there_is_the_change_of_quality(pictures):
    found = eb.shift_consistency(own.network(), pictures, targets=pictures.relu(), shifts=SHIFTS)
    assert found["delta_psnr_worst"] >= found["delta_psnr_mean"] > 0


def test_a_loop_goes_on_with_the_network_as_it_was(pictures):
    model = own.network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(7)
    random = torch.get_rng_state()
    eb.shift_consistency(model, pictures, shifts=SHIFTS)
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model(pictures).requires_grad


def test_the_callback_logs_every_so_many_epochs_what_the_function_says(fit, pictures):
    callback = integration.ShiftConsistency(every_n_epochs=2, shifts=SHIFTS, limit=2)
    trainer = fit(callback)
    assert list(logged(trainer)) == [1, 3]
    last = eb.shift_consistency(trainer.lightning_module.network, pictures, shifts=SHIFTS, limit=2)
    # Lightning logs in float32
    assert logged(trainer)[3] == pytest.approx(last["eq_nmse_worst"], rel=1e-6)
    assert "shift/delta_psnr_mean" in trainer.callback_metrics


def test_it_trains_the_same_with_the_callback_and_without(fit):
    def trained(*callbacks):
        return fit(*callbacks, module=own.Module()).lightning_module.state_dict()

    with_it, without = trained(integration.ShiftConsistency(shifts=SHIFTS)), trained()
    assert all(torch.equal(value, without[name]) for name, value in with_it.items())


def test_it_measures_data_of_its_own_and_a_network_in_the_module(fit):
    callback = integration.ShiftConsistency(
        "noise,n=2,size=16", shifts=SHIFTS, network=lambda module: module.network
    )
    trainer = fit(callback, epochs=1)
    found = eb.shift_consistency(
        trainer.lightning_module.network, "noise,n=2,size=16", shifts=SHIFTS
    )
    assert logged(trainer)[0] == pytest.approx(found["eq_nmse_worst"], rel=1e-6)


@pytest.mark.slow
def test_the_most_robust_checkpoint_is_kept(fit, tmp_path):
    callback = integration.ShiftConsistency(shifts=SHIFTS)
    keeper = callback.checkpoint(str(tmp_path / "kept"))
    trainer = fit(callback, keeper, module=own.Module(faults=(1, 3)))
    values = logged(trainer)
    best = min(values, key=values.get)
    kept = torch.load(keeper.best_model_path, weights_only=True)
    assert kept["epoch"] == best
    assert keeper.best_model_score.item() == pytest.approx(values[best])
    assert len(list((tmp_path / "kept").iterdir())) == 1


@pytest.mark.parametrize("every", [1, 2])
def test_training_stops_after_so_many_measurements_that_are_no_better(fit, every):
    callback = integration.ShiftConsistency(shifts=SHIFTS, every_n_epochs=every)
    stop = callback.early_stopping(patience=2, min_delta=1e9)  # nothing is ever better
    trainer = fit(callback, stop, epochs=20)
    assert list(logged(trainer)) == [every - 1, 2 * every - 1, 3 * every - 1]
    assert stop.stopped_epoch == 3 * every - 1


def test_what_is_better_above_is_watched_from_above():
    callback = integration.ShiftConsistency(monitor="eq_ssim_mean")
    assert callback.checkpoint().mode == callback.early_stopping().mode == "max"
    assert integration.ShiftConsistency(monitor="delta_psnr_worst").checkpoint().mode == "min"


def test_what_measuring_costs_is_said_and_logged(fit, caplog):
    with caplog.at_level(logging.INFO, logger="pytorch_lightning"):
        callback = integration.ShiftConsistency(shifts=SHIFTS)
        trainer = fit(callback, epochs=2)
    said = [r.message for r in caplog.records if r.message.startswith("equibench")]
    assert len(said) == 1
    assert said[0].startswith("equibench: 2 measurements of shift consistency took ")
    assert 0 < trainer.callback_metrics["shift/seconds"].item() <= callback.seconds


def test_a_number_that_there_is_not_is_refused_at_once():
    with pytest.raises(eb.UsageError, match="take eq_nmse_worst, eq_nmse_mean"):
        integration.ShiftConsistency(monitor="loss")


def test_without_validation_data_it_says_what_to_give_it(tmp_path, pictures):
    callback = integration.ShiftConsistency()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(eb.UsageError, match="give it data="):
        callback._measure(trainer, own.Module())
