"""The loss is the measured error: it falls when minimised, and is zero where nothing is wrong."""

import numpy as np
import pytest
import torch

import equibench as eb
from equibench.integrations.loss import _draw
from equibench.transforms.circular_shift import align, roll


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def strided(padding_mode="zeros"):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1, stride=2, padding_mode=padding_mode),
        torch.nn.ReLU(),
        torch.nn.Upsample(scale_factor=2),
        torch.nn.Conv2d(4, 1, 3, padding=1, padding_mode=padding_mode),
    ).double()


def circular():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), torch.nn.GELU()]
    return torch.nn.Sequential(*layers, torch.nn.Conv2d(4, 1, 1)).double()


@pytest.fixture
def pictures():
    return torch.randn(4, 1, 16, 24, generator=generator(1)).double()


def test_it_is_the_mean_of_the_nmse_that_is_measured(pictures):
    network = strided()
    loss = eb.shift_consistency_loss(network, pictures, generator=generator())
    shifts = _draw(pictures, None, generator())
    with torch.no_grad():
        reference, moved = network(pictures), network(roll(pictures, shifts))
        nmse = torch.stack(
            [(a - b).square().sum() / b.square().sum()
             for a, b in zip(align(moved, shifts, pictures), reference, strict=True)]
        )  # fmt: skip
    assert loss.item() == pytest.approx(nmse.mean().item(), rel=1e-12)
    assert loss.item() > 1e-3


def test_of_every_shift_of_an_image_its_mean_is_that_of_evaluate():
    image = torch.randn(1, 1, 8, 8, generator=generator(2)).double()
    network = strided()
    every = [(dy, dx) for dy in range(8) for dx in range(8) if (dy, dx) != (0, 0)]
    rows = eb.evaluate(network, image, shifts="grid:max=7,step=1", precision="fp64").rows
    measured = {
        (int(r.dy) % 8, int(r.dx) % 8): r.eq_nmse for r in rows[rows["draw"] > 0].itertuples()
    }
    assert set(measured) == set(every)
    draws = generator(3)
    seen = {}
    while len(seen) < len(every):
        state = draws.get_state()
        loss = eb.shift_consistency_loss(network, image, generator=draws).item()
        again = generator()
        again.set_state(state)
        dy, dx = _draw(image, None, again)[0].tolist()
        seen[dy % 8, dx % 8] = loss
    np.testing.assert_allclose([seen[k] for k in every], [measured[k] for k in every], rtol=1e-10)


@pytest.mark.parametrize(("most", "span"), [(None, (6, 5)), (1, (3, 3)), (9, (6, 5))])
def test_all_shifts_but_none_at_all_are_drawn_equally_often(most, span):
    shifts = _draw(torch.zeros(20_000, 1, 6, 5), most, generator())
    found, counts = shifts.unique(dim=0, return_counts=True)
    options = span[0] * span[1] - 1
    assert len(found) == options
    assert not (found == 0).all(dim=1).any()
    limits = [n // 2 for n in span]
    assert (shifts.abs().amax(dim=0) <= torch.tensor(limits)).all()
    # five standard deviations of a binomial count
    share = 1 / options
    assert (counts / 20_000 - share).abs().max() < 5 * (share * (1 - share) / 20_000) ** 0.5


def test_the_default_generator_of_pytorch_decides_where_none_is_given(pictures):
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(eb.shift_consistency_loss(torch.nn.MaxPool2d(3, 1, 1), pictures).item())
    assert values[0] == values[1] != values[2]


@pytest.mark.long
def test_minimising_it_lowers_the_measured_error(pictures):
    network = strided().float()
    images = pictures.float()
    before = eb.evaluate(network, images, shifts="grid:max=8,step=1", device="cpu").rows
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    draws = generator()
    for _ in range(60):
        optimizer.zero_grad()
        eb.shift_consistency_loss(network, images, generator=draws).backward()
        optimizer.step()
    after = eb.evaluate(network, images, shifts="grid:max=8,step=1", device="cpu").rows
    assert after["eq_nmse"].mean() < before["eq_nmse"].mean() / 2


def gradient(network, pictures):
    network.zero_grad()
    loss = eb.shift_consistency_loss(network, pictures, generator=generator())
    loss.backward()
    return loss.item(), max(p.grad.abs().max().item() for p in network.parameters())


def test_of_a_network_that_commutes_with_shifts_there_is_nothing_to_minimise(pictures):
    loss, slope = gradient(circular(), pictures)
    rounding = torch.finfo(torch.float64).eps
    # the error is some roundings of the output, and the loss its square; a slope has one of each
    assert loss < (100 * rounding) ** 2
    assert slope < 1000 * rounding
    assert gradient(strided(), pictures)[1] > 1e-3


def test_it_is_zero_to_the_last_bit_for_what_only_moves_pixels(pictures):
    assert eb.shift_consistency_loss(lambda x: 2 * x, pictures) == 0


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    images = torch.randn(2, 1, 4, 4).double()
    weight = torch.randn(1, 1, 3, 3).double().requires_grad_()

    def loss(weight):
        conv = torch.nn.functional.conv2d
        return eb.shift_consistency_loss(
            lambda x: conv(x, weight, padding=1).tanh(), images, generator=generator()
        )

    assert torch.autograd.gradcheck(loss, weight)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_small_outputs_do_not_make_it_small(pictures, kind):
    network, images = strided().to(kind), pictures.to(kind)
    losses = [
        eb.shift_consistency_loss(lambda x, s=s: s * network(x), images, generator=generator())
        for s in (1.0, 2.0**-20, 2.0**-50)
    ]
    assert losses[0] == losses[1] == losses[2]


def test_a_zero_output_has_a_finite_gradient(pictures):
    scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = eb.shift_consistency_loss(lambda x: scale * strided()(x), pictures)
    loss.backward()
    assert loss == 0
    assert scale.grad.isfinite()


def test_an_output_that_is_there_already_saves_a_pass(pictures):
    calls = []

    def network(x):
        calls.append(len(x))
        return x.relu()

    output = network(pictures)
    loss = eb.shift_consistency_loss(network, pictures, output=output)
    assert loss == 0
    assert calls == [4, 4]


def test_a_network_that_enlarges_is_shifted_back_by_as_much(pictures):
    assert eb.shift_consistency_loss(torch.nn.Upsample(scale_factor=3), pictures) == 0


@pytest.mark.parametrize(
    ("network", "images", "options", "message"),
    [(torch.nn.Identity(), torch.ones(1, 1, 1, 1), {}, "images of 1×1 pixels have no shifts"),
     (torch.nn.Identity(), torch.ones(1, 1, 4, 4), {"max_shift": 0}, "take 1 or more"),
     (torch.nn.MaxPool2d(2), torch.ones(1, 1, 4, 4), {}, "outputs of 2×2 pixels cannot")],
)  # fmt: skip
def test_what_has_no_shifts_is_refused(network, images, options, message):
    with pytest.raises(eb.UsageError, match=message):
        eb.shift_consistency_loss(network, images, **options)
