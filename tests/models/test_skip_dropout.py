"""Skip connections that images lose in training."""

from collections import defaultdict
from contextlib import contextmanager
from math import sqrt

import numpy as np
import pytest
import torch

import equibench as eb
from equibench.errors import UsageError
from equibench.models.training.recipes import recipe
from equibench.models.training.skip_dropout import skip_dropout
from equibench.models.training.train import train
from equibench.registry.specs import Spec

LEVELS = range(4)


@pytest.fixture(params=["unet-baseline", "unet-lpf-3", "unet-aps-3"])
def network(request):
    return eb.load_model(f"{request.param},width=0.05")


@contextmanager
def features(network):
    """What every level is given, (skip connection, from below), while it lasts."""
    given = defaultdict(list)
    convolutions = [decoder[0] for decoder in network.decoder]
    hooks = [
        convolution.register_forward_pre_hook(
            lambda _, args, level=level: given[level].append(args[0].chunk(2, dim=1))
        )
        for level, convolution in enumerate(convolutions)
    ]
    yield given
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def test_an_image_loses_the_finest_connections_and_keeps_the_others(network):
    x = torch.randn(64, 1, 32, 32)
    with features(network) as given:
        network(x)
        with skip_dropout(network, 0.9, len(x), np.random.default_rng(0)):
            network(x)
    lost = torch.zeros(len(x), dtype=int)
    for level in LEVELS:
        (before, _), (after, _) = given[level]
        mean = before.mean((2, 3), keepdim=True)
        gone = (after == mean).flatten(1).all(1)
        assert torch.equal(after[~gone], before[~gone])
        assert (gone <= (lost == level)).all(), "a level above is still there"
        lost += gone
    assert {*lost.tolist()} == {0, *(level + 1 for level in LEVELS)}


@torch.no_grad()
def test_so_many_images_lose_any_and_each_number_of_levels_is_as_probable():
    network = eb.load_model("unet-baseline,width=0.02")
    share, images = 0.25, 4000
    random = np.random.default_rng(0)
    with features(network) as given, skip_dropout(network, share, images, random):
        network(torch.randn(images, 1, 16, 16))
    for level in LEVELS[:-1]:  # the deepest connection is of 2×2 values: equal by chance, too
        skip, _ = given[level][0]
        flat = (skip.amax((2, 3)) == skip.amin((2, 3))).all(1).double().mean()
        wanted = share * (1 - level / 4)
        assert abs(flat - wanted) < 4 * sqrt(wanted * (1 - wanted) / images)


@torch.no_grad()
def test_nothing_of_it_is_left_afterwards(network):
    x = torch.randn(2, 1, 32, 32)
    before = network(x)
    with pytest.raises(KeyboardInterrupt), skip_dropout(network, 0.9, 2, np.random.default_rng(0)):
        raise KeyboardInterrupt
    assert torch.equal(network(x), before)


@torch.no_grad()
def test_a_network_inside_a_treatment_loses_its_connections_too():
    mended = eb.load_model("unet-baseline,width=0.05,mend=aps")
    x = torch.randn(4, 1, 32, 32)
    before = mended(x)
    with skip_dropout(mended, 1, len(x), np.random.default_rng(0)):
        after = mended(x)
    assert (before != after).flatten(1).any(1).all()


def test_a_network_of_other_people_is_refused():
    other = skip_dropout(torch.nn.Conv2d(1, 1, 1), 0.5, 1, np.random.default_rng(0))
    with pytest.raises(UsageError, match="Conv2d is none of equibench's U-Nets"), other:
        pass


SUITE = '''
class Waves(eb.Suite):
    """Four images (1, 1, 16, 16)."""
    name = "waves"
    parts = {"train": {}, "validation": {}}

    def cases(self):
        return list("abcd")

    def load(self, name):
        image = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(ord(name)))
        return eb.Case(name, image, image)
'''


OTHER = """
def other():
    return torch.nn.Conv2d(1, 1, 1)
"""


@pytest.mark.parametrize(
    ("until", "epochs", "of"),
    [(None, 3, 5), (0.2, 1, 5), (0.3, 2, 5), (1, 5, 5), (0.28, 7, 25)],  # 0.28 · 25 > 7 in floats
)
def test_connections_are_lost_until_a_share_of_the_epochs_and_anew_in_each_batch(
    plugin, tmp_path, monkeypatch, until, epochs, of
):
    asked = []

    @contextmanager
    def watched(network, share, images, random):
        asked.append((share, images, random.random()))
        with skip_dropout(network, share, images, random):
            yield

    monkeypatch.setattr("equibench.models.training.module.skip_dropout", watched)
    chosen = recipe("sample-mri-unet", epochs=of, drawn=0, batch=2, skip_until=until)
    network, suite = Spec.parse("unet-baseline,width=0.02"), Spec.parse(f"{plugin(SUITE)}:Waves")
    train(network, suite, chosen, tmp_path / "a.safetensors", progress=False)
    assert [(share, images) for share, images, _ in asked] == [(0.25, 2)] * 2 * epochs
    assert len({number for *_, number in asked}) == 2 * epochs


def test_a_network_without_known_connections_is_refused_before_an_image_is_made(plugin, tmp_path):
    file = plugin(OTHER + SUITE.replace("image = ", "raise RuntimeError('too late'); image = "))
    network, suite = f"{file}:other", Spec(f"{file}:Waves")
    chosen = recipe("sample-mri-unet", epochs=1, drawn=0)
    with pytest.raises(UsageError, match="Conv2d is none of equibench's U-Nets"):
        train(Spec(network), suite, chosen, tmp_path / "a.safetensors", progress=False)
