"""Treated networks commute with every shift, whoever wrote them; or they are refused, and why."""

import warnings
from functools import partial

import pytest
import torch

import equibench as eb
from equibench.errors import ModelError

pytestmark = pytest.mark.slow


def smp(architecture, **options):
    import segmentation_models_pytorch

    build = getattr(segmentation_models_pytorch, architecture)
    return build("resnet18", encoder_weights=None, in_channels=1, **options)


def timm():
    from equibench.models.libraries.timm_decoder import TimmUNet

    return TimmUNet("resnet18", 1, 1, 4, False, {"out_indices": (0, 1, 2)})


# the network, its total stride, and the side of a small image
NETWORKS = {
    "equibench's baseline": ("unet-baseline,width=0.0625", 16, 32),
    "fastMRI's U-Net": ("fastmri-unet,chans=4,num_pool_layers=2", 4, 16),
    "dival's U-Net": ("dival-unet,scales=3", 4, 16),
    "MONAI's UNet": ("monai-unet,width=2", 16, 32),
    "MONAI's BasicUNet": ("monai-basic-unet,width=4", 16, 32),
    "deepinv's DRUNet": ("deepinv-drunet,width=4", 8, 16),
    "smp's Unet": (partial(smp, "Unet", encoder_depth=3, decoder_channels=(8, 8, 8)), 8, 16),
    "smp's FPN": (partial(smp, "FPN", encoder_depth=3, upsampling=1), 8, 16),
    # at rates of 12 to 36 most of a small map's time goes into padding
    "smp's DeepLabV3+": (
        partial(smp, "DeepLabV3Plus", decoder_channels=32, decoder_atrous_rates=(2, 4, 6)),
        16,
        32,
    ),
    "timm's ResNet as a U-Net": (timm, 8, 16),
}
WHOLE = ["smp-unet", "smp-fpn", "timm-unet,width=4"]
TREATMENTS = ["canonical", "aps", "average:n=2"]
LIMIT = {torch.float32: 1e-12, torch.float64: 1e-28}


def built(network):
    if isinstance(network, str):
        return eb.load_model(network).eval()
    torch.manual_seed(0)
    return network().eval()


def treated(name, treatment, dtype):
    circular = "" if name == "equibench's baseline" else "circular+"
    return eb.mend(built(NETWORKS[name][0]).to(dtype), f"{circular}{treatment}")


def worst(network, image, shifts, batch=64):
    """The largest NMSE under shifts (n, 2), each against the unshifted image in the same slot."""
    errors, references = [], ()
    with torch.inference_mode():
        for part in shifts.split(batch):
            if len(part) != len(references):
                references = network(image.expand(len(part), -1, -1, -1)).double()
            rolled = torch.cat([image.roll(tuple(s), (-2, -1)) for s in part.tolist()])
            outputs = network(rolled).double()
            for output, reference, shift in zip(outputs, references, part.tolist(), strict=True):
                error = (output - reference.roll(tuple(shift), (-2, -1))).square().sum()
                errors.append(error / reference.square().sum())
    return float(torch.stack(errors).max())


def noise(side, dtype):
    return torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(1)).to(dtype)


def every(side):
    return torch.cartesian_prod(torch.arange(side), torch.arange(side))


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long) if name == "smp's FPN" else name
        for name, (_, _, side) in NETWORKS.items()
        if side == 16
    ],
)
def test_a_treated_network_commutes_with_every_shift(name, treatment):
    network = treated(name, treatment, torch.float32)
    assert worst(network, noise(16, torch.float32), every(16)) <= LIMIT[torch.float32]


@pytest.mark.long
@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("name", [n for n, (_, _, side) in NETWORKS.items() if side > 16])
def test_so_does_one_of_a_larger_stride(name, treatment):
    network = treated(name, treatment, torch.float32)
    assert worst(network, noise(32, torch.float32), every(32)) <= LIMIT[torch.float32]


@pytest.mark.long
@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("spec", WHOLE)
def test_so_do_encoders_of_full_depth_as_far_as_tried(spec, treatment):
    network = eb.load_model(f"{spec},mend=circular+{treatment}").eval()
    shifts = torch.randint(64, (8, 2), generator=torch.Generator().manual_seed(2))
    assert worst(network, noise(64, torch.float32), shifts) <= LIMIT[torch.float32]


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_in_double_precision_it_does_to_its_last_bits(name, treatment):
    side = NETWORKS[name][2]
    network = treated(name, treatment, torch.float64)
    shifts = torch.tensor([[1, 0], [0, 1], [3, 5], [side // 2, 7], [side // 2, side // 2]])
    assert worst(network, noise(side, torch.float64), shifts) <= LIMIT[torch.float64]


@pytest.mark.parametrize("name", [n for n, (_, stride, _) in NETWORKS.items() if stride == 4])
def test_the_mean_over_all_positions_commutes_with_every_shift(name):
    network = treated(name, "average", torch.float32)
    assert worst(network, noise(8, torch.float32), every(8)) <= LIMIT[torch.float32]


@pytest.mark.parametrize("name", NETWORKS)
def test_circular_padding_alone_leaves_the_shifts_between_samples(name):
    """The claims above would hold of any network that those shifts do nothing to."""
    _, stride, side = NETWORKS[name]
    network, image = treated(name, "circular", torch.float64), noise(side, torch.float64)
    assert worst(network, image, torch.tensor([[stride, 0], [stride] * 2])) <= LIMIT[image.dtype]
    assert worst(network, image, torch.tensor([[1, 0], [3, 5]])) > 1e-8


@pytest.mark.parametrize("treatment", ["canonical", "average", "aps"])
@pytest.mark.parametrize("name", [n for n in NETWORKS if n != "equibench's baseline"])
def test_a_network_that_pads_is_refused_with_the_remedy(name, treatment):
    network = eb.mend(built(NETWORKS[name][0]), treatment)
    with pytest.raises(
        ModelError, match=rf"cannot make \w+ exact at .* mend=circular\+{treatment}"
    ):
        network(noise(NETWORKS[name][2], torch.float32))


def test_an_upsampling_that_nobody_can_see_is_refused():
    class Blind(torch.nn.Module):
        def forward(self, x):
            x = torch.nn.functional.max_pool2d(x, 2)
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    with pytest.raises(
        ModelError, match=r"cannot make Blind exact .* something between its layers"
    ):
        eb.mend(Blind(), "circular+aps")(noise(16, torch.float32))


def test_what_cannot_be_paired_is_named_by_its_path():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Upsample(scale_factor=2))

        def forward(self, x):
            return self.body(x[..., ::2, ::2])

    reason = (
        r"body\.0 \(nearest interpolation: no downsampling that can be seen made a map of 8×8\)"
    )
    with pytest.raises(ModelError, match=reason):
        eb.mend(Net(), "circular+aps")(noise(16, torch.float32))


def test_a_size_that_the_stride_does_not_divide_is_refused_with_a_remedy():
    network = eb.mend(torch.nn.MaxPool2d(2), "aps")
    with pytest.raises(
        ModelError, match="max pooling of stride 2 does not divide a map of 9×9: cr"
    ):
        network(noise(9, torch.float32))


def test_torchscript_is_refused_by_what_changes_layers_and_taken_by_what_does_not():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        network = torch.jit.trace(torch.nn.Conv2d(1, 1, 3), noise(8, torch.float32))
    with pytest.raises(ModelError, match=r"layers of TorchScript .* mend=canonical"):
        eb.mend(network, "circular")
    assert callable(eb.mend(network, "canonical"))
