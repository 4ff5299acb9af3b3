"""Stripes of several widths under noise, with the clean stripes as ground truth."""

import equibench as eb


@eb.register_suite("example-stripes", summary="noisy stripes of several widths")
class Stripes(eb.Suite):
    """One image (1, 1, size, size) for each width of stripes."""

    name = "example-stripes"
    version = 1  # raise it when the same case gives other numbers

    def __init__(self, size: int = 64, noise: float = 0.1):
        self.size, self.noise = size, noise

    @property
    def configuration(self):
        """What changes the numbers, for the manifest."""
        return {"size": self.size, "noise": self.noise}

    def cases(self):
        return [f"width-{width:02d}" for width in (2, 4, 8, 16)]

    def load(self, name):
        import torch

        width = int(name.removeprefix("width-"))
        stripes = (torch.arange(self.size) // width % 2).float()
        clean = stripes.expand(1, 1, self.size, self.size)
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(width))
        return eb.Case(name=name, input=clean + self.noise * noise, target=clean)
