"""The canonical position of an image moves with it, ties and rounding notwithstanding."""

import pytest
import torch

from equibench.mending.positions import moved, position

SIZE = (12, 16)


def image(kind):
    random = torch.Generator().manual_seed(3)
    x = torch.zeros(1, 2, *SIZE)
    if kind == "noise":
        x = torch.randn(1, 2, *SIZE, generator=random)
    elif kind == "one pixel":
        x[0, 0, 5, 3] = 1
    elif kind == "binary":
        x = (torch.rand(1, 2, *SIZE, generator=random) > 0.5).float()
    elif kind == "a square":
        x[0, :, 4:9, 2:7] = 1
    elif kind == "a pattern twice":  # far from each other, in different components
        x[0, 0, 1:3, 1:3] = x[0, 0, 7:9, 10:12] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    elif kind == "two channels of equal energy":
        x[0, 0, 1, 1] = x[0, 1, 4, 6] = 1
    elif kind == "signs alone":
        x = torch.where(torch.rand(1, 2, *SIZE, generator=random) > 0.5, 1.0, -1.0)
    return x


KINDS = ["noise", "one pixel", "binary", "a square", "a pattern twice", "signs alone",
         "two channels of equal energy"]  # fmt: skip


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (4, 8), SIZE])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_moves_by_as_much_as_the_image(kind, stride, dtype):
    x = image(kind).to(dtype)
    start = position(x, stride)
    shifts = torch.cartesian_prod(*map(torch.arange, SIZE))
    rolled = torch.cat([x.roll(tuple(s), (-2, -1)) for s in shifts.tolist()])
    assert ((position(rolled, stride) - start - shifts) % torch.tensor(SIZE) == 0).all()


@pytest.mark.parametrize("x", [image("zeros"), torch.ones(1, 2, *SIZE)], ids=["zeros", "ones"])
def test_of_an_image_that_shifts_take_to_itself_any_position_will_do(x):
    assert position(x, (4, 4)).shape == (1, 2)


def test_it_is_in_the_component_with_the_largest_energy():
    x = torch.zeros(2, 1, 8, 8)
    x[0, 0, 3::4, 2::4] = 1.0
    x[0, 0, 0, 0] = 1.5  # the brightest pixel, but not of the strongest component
    x[1, 0, 1, 1] = 0.1
    assert (position(x, (4, 4)) % 4).tolist() == [[3, 2], [1, 1]]


def test_each_map_is_rolled_by_its_own_shift_also_where_it_is_traced():
    maps = torch.rand(3, 2, 5, 7)
    shifts = torch.tensor([[1, 2], [-3, 4], [0, 0]])
    expected = torch.stack([m.roll(tuple(s), (-2, -1)) for m, s in zip(maps, shifts.tolist())])  # noqa: B905
    assert torch.equal(moved(maps, shifts), expected)
    exported = torch.export.export(_Moved(), (maps, shifts), strict=False).module()
    assert torch.equal(exported(maps, shifts + 1), moved(maps, shifts + 1))


class _Moved(torch.nn.Module):
    def forward(self, maps, shifts):
        return moved(maps, shifts)
