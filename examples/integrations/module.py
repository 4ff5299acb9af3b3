"""A small network to train, as Lightning wants it, and images for it."""

import pytorch_lightning as pl
import torch


class Denoiser(pl.LightningModule):
    def __init__(self):
        super().__init__()
        down = torch.nn.Conv2d(1, 8, 3, padding=1, stride=2)
        self.layers = torch.nn.Sequential(down, torch.nn.ConvTranspose2d(8, 1, 2, stride=2))

    def forward(self, images):
        return self.layers(images)

    def training_step(self, batch, number):
        return (self(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch, number):
        self.log("loss", self.training_step(batch, number))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


def pictures():
    clean = torch.nn.functional.avg_pool2d(torch.randn(8, 1, 36, 36), 5, 1)
    return torch.utils.data.TensorDataset(clean + 0.1 * torch.randn_like(clean), clean)
