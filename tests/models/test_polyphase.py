"""Propositions 1 and 2 of the paper, as properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equibench.metrics.squared_error import nmse
from equibench.models.blur import Blur
from equibench.models.polyphase import APSDown, APSUp, aps_downsample, aps_upsample, polyphase_index
from equibench.models.unet import UNet

CRITERIA = ["l2", "l1", "linf", "l2-min", "l1-min", "linf-min"]
PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def shifted_maps(draw, repeats=(2, 5), dims=(1, 2, 3), levels=1):
    """A stride, the shape of a map that it divides, a shift, and a seed."""
    stride = draw(st.sampled_from([2, 3, 4]))
    ndim = draw(st.sampled_from(dims))
    size = st.integers(*repeats).map(lambda n: n * stride**levels)
    shape = tuple(draw(st.tuples(*[size] * ndim)))
    shift = tuple(draw(st.tuples(*[st.integers(-s, s) for s in shape])))
    return stride, shape, shift, draw(st.integers(0, 2**31))


def random_map(shape, seed, dtype=torch.float64, batch=3, channels=2):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, *shape, generator=rng, dtype=dtype)


def roll(x, shift):
    return torch.roll(x, shift, tuple(range(2, x.ndim)))


def error(reference, prediction):
    """NMSE (B,) for maps of any number of dimensions."""
    return nmse(reference.flatten(2)[:, None], prediction.flatten(2)[:, None], 1.0)


@pytest.mark.slow
@PROPERTY
@given(shifted_maps(), st.sampled_from(CRITERIA))
def test_proposition_1_down_and_up_again_commutes_with_every_shift_exactly(case, criterion):
    stride, shape, shift, seed = case
    x = random_map(shape, seed)

    def down_up(x):
        return aps_upsample(*aps_downsample(x, stride, criterion), stride)

    assert torch.equal(down_up(roll(x, shift)), roll(down_up(x), shift))


@pytest.mark.slow
@PROPERTY
@given(shifted_maps(), st.sampled_from(CRITERIA))
def test_aps_d_keeps_the_component_that_a_loop_over_samples_would_keep(case, criterion):
    stride, shape, _, seed = case
    x = random_map(shape, seed)
    kept, index = aps_downsample(x, stride, criterion)
    order = {"l2": 2, "l1": 1, "linf": float("inf")}[criterion.removesuffix("-min")]
    pick = torch.argmin if criterion.endswith("-min") else torch.argmax
    offsets = torch.cartesian_prod(*[torch.arange(stride)] * len(shape)).reshape(-1, len(shape))
    for sample, chosen, got in zip(x, index, kept, strict=True):
        parts = [sample[(slice(None), *(slice(int(o), None, stride) for o in offset))]
                 for offset in offsets]  # fmt: skip
        norms = torch.stack([torch.linalg.vector_norm(part, order) for part in parts])
        assert pick(norms) == chosen
        assert torch.equal(parts[int(chosen)], got)


@pytest.mark.slow
@PROPERTY
@given(
    st.one_of(
        st.tuples(st.just(2), shifted_maps(repeats=(3, 4), dims=(1, 2), levels=2)),
        st.tuples(st.just(1), shifted_maps(repeats=(3, 4), dims=(3,), levels=1)),
    ),
    st.sampled_from([0, 2, 3, 5]),
)
def test_proposition_2_a_whole_aps_network_commutes_with_every_shift(case, blur):
    levels, (stride, shape, shift, seed) = case
    torch.manual_seed(0)
    network = UNet("aps", blur, 0.1, levels=levels, stride=stride, dims=len(shape))
    network.double().eval()
    x = random_map(shape, seed, channels=1)
    with torch.inference_mode():
        assert error(roll(network(x), shift), network(roll(x, shift))).max() <= 1e-28


@pytest.fixture(scope="module")
def float32_errors():
    """NMSE of two float32 networks over 40 shifts of 4 images each, by architecture."""
    rng = torch.Generator().manual_seed(1)
    x = torch.nn.functional.avg_pool2d(torch.randn(4, 1, 64, 48, generator=rng), 3, 1, 1)
    found = {}
    for resampling in ("aps", "stride"):
        torch.manual_seed(0)
        network = UNet(resampling, width=0.125).eval()
        with torch.inference_mode():
            y = network(x)
            shifts = torch.randint(-16, 16, (40, 2), generator=rng).tolist()
            errors = [error(roll(y, s), network(roll(x, s))) for s in shifts]
        found[resampling] = torch.cat(errors)
    return found


@pytest.mark.slow
def test_in_float32_the_median_error_of_an_aps_network_is_rounding(float32_errors):
    assert float32_errors["aps"].median() <= 1e-13


def test_the_baseline_is_measurably_not_equivariant(float32_errors):
    assert float32_errors["stride"].median() >= 1e-4


@pytest.mark.parametrize("resampling", ["aps", "stride"])
def test_only_aps_up_makes_aps_down_equivariant(resampling):
    """Section 3.1: with ordinary upsampling the positions are lost."""
    x = random_map((16, 12), 0)
    kept, index = aps_downsample(x, 2)
    moved, moved_index = aps_downsample(roll(x, (1, 0)), 2)
    up = {
        "aps": (aps_upsample(kept, index, 2), aps_upsample(moved, moved_index, 2)),
        "stride": tuple(torch.nn.functional.interpolate(m, scale_factor=2) for m in (kept, moved)),
    }[resampling]
    same = torch.equal(roll(up[0], (1, 0)), up[1])
    assert same == (resampling == "aps")


def test_equal_norms_are_told_apart_by_what_moves_with_the_samples():
    """All components are permutations of the same values: only their arrangement differs."""
    rng = torch.Generator().manual_seed(3)
    values = torch.arange(24, dtype=torch.float64)
    x = torch.zeros(1, 1, 8, 12, dtype=torch.float64)
    for dy in range(2):
        for dx in range(2):
            mixed = values[torch.randperm(24, generator=rng)]
            x[0, 0, dy::2, dx::2] = mixed.reshape(4, 6)
    for shift in ((1, 0), (0, 1), (1, 1), (3, 5)):
        for criterion in CRITERIA:

            def down_up(x, criterion=criterion):
                return aps_upsample(*aps_downsample(x, 2, criterion), 2)

            assert torch.equal(down_up(roll(x, shift)), roll(down_up(x), shift))


def upsampled():
    """Every 2×2 block is constant: all components are equal."""
    return random_map((6, 8), 0).repeat_interleave(2, -1).repeat_interleave(2, -2)


def rectangle():
    x = torch.zeros(1, 1, 32, 48, dtype=torch.float64)
    x[..., 4:14, 10:30] = 1
    return x


@pytest.mark.parametrize("image", [upsampled, rectangle])
@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (1, 1), (3, 5)])
def test_equal_components_are_told_apart_by_their_neighbours(image, shift):
    x = image()

    def down_up(x):
        return aps_upsample(*aps_downsample(x, 2), 2)

    assert torch.equal(down_up(roll(x, shift)), roll(down_up(x), shift))


def test_a_stride_of_one_is_refused():
    with pytest.raises(ValueError, match="stride 1 does not fit a map of shape"):
        aps_downsample(random_map((8, 8), 0), 1)


def test_near_ties_are_counted_per_sample_and_only_when_asked():
    x = random_map((8, 8), 0, batch=3, channels=1)
    x[1, :, ::2, ::2] = x[1, :, 1::2, ::2].flip(-1)
    x[1, :, ::2, 1::2] = x[1, :, 1::2, 1::2] = 0
    layer = APSDown(2)
    layer(x)
    assert layer.near_ties is None
    layer.count_near_ties = True
    layer(x)
    assert layer.near_ties.tolist() == [False, True, False]


def test_one_norm_in_float16_does_not_overflow():
    x = 300 * random_map((8, 8), 0, dtype=torch.float16)
    _, index = aps_downsample(x, 2)
    assert torch.equal(index, aps_downsample(x.double(), 2)[1])


@pytest.mark.parametrize(("dims", "shape"), [(1, (12,)), (2, (12, 8)), (3, (4, 8, 12))])
def test_gradients_flow_to_the_kept_samples_and_to_no_others(dims, shape):
    x = random_map(shape, 0).requires_grad_()
    kept, index = APSDown(2)(x)
    APSUp(2)(kept, index).sum().backward()
    assert torch.equal(x.grad.sum(), torch.tensor(float(kept.numel()), dtype=torch.float64))
    assert set(x.grad.unique().tolist()) == {0.0, 1.0}


def test_aps_u_keeps_shape_and_dtype_for_unequal_strides():
    x = random_map((4, 9), 0, dtype=torch.float32)
    kept, index = aps_downsample(x, (2, 3))
    up = aps_upsample(kept, index, (2, 3))
    assert kept.shape == (3, 2, 2, 3)
    assert up.shape == x.shape
    assert up.dtype == torch.float32


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_gives_the_same_output():
    torch.manual_seed(0)
    network = UNet("aps", 3, 0.05, levels=2).eval()
    x = random_map((16, 24), 0, dtype=torch.float32, channels=1)
    with torch.inference_mode():
        compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), network(x))


def test_a_size_that_the_stride_does_not_divide_is_named_with_the_remedy():
    with pytest.raises(ValueError, match=r"^APS-D with stride 2 needs a size that 2 divides, not "
                       r"7 of 8×7: crop to 6 or resample to 8 \(padding an odd map would break "
                       r"equivariance\)$"):  # fmt: skip
        aps_downsample(torch.zeros(1, 1, 8, 7), 2)


def test_an_unknown_criterion_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match=r"^no criterion 'l3'; there are l2, l1, linf, l2-min"):
        aps_downsample(torch.zeros(1, 1, 8, 8), 2, "l3")


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_blur_keeps_the_mean_and_commutes_with_shifts(dims, size):
    x = random_map((8, 10, 6)[:dims], 0, dtype=torch.float32)
    blur = Blur(size, dims)
    torch.testing.assert_close(blur(x).mean(), x.mean())
    shift = (3, -1, 2)[:dims]
    torch.testing.assert_close(blur(roll(x, shift)), roll(blur(x), shift))


def test_a_blur_is_the_binomial_filter():
    impulse = torch.zeros(1, 1, 8)
    impulse[..., 4] = 1
    assert (16 * Blur(5, 1)(impulse)).tolist() == [[[0, 0, 1, 4, 6, 4, 1, 0]]]


@pytest.mark.parametrize("criterion", ["l1", "l2"])
def test_channels_of_float32_are_added_up_in_float64(criterion):
    """In float32 both components would have the same norm."""
    large = 2.0**24 if criterion == "l1" else 2.0**12
    x = torch.tensor([[[large, large], [0.0, 1.0]]])  # one image, two channels, two places
    index, gap = polyphase_index(x, 2, criterion)
    assert index.tolist() == [1]
    assert 0 < gap.item() < 1e-7
