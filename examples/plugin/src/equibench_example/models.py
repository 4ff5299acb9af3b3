"""A residual network without resampling."""

import equibench as eb


@eb.register_model(
    "example-resnet",
    summary="three residual blocks; padding=circular makes it shift-equivariant",
    total_stride=1,
    trained=False,
    licence="MIT",
    citation="He et al., CVPR 2016",
)
def resnet(width: int = 8, padding: str = "zeros"):
    import torch  # only when it is built: `equibench ls` stays quick
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1, padding_mode=padding), nn.ReLU()
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.layers(x)

    return nn.Sequential(
        nn.Conv2d(1, width, 1), *(Block() for _ in range(3)), nn.Conv2d(width, 1, 1)
    )
