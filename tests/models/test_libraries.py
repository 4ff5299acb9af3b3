"""Networks of other libraries, by name: built by the installed library, and measured."""

import json

import pandas as pd
import pytest
import torch

from equibench.errors import UsageError
from equibench.loading.load import load_spec
from equibench.registry.listing import listing
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec

pytestmark = pytest.mark.slow

SMALL = {
    **{f"smp-{d}": "encoder=resnet18" for d in (
        "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "deeplabv3",
        "deeplabv3plus", "upernet",
    )},
    "smp-segformer": "encoder=mit_b0",
    "smp-dpt": "",
    "timm-unet": "encoder=resnet18,width=4",
    "fastmri-unet": "chans=4",
    "dival-unet": "",
    "monai-unet": "width=4",
    "monai-basic-unet": "width=4",
    "monai-attention-unet": "width=4",
    "monai-swin-unetr": "width=12",
    "deepinv-unet": "scales=3",
    "deepinv-dncnn": "depth=4,width=8",
    "deepinv-drunet": "width=8",
}  # fmt: skip


def load(spec):
    return load_spec(Spec.parse(spec)).model.eval()


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_every_library_s_network_maps_images_to_images_of_their_size(name):
    size = {"smp-dpt": 224, "smp-pan": 128}.get(name, 64)
    with torch.inference_mode():
        output = load(f"{name},{SMALL[name]}".rstrip(","))(torch.rand(2, 1, size, size))
        assert output.shape == (2, 1, size, size)
        assert output.isfinite().all()
        if name in ("timm-unet", "monai-basic-unet", "fastmri-unet", "smp-fpn"):
            coloured = load(f"{name},in_channels=3,out_channels=2")
            assert coloured(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_every_decoder_that_segmentation_models_pytorch_offers_is_registered():
    import segmentation_models_pytorch as smp

    theirs = {f"smp-{name}" for name in smp.MODEL_ARCHITECTURES_MAPPING}
    assert theirs == {e.name for e in MODELS.entries() if e.name.startswith("smp-")}
    assert all(name in listing("models", "smp") for name in theirs)


@pytest.mark.parametrize("library", ["smp", "timm", "monai", "deepinv", "fastmri", "dival", "onnx"])
def test_ls_finds_the_models_of_a_library_by_substring(library):
    shown = listing("models", library, width=200)
    assert shown.count("✓") >= 1
    assert "✗" not in shown


@pytest.mark.parametrize(
    "encoder",
    [
        "convnext_atto", "resnetblur18", "mobilenetv3_small_050", "efficientnet_blur_b0",
        "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224,depths=1", "edgenext_xx_small",
        "resnet18,aa_layer=blur",
    ],
)  # fmt: skip
def test_any_timm_backbone_with_feature_maps_is_an_encoder(encoder):
    encoder = encoder.replace(",depths=1", "")
    with torch.inference_mode():
        network = load(f"timm-unet,width=4,encoder={encoder}")
        assert network(torch.rand(1, 1, 96, 64)).shape == (1, 1, 96, 64)


def test_timm_s_blur_changes_the_backbone():
    names = [
        {type(m).__name__ for m in load(f"timm-unet,encoder=resnet18{blur}").modules()}
        for blur in ("", ",aa_layer=blur")
    ]
    assert names[1] - names[0] == {"BlurPool2d"}


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("convnxt_atto", "timm has no model 'convnxt_atto'; did you mean convnext_atto"),
        ("mixer_b16_224,no_such=1", "timm's mixer_b16_224 gives no feature maps with these "
         "arguments: "),
    ],
)  # fmt: skip
def test_a_backbone_that_is_none_is_answered_with_why(encoder, message):
    with pytest.raises(UsageError) as caught:
        load(f"timm-unet,encoder={encoder}")
    assert str(caught.value).startswith(message)


def test_networks_start_alike_from_a_seed_and_download_nothing():
    states = [load("timm-unet,width=4").state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.mark.long
def test_one_command_runs_all_libraries_and_reports_the_broken_one(cli, tmp_path):
    models = [
        "smp-unet", "smp-fpn", "timm-unet,encoder=convnext_atto,width=4",
        "monai-basic-unet,width=4",
        "deepinv-dncnn,depth=4,width=8", "deepinv-drunet,width=8", "fastmri-unet,chans=4",
        "dival-unet", "unet-aps-3,width=0.05", "no-such-file.onnx",
    ]  # fmt: skip
    options = [part for model in models for part in ("-m", model)]
    status, _, err = cli("run", *options, "-s", "noise,n=1,size=32", "--shifts",
                         "random:n=1,max=8", "--out", "run")  # fmt: skip
    assert status == 1
    assert "no-such-file.onnx: there is no model file no-such-file.onnx" in err.replace(
        "failed: there", "no-such-file.onnx: there"
    )
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert set(rows["model"]) == set(models[:-1])
    described = json.loads((tmp_path / "run/run.json").read_text())["models"]
    assert described["smp-fpn"]["details"]["licence"] == "MIT"
    assert described["smp-fpn"]["parameters"] > 1e6
