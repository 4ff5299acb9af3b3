"""Measured after every second epoch of Lightning, into its log; the most robust one is kept."""

import pytorch_lightning as pl
import torch
from module import Denoiser, pictures

from equibench.integrations.lightning import ShiftConsistency

measure = ShiftConsistency(every_n_epochs=2, limit=2)
kept = measure.checkpoint("kept")
stop = measure.early_stopping(patience=5)
options = {"logger": pl.loggers.CSVLogger("log"), "log_every_n_steps": 1, "accelerator": "cpu"}
trainer = pl.Trainer(max_epochs=4, callbacks=[measure, kept, stop], **options)
loader = torch.utils.data.DataLoader(pictures(), batch_size=4)
trainer.fit(Denoiser(), loader, loader)
print(f"worst NMSE under shifts of the kept epoch: {kept.best_model_score:.2e}")
