"""Random small networks, equivariant and not, that proofs are held against.

Each is made from a seed out of the parts that image networks are made of, with the mistakes that
break equivariance among them: other paddings, strides that do not fit, position codes, decisions
by position, statistics of the batch.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from equibench.models.polyphase import APSDown, APSUp

__all__ = ["PARTS", "Network", "random_network"]

Pair = tuple[int, int]
Part = Callable[[Random, int, Pair], Any]
"""From a generator, channels and the size of the map to a module that keeps all three."""

PARTS: dict[str, tuple[Part, int]] = {}
"""By name, with how often each is drawn."""


def part(weight: int = 2) -> Callable[[Part], Part]:
    def register(function: Part) -> Part:
        PARTS[function.__name__] = function, weight
        return function

    return register


class Do(nn.Module):
    """A function with the modules that it uses."""

    def __init__(self, function: Callable[..., Tensor], *modules: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


class Constant(nn.Module):
    """A tensor that was drawn once."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("value", torch.randn(shape))

    def forward(self) -> Any:
        return self.value


class Network(nn.Module):
    """Parts one after another.

    Args:
        names: of its parts, for messages.
    """

    def __init__(self, parts: list[nn.Module], names: list[str], size: Pair) -> None:
        super().__init__()
        self.parts, self.names, self.size = nn.ModuleList(parts), names, size

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.parts:
            x = layer(x)
        return x


def random_network(seed: int) -> Network:
    """The network of a seed: from (B, 2, *size) to (B, C, *size or a multiple)."""
    random = Random(seed)
    torch.manual_seed(seed)
    size = random.choice([(12, 12), (16, 16), (12, 16), (8, 12)])
    parts, names, channels = list[nn.Module](), list[str](), 2
    for _ in range(random.randint(1, 5)):
        name = random.choices(list(PARTS), [weight for _, weight in PARTS.values()])[0]
        parts.append(PARTS[name][0](random, channels, size))
        names.append(name)
    if random.random() < 0.08:
        parts.append(_enlarged(random, channels))
        names.append("enlarged")
    return Network(parts, names, size).eval().double()


def rarely(random: Random, share: float = 0.12) -> bool:
    """Whether a mistake is made."""
    return random.random() < share


# padding


def circular_by_cat(x: Tensor, n: int) -> Tensor:
    x = torch.cat((x[..., -n:], x, x[..., :n]), dim=-1)
    return torch.cat((x[:, :, -n:], x, x[:, :, :n]), dim=2)


def circular_by_index(x: Tensor, n: int) -> Tensor:
    rows = torch.arange(-n, x.shape[2] + n) % x.shape[2]
    columns = torch.arange(-n, x.shape[3] + n) % x.shape[3]
    return x[:, :, rows][..., columns]


def circular_by_repeat(x: Tensor, n: int) -> Tensor:
    height, width = x.shape[2:]
    return x.repeat(1, 1, 3, 3)[:, :, height - n : 2 * height + n, width - n : 2 * width + n]


def circular(x: Tensor, n: int) -> Tensor:
    return functional.pad(x, (n, n, n, n), mode="circular")


CIRCULAR = (circular, circular, circular_by_cat, circular_by_index, circular_by_repeat)


def padding(random: Random, size: Pair) -> Callable[[Tensor, int], Tensor]:
    if not rarely(random):
        return random.choice(CIRCULAR)
    mode = random.choice(["constant", "reflect", "replicate", "constant"])
    if random.random() < 0.3:  # along one axis only

        def mixed(x: Tensor, n: int) -> Tensor:
            x = functional.pad(x, (n, n, 0, 0), mode="circular")
            return functional.pad(x, (0, 0, n, n), mode=mode)

        return mixed
    return lambda x, n: functional.pad(x, (n, n, n, n), mode=mode)


# parts that keep channels and size


@part(8)
def convolution(random: Random, channels: int, size: Pair) -> nn.Module:
    dilation = random.choice([1, 1, 1, 2])
    kernel = random.choice([1, 3, 3, 5])
    groups = random.choice([1, channels])
    reach = dilation * (kernel - 1) // 2
    if random.random() < 0.4:
        mode = "zeros" if rarely(random) else "circular"
        return nn.Conv2d(channels, channels, kernel, padding=reach, dilation=dilation,
                         groups=groups, padding_mode=mode)  # fmt: skip
    if random.random() < 0.2:
        mode = "zeros" if rarely(random) else "circular"
        return nn.Conv2d(channels, channels, random.choice([2, 3, 4]), padding="same",
                         padding_mode=mode)  # fmt: skip
    conv = nn.Conv2d(channels, channels, kernel, dilation=dilation, groups=groups)
    pad = padding(random, size)
    return Do(lambda x, conv: conv(pad(x, reach)) if reach else conv(x), conv)


@part(2)
def cropped_zero_padding(random: Random, channels: int, size: Pair) -> nn.Module:
    """Circular padding, zero-padded convolutions inside it, and a crop that takes them away."""
    layers = random.randint(1, 2)
    margin = layers if not rarely(random, 0.2) else layers - 1
    convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers)]

    def forward(x: Tensor, *convs: nn.Module) -> Tensor:
        height, width = x.shape[2:]
        x = circular(x, margin) if margin else x
        for conv in convs:
            x = torch.relu(conv(x))
        return x[:, :, margin : margin + height, margin : margin + width]

    return Do(forward, *convs)


@part(4)
def activation(random: Random, channels: int, size: Pair) -> nn.Module:
    return random.choice([
        nn.ReLU(inplace=True), nn.ReLU(), nn.GELU(), nn.SiLU(inplace=True), nn.LeakyReLU(0.2),
        nn.Softplus(), nn.Hardswish(), nn.ELU(), nn.Sigmoid(), nn.PReLU(channels),
        Do(torch.abs), Do(torch.sin), Do(lambda x: x.clamp(-1, 1)), nn.Dropout(0.5),
        Do(lambda x: torch.where(x > 0, x, 0.1 * x)), Do(lambda x: x.tanh() * x),
    ])  # fmt: skip


@part(4)
def norm(random: Random, channels: int, size: Pair) -> nn.Module:
    if rarely(random):
        return random.choice([
            nn.LayerNorm([channels, *size]).requires_grad_(False).apply(_drawn),
            nn.BatchNorm2d(channels, track_running_stats=False),
            Do(lambda x: functional.local_response_norm(x.transpose(1, 2), 3).transpose(1, 2)),
        ])  # fmt: skip
    last = nn.LayerNorm(channels).apply(_drawn)
    return random.choice([
        nn.BatchNorm2d(channels).apply(_drawn), nn.InstanceNorm2d(channels, affine=True),
        nn.GroupNorm(1, channels), nn.GroupNorm(channels, channels),
        nn.LayerNorm([channels, *size]), nn.LocalResponseNorm(2),
        Do(lambda x, n: n(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), last),
        Do(lambda x: functional.normalize(x, dim=1)),
        Do(lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1)),
    ])  # fmt: skip


def _drawn(module: nn.Module) -> None:
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)


@part(6)
def down_and_up(random: Random, channels: int, size: Pair) -> nn.Module:
    """An encoder and a decoder around parts at the coarser level, with a skip connection or not."""
    step = random.choice([2, 2, 2, 4, 3])
    if any(n % step for n in size):
        step = 2
    if rarely(random, 0.06):
        step = 5  # that divides no size
    inner = (size[0] // step, size[1] // step)
    names = random.choices(list(PARTS), [w for _, w in PARTS.values()], k=random.randint(0, 2))
    deep = [PARTS[n][0](random, channels, inner) for n in names
            if min(inner) >= 4 and n not in ("down_and_up", "adaptive")]  # fmt: skip
    down, up = _down(random, channels, step), _up(random, channels, step)
    skip, shift = random.random() < 0.6, random.choice([0, 0, 0, 1])

    def forward(x: Tensor, down: nn.Module, up: nn.Module, *deep: nn.Module) -> Tensor:
        y = down(torch.roll(x, shift, -1) if shift else x)
        for layer in deep:
            y = layer(y)
        y = up(y)
        if y.shape != x.shape:
            y = functional.interpolate(y, x.shape[2:])
        return x + y if skip else y

    return Do(forward, down, up, *deep)


def _down(random: Random, channels: int, step: int) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, stride=step)
    return random.choice([
        nn.MaxPool2d(step), nn.AvgPool2d(step), nn.Conv2d(channels, channels, step, stride=step),
        Do(lambda x, conv: conv(circular(x, 1)[:, :, : x.shape[2] + 1, : x.shape[3] + 1]), conv),
        Do(lambda x: x[:, :, ::step, ::step]), Do(lambda x: x[:, :, 1::step, 0::step]),
        Do(lambda x: functional.interpolate(x, scale_factor=1 / step)),
        Do(lambda x: functional.max_pool2d(circular(x, 1), 3, step, ceil_mode=False)
           [:, :, : x.shape[2] // step, : x.shape[3] // step]),
        Do(lambda x: functional.interpolate(
            x, (x.shape[2] // step, x.shape[3] // step), mode="area")),
        Do(lambda x: functional.adaptive_max_pool2d(x, (x.shape[2] // step, x.shape[3] // step))),
        nn.Conv2d(channels, channels, 3, stride=step, padding=1) if rarely(random, 0.3)
        else nn.AvgPool2d(step),
        Do(lambda x, conv: conv(functional.pixel_unshuffle(x, step)),
           nn.Conv2d(channels * step**2, channels, 1)),
    ])  # fmt: skip


def _up(random: Random, channels: int, step: int) -> nn.Module:
    wide = nn.Conv2d(channels, channels * step**2, 1)
    wrong = rarely(random, 0.2)

    def smooth(x: Tensor) -> Tensor:
        if wrong:
            return functional.interpolate(x, scale_factor=step, mode="bilinear",
                                          align_corners=random_corners)  # fmt: skip
        wide = functional.interpolate(circular(x, 1), scale_factor=step, mode=kind)
        return wide[:, :, step:-step, step:-step]

    random_corners = random.random() < 0.5
    kind = random.choice(["bilinear", "nearest"])
    kernel = random.choice([step + 1, step + 2])
    overlapping = nn.ConvTranspose2d(channels, channels, kernel, stride=step)

    def transposed(x: Tensor, conv: nn.Module) -> Tensor:
        height, width = x.shape[2] * step, x.shape[3] * step
        y = conv(x if wrong else circular(x, 1))
        return y[:, :, step : step + height, step : step + width]

    def spread(x: Tensor) -> Tensor:
        y = x.new_zeros(*x.shape[:2], x.shape[2], step, x.shape[3], step)
        y = torch.cat((x[:, :, :, None, :, None], y[:, :, :, :1, :, 1:]), dim=-1)
        rest = y.new_zeros(1).expand(*y.shape[:3], step - 1, *y.shape[4:])
        y = torch.cat((y, rest), dim=3)
        return y.reshape(*x.shape[:2], x.shape[2] * step, x.shape[3] * step)

    return random.choice([
        nn.Upsample(scale_factor=step), Do(smooth), Do(smooth),
        nn.ConvTranspose2d(channels, channels, step, stride=step),
        nn.Sequential(wide, nn.PixelShuffle(step)), Do(transposed, overlapping), Do(spread),
        Do(lambda x: x.repeat_interleave(step, 2).repeat_interleave(step, 3)),
        Do(lambda x: x[:, :, :, None, :, None].expand(-1, -1, -1, step, -1, step)
           .reshape(*x.shape[:2], x.shape[2] * step, x.shape[3] * step)),
    ])  # fmt: skip


@part(3)
def attention(random: Random, channels: int, size: Pair) -> nn.Module:
    """Over all tokens, over windows, or along one axis; with positions by mistake."""
    height, width = size
    project = nn.Linear(channels, 3 * channels)
    code = Constant(height * width, channels) if rarely(random, 0.15) else None
    bias = Constant(height * width, height * width) if rarely(random, 0.05) else None
    by_hand = random.random() < 0.5

    def attend(tokens: Tensor, project: nn.Module) -> Tensor:
        q, k, v = project(tokens).chunk(3, dim=-1)
        if by_hand:
            weights = torch.softmax(q @ k.transpose(-1, -2), dim=-1)
            return weights @ v
        mask = bias() if bias is not None and bias.value.shape[0] == tokens.shape[1] else None
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def everywhere(x: Tensor, project: nn.Module, *_: nn.Module) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        if code is not None and code.value.shape[0] == tokens.shape[1]:
            tokens = tokens + code()
        return x + attend(tokens, project).transpose(1, 2).reshape(x.shape)

    def windows(x: Tensor, project: nn.Module, *_: nn.Module) -> Tensor:
        b, c, h, w = x.shape
        n = 4 if h % 4 == 0 and w % 4 == 0 else 2 if h % 2 == 0 and w % 2 == 0 else 1
        y = torch.roll(x, (-(n // 2), -(n // 2)), (2, 3)) if shifted else x
        y = y.reshape(b, c, h // n, n, w // n, n).permute(0, 2, 4, 3, 5, 1)
        y = attend(y.reshape(-1, n * n, c), project)
        y = y.reshape(b, h // n, w // n, n, n, c).permute(0, 5, 1, 3, 2, 4).reshape(x.shape)
        return torch.roll(y, (n // 2, n // 2), (2, 3)) if shifted else y

    def rows(x: Tensor, project: nn.Module, *_: nn.Module) -> Tensor:
        b, c, h, w = x.shape
        y = attend(x.permute(0, 2, 3, 1).reshape(b * h, w, c), project)
        return y.reshape(b, h, w, c).permute(0, 3, 1, 2)

    shifted = random.random() < 0.5
    extra = [m for m in (code, bias) if m is not None]
    return Do(random.choice([everywhere, windows, rows]), project, *extra)


@part(3)
def gate(random: Random, channels: int, size: Pair) -> nn.Module:
    squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid())
    return random.choice([
        Do(lambda x, s: x * s(x), squeeze),
        Do(lambda x, s: x + functional.interpolate(s(x), x.shape[2:], mode="bilinear"), squeeze),
        Do(lambda x: x * torch.sigmoid(x.amax((2, 3), keepdim=True))),
        Do(lambda x: x * torch.softmax(x.flatten(2), -1).reshape(x.shape)),
        Do(lambda x: x * torch.sigmoid(x.mean(1, keepdim=True))),
        Do(lambda x: x - x.mean(2, keepdim=True)), Do(lambda x: x * x.amax(3, keepdim=True)),
        Do(lambda x: torch.einsum("bchw,bdhw->bcd", x, x).softmax(-1) @ x.flatten(2))
        if False else Do(lambda x: (torch.einsum("bchw,bdhw->bcd", x, x).softmax(-1)
                                    @ x.flatten(2)).reshape(x.shape)),
        Do(lambda x: torch.softmax(x @ x.transpose(-1, -2), -1) @ x),
        Do(lambda x: x + torch.sort(x.flatten(2), dim=2).values[:, :, :1, None]),
        Do(lambda x: torch.where(x.mean() > 0, x, -x)) if rarely(random)
        else Do(lambda x: torch.where(x.mean((1, 2, 3), keepdim=True) > 0, x, -x)),
    ])  # fmt: skip


@part(2)
def position(random: Random, channels: int, size: Pair) -> nn.Module:
    """Constants that vary in space, or repeat themselves, or do not vary."""
    height, width = size
    mix = nn.Conv2d(channels + 2, channels, 1)
    tile = Constant(1, 1, 2, 2)
    rows, full = Constant(1, channels, height, 1), Constant(1, channels, height, width)
    level = Constant(1, channels, 1, 1)

    def coordinates(x: Tensor, mix: nn.Module) -> Tensor:
        y = torch.linspace(-1, 1, x.shape[2], dtype=x.dtype)
        z = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)
        grid = torch.stack(torch.meshgrid(y, z, indexing="ij")).expand(len(x), -1, -1, -1)
        return mix(torch.cat((x, grid), dim=1))

    if rarely(random, 0.4):
        return random.choice([
            Do(coordinates, mix), Do(lambda x, c: x + c()[..., : x.shape[2], :], rows),
            Do(lambda x, c: x * c(), full),
            Do(lambda x: x * torch.hann_window(x.shape[3], dtype=x.dtype)),
        ])  # fmt: skip
    return random.choice([
        Do(lambda x, c: x + c(), level), Do(lambda x, c: x * c().expand_as(x), level),
        Do(lambda x, c: x + c().repeat(1, 1, x.shape[2] // 2, x.shape[3] // 2)
           if not (x.shape[2] % 2 or x.shape[3] % 2) else x, tile),
        Do(lambda x: x * torch.ones_like(x)), Do(lambda x: x + torch.zeros(x.shape[2:], dtype=x.dtype)),  # noqa: E501
    ])  # fmt: skip


@part(2)
def geometry(random: Random, channels: int, size: Pair) -> nn.Module:
    """Rolls, flips, transposes, foldings: some are undone, some not."""
    conv = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")
    wrong = rarely(random, 0.2)
    if wrong:
        return random.choice([
            Do(lambda x: x + x.flip(-1)), Do(lambda x: x.cumsum(2)),
            Do(lambda x: x - x[:, :, :1, :1]), Do(lambda x: x.sort(dim=3).values),
            Do(lambda x: x + x.transpose(2, 3) if x.shape[2] == x.shape[3] else x.flip(2)),
            Do(lambda x: functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))),
            Do(lambda x: torch.roll(x.flatten(2), 1, 2).reshape(x.shape)),
            Do(lambda x: x.flatten(2).flip(2).reshape(x.shape)),
            Do(lambda x: x.reshape(len(x), -1, x.shape[1]).transpose(1, 2).reshape(x.shape)),
        ])  # fmt: skip
    return random.choice([
        Do(lambda x: torch.roll(x, (1, -2), (2, 3))), Do(lambda x, c: c(x.flip(-1)).flip(-1), conv),
        Do(lambda x, c: (c(x) + c(x.flip(2)).flip(2)) / 2, conv),
        Do(lambda x, c: c(x.transpose(2, 3)).transpose(2, 3), conv),
        Do(lambda x, c: c(x.rot90(1, (2, 3))).rot90(-1, (2, 3)), conv),
        Do(lambda x, c: torch.stack([c(y) for y in (x, x.flip(3))])[0], conv),
        Do(lambda x, c: sum(c(torch.cat((x, -x))).chunk(2)), conv),
        Do(lambda x, c: torch.cat([p.roll(1, 2) for p in x.split(1, 1)], 1), conv),
        Do(lambda x: functional.fold(functional.unfold(x, 2, stride=2), x.shape[2:], 2, stride=2)
           if not (x.shape[2] % 2 or x.shape[3] % 2) else x),
        Do(lambda x: circular(x, 1).unfold(2, 3, 1).unfold(3, 3, 1).amax((-1, -2))),
        Do(lambda x: (functional.unfold(circular(x, 1), 3).reshape(len(x), x.shape[1], 9, -1)
                      .mean(2).reshape(x.shape))),
        Do(lambda x: x[:, torch.tensor(list(range(x.shape[1]))[::-1])]),
        Do(lambda x: x[:, x.argmax(1, keepdim=True)[0, 0, 0, 0] * 0 :] if False else x * 1.5),
        Do(lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[2:]))
        if rarely(random, 0.3) else Do(lambda x: x / 2),
    ])  # fmt: skip


@part(2)
def in_place(random: Random, channels: int, size: Pair) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")

    def half(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :1] = torch.relu(x[:, :1])
        return x

    def rows(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :, ::2] *= 0.5
        return x

    def corner(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :, 0, 0] = 0
        return x

    def accumulated(x: Tensor, conv: nn.Module) -> Tensor:
        out = torch.zeros_like(x)
        out += conv(x)
        out.mul_(0.5).add_(x)
        return out

    def view_changed(x: Tensor) -> Tensor:
        y = x.clone()
        z = y.flatten(2)
        z.relu_()
        return y + z.reshape(x.shape)

    def filled(x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out.copy_(x)
        return out.clamp_(min=-1)

    if rarely(random):
        return random.choice([Do(corner), Do(rows), Do(rows)])
    return random.choice([Do(half), Do(accumulated, conv), Do(view_changed), Do(filled),
                          Do(accumulated, conv), Do(filled)])  # fmt: skip


@part(1)
def forbidden(random: Random, channels: int, size: Pair) -> nn.Module:
    """What no proof may be given of: random, mixing the batch, deciding by values."""

    def branch(x: Tensor) -> Tensor:
        return x if float(x[0, 0, 0, 0]) > 0 else -x

    def rolled(x: Tensor) -> Tensor:
        return torch.roll(x, int(x.flatten(2).argmax()) % 3, 2)

    def centred(x: Tensor) -> Tensor:
        place = x.sum((1, 2), keepdim=True).argmax(-1, keepdim=True)
        columns = (torch.arange(x.shape[3]) + place) % x.shape[3]
        return x.gather(3, columns.expand_as(x))

    return random.choice([
        Do(branch), Do(rolled), Do(centred), Do(lambda x: x + 0.1 * torch.randn_like(x)),
        Do(lambda x: x - x.mean(0, keepdim=True)), Do(lambda x: functional.dropout(x, 0.5, True)),
        Do(lambda x: functional.batch_norm(x, None, None, training=True)), Do(lambda x: x + x.flip(0)),  # noqa: E501
        Do(lambda x: x.reshape(-1, x.shape[1] * 2, *x.shape[2:]).softmax(1).reshape(x.shape)
           if len(x) % 2 == 0 else x),
        Do(lambda x: x * torch.rand(())), Do(lambda x: x / x.abs().amax()),
    ])  # fmt: skip


@part(2)
def adaptive(random: Random, channels: int, size: Pair) -> nn.Module:
    """APS-D and APS-U, with convolutions between them."""
    down, up = APSDown(2), APSUp(2)
    conv = nn.Conv2d(channels, channels, 3, padding=1,
                     padding_mode="zeros" if rarely(random) else "circular")  # fmt: skip
    other = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="circular")
    wrong, skip = rarely(random, 0.1), random.random() < 0.5
    pool = random.random() < 0.2

    def forward(x: Tensor, down: Any, up: Any, conv: nn.Module, other: nn.Module) -> Tensor:
        if any(n % 2 for n in x.shape[2:]):
            return conv(x)
        y, index = down(x)
        y = torch.relu(conv(y))
        if pool and not (y.shape[2] % 2 or y.shape[3] % 2):
            y = functional.interpolate(functional.max_pool2d(y, 2), scale_factor=2)
        y = up(y, torch.zeros_like(index) if wrong else index)
        return other(y + x if skip else y)

    return Do(forward, down, up, conv, other)


def _enlarged(random: Random, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 4, 1), nn.PixelShuffle(2))
