"""A small network, and how PyTorch Lightning trains it."""

import pytorch_lightning as pl
import torch

__all__ = ["Module", "network"]


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1, stride=2),
                               torch.nn.BatchNorm2d(2), torch.nn.Upsample(scale_factor=2),
                               torch.nn.Conv2d(2, 1, 1))  # fmt: skip


class Module(pl.LightningModule):
    def __init__(self, faults=()):
        super().__init__()
        self.network, self.faults = network(), faults

    def forward(self, images):
        return self.network(images)

    def training_step(self, batch, number):
        return (self(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch, number):
        pass

    def on_validation_epoch_start(self):
        if self.current_epoch in self.faults:  # the shortcut that it should not have learned
            torch.nn.init.constant_(self.network[3].weight, 10.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)
