"""Folders of transformers and diffusers: their own outputs, to the last bit, and no network."""

import hashlib
import json
import logging
import shutil
import socket

import pytest
import torch
from huggingface_hub import constants
from lazy_imports import Lazy
from safetensors.torch import load_file, save_file
from torch import nn

import equibench as eb
from equibench.errors import ModelError, UsageError
from equibench.models.hugging_face_network import HuggingFaceNetwork

pytestmark = pytest.mark.slow

diffusers, transformers = Lazy("diffusers"), Lazy("transformers")

SUITE = "noise,n=1,size=16"
SHIFTS = "grid:max=1,step=1"
CHANNELS = {"in_channels": 1, "out_channels": 1, "norm_num_groups": 4}
REMEDY = "hf: takes a folder that save_pretrained(folder) has written"


def super_resolution():
    return transformers.Swin2SRForImageSuperResolution(
        transformers.Swin2SRConfig(
            image_size=16, num_channels=1, num_channels_out=1, embed_dim=12, depths=[1],
            num_heads=[2], window_size=4, upscale=2,
        )
    )  # fmt: skip


def segmentation():
    return transformers.SegformerForSemanticSegmentation(
        transformers.SegformerConfig(
            num_channels=1, num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1],
            hidden_sizes=[8, 16], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2],
            mlp_ratios=[1, 1], decoder_hidden_size=8, num_labels=3,
        )
    )  # fmt: skip


def depth():
    return transformers.GLPNForDepthEstimation(
        transformers.GLPNConfig(
            num_channels=1, depths=[1] * 4, sr_ratios=[2, 1, 1, 1], hidden_sizes=[8] * 4,
            num_attention_heads=[1] * 4, mlp_ratios=[1] * 4, decoder_hidden_size=8,
        )
    )  # fmt: skip


def diffusion():
    return diffusers.UNet2DModel(
        sample_size=16, layers_per_block=1, block_out_channels=(8, 8), attention_head_dim=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, **CHANNELS,
    )  # fmt: skip


def autoencoder():
    return diffusers.AutoencoderKL(block_out_channels=(8,), latent_channels=2, **CHANNELS)


def told_by_text():
    return diffusers.UNet2DConditionModel(
        sample_size=16, layers_per_block=1, block_out_channels=(8, 8), attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), cross_attention_dim=8,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **CHANNELS,
    )  # fmt: skip


BUILDERS = (super_resolution, segmentation, depth, diffusion, autoencoder, told_by_text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a folder for each network, and the networks, with random weights."""
    folder, networks = tmp_path_factory.mktemp("saved"), {}
    torch.manual_seed(0)
    for build in BUILDERS:
        networks[build.__name__] = build().eval()
        networks[build.__name__].save_pretrained(folder / build.__name__)
    return folder, networks


@pytest.fixture
def folder(saved, tmp_path):
    """A folder of a network that may be broken."""
    return shutil.copytree(saved[0] / "super_resolution", tmp_path / "net")


def said(spec, kind=UsageError):
    """The line that a model is refused with."""
    with pytest.raises(kind) as caught:
        eb.load_model(spec)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "field", "keys", "given"),
    [
        ("super_resolution", "reconstruction", "", {}),
        ("segmentation", "logits", "", {}),
        ("depth", "predicted_depth", "", {}),
        ("diffusion", "sample", ",in.timestep=10", {"timestep": 10}),
        ("autoencoder", "sample", "", {}),
    ],
)
def test_the_image_is_that_of_the_network_to_the_last_bit(name, field, keys, given, saved, images):
    folder, networks = saved
    loaded = eb.load_model(f"hf:{folder / name}{keys}")
    values = dict(networks[name].named_parameters())
    assert values
    for key, value in values.items():
        assert torch.equal(loaded.get_parameter(f"{'network.' * (1 + bool(keys))}{key}"), value)
    # kernels round by where a tensor lies in memory, and files are mapped into it
    theirs = type(networks[name]).from_pretrained(folder / name)
    with torch.inference_mode():
        expected = theirs(images[..., :32], **given)[field]
        output = loaded(images[..., :32])
    assert output.ndim == 4
    assert torch.equal(output, expected if field != "predicted_depth" else expected[:, None])


@pytest.mark.parametrize(
    "spec",
    [
        "super_resolution,out.scale=2", "segmentation,out.resize=bilinear",
        "diffusion,in.timestep=10", "autoencoder",
    ],
)  # fmt: skip
def test_adapters_bring_it_onto_the_grid_of_the_images(spec, saved):
    rows = eb.evaluate(f"hf:{saved[0]}/{spec}", SUITE, shifts=SHIFTS).rows
    assert len(rows) > 1
    assert rows["model"].unique().tolist() == [spec]


def test_a_run_stores_where_a_network_comes_from(saved, cli, tmp_path):
    folder = saved[0] / "autoencoder"
    run = ("run", "-s", SUITE, "--shifts", SHIFTS, "--out", "run")
    status, _, err = cli(*run, "-m", f"hf:{folder}")
    assert status == 0, err
    manifest = json.loads((tmp_path / "run/run.json").read_text())
    described = manifest["models"]["autoencoder"]
    assert described["weights"] == "autoencoder"
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    names = ("config.json", "diffusion_pytorch_model.safetensors")
    lines = "".join(f"{hashes[name]}  {name}\n" for name in names)
    assert described["file_sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    versions = manifest["environment"]["versions"]
    assert versions["transformers"] == transformers.__version__
    assert versions["diffusers"] == diffusers.__version__


def test_a_network_is_probed_and_read_by_its_prefix(saved, cli):
    name = f"hf:{saved[0]}/autoencoder"
    status, out, err = cli("probe", name, "-s", SUITE)
    assert status == 0, err
    assert "autoencoder" in out
    status, out, err = cli("prove", name, "--size", 16)
    assert "autoencoder" in out + err
    assert "Traceback" not in out + err


def test_nothing_is_reached_over_the_network(saved, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for build in BUILDERS:
        assert eb.load_model(f"hf:{saved[0] / build.__name__}")


def test_the_libraries_say_nothing_and_talk_as_before(folder, capfd):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "one.too.many": torch.zeros(1)}, file, {"format": "pt"})
    talkers = [transformers.utils.logging, diffusers.utils.logging]
    levels = [talker.get_verbosity() for talker in talkers]
    try:
        for talker in talkers:
            talker.set_verbosity(logging.INFO)
        said(f"hf:{folder}", ModelError)
        assert [talker.get_verbosity() for talker in talkers] == [logging.INFO] * 2
    finally:
        for talker, level in zip(talkers, levels, strict=True):
            talker.set_verbosity(level)
    assert [talker.is_progress_bar_enabled() for talker in talkers] == [True] * 2
    assert not constants.HF_HUB_OFFLINE
    assert capfd.readouterr() == ("", "")


def test_weights_in_half_precision_are_measured_in_float32(folder, images):
    file = folder / "model.safetensors"
    halves = {name: value.half() for name, value in load_file(file).items()}
    save_file(halves, file, {"format": "pt"})
    network = eb.load_model(f"hf:{folder}")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_weights_must_be_all_of_the_network_and_no_others(folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    gone, reshaped, *_ = (name for name in sorted(tensors) if name.endswith("weight"))
    tensors["one.too.many"] = tensors.pop(gone)
    tensors[reshaped] = torch.zeros(3)
    save_file(tensors, file, {"format": "pt"})
    assert said(f"hf:{folder}", ModelError) == (
        f"the weights in {folder} do not fit Swin2SRForImageSuperResolution of transformers "
        f"{transformers.__version__}: missing {gone}; unexpected one.too.many; mismatched "
        f"{reshaped}: save weights and config.json together, by save_pretrained"
    )


def test_of_many_misfits_three_are_named(folder):
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    assert " more; unexpected a: save" in said(f"hf:{folder}", ModelError)


def test_weights_of_diffusers_must_fit_as_well(saved, tmp_path):
    folder = shutil.copytree(saved[0] / "autoencoder", tmp_path / "net")
    file = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["one.too.many"] = tensors.pop("decoder.conv_in.bias")
    tensors["decoder.conv_in.weight"] = torch.zeros(3)
    save_file(tensors, file, {"format": "pt"})
    assert (
        "missing decoder.conv_in.bias; unexpected one.too.many; mismatched decoder.conv_in.weight: "
    ) in said(f"hf:{folder}", ModelError)


def test_a_folder_that_is_not_there_is_named():
    assert said("hf:no/net") == f"there is no folder no/net: {REMEDY}, and downloads nothing"


def test_a_folder_without_a_description_is_refused(folder):
    file = folder / "config.json"
    file.write_text("{}")
    assert said(f"hf:{folder}") == (
        f"{file} names no class (architectures or _class_name): {REMEDY}"
    )
    file.write_text("[]")
    assert said(f"hf:{folder}") == f"{file} describes no network: {REMEDY}"
    file.write_text("{")
    assert said(f"hf:{folder}").startswith(f"{file} is no JSON (")
    file.unlink()
    assert said(f"hf:{folder}") == f"{folder} has no config.json: {REMEDY}"


@pytest.mark.parametrize("name", ["NoSuchNetwork", "AutoModel", "pipeline", "Swin2SRConfig"])
def test_a_class_that_the_library_does_not_have_is_refused(name, folder):
    """And one that is no network of its own; code that a folder brings is not run."""
    auto = {"AutoModel": "mine.NoSuchNetwork"}
    (folder / "config.json").write_text(json.dumps({"architectures": [name], "auto_map": auto}))
    (folder / "mine.py").write_text("raise SystemExit('it was run')")
    assert said(f"hf:{folder}") == (
        f"{folder}/config.json names {name}, which is no network of transformers "
        f"{transformers.__version__}: install a version that has it; code of a folder is not run"
    )


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert said(f"hf:{folder}") == (
        f"{folder} has pickled weights only (pytorch_model.bin), which are not read: load them "
        "where you trust them, and save_pretrained(folder) writes safetensors"
    )
    (folder / "pytorch_model.bin").unlink()
    assert said(f"hf:{folder}") == f"{folder} has no weights (*.safetensors): {REMEDY}"


def test_the_networks_of_a_pipeline_are_named(saved, tmp_path):
    for part in ("unet", "vae"):
        shutil.copytree(saved[0] / "autoencoder", tmp_path / part)
    (tmp_path / "model_index.json").write_text("{}")
    assert said(f"hf:{tmp_path}") == (
        f"{tmp_path} holds a pipeline of diffusers, no network: name one of its networks, "
        f"hf:{tmp_path}/unet or hf:{tmp_path}/vae"
    )


def test_a_missing_library_is_named_with_its_extra(saved, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "diffusers" else find(name)
    )
    name = f"hf:{saved[0]}/depth"
    assert said(name) == f"model '{name}' needs diffusers; pip install 'equibench[hf]'"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("diffusion", "set in.timestep=1"),
        (
            "told_by_text",
            "give it in.timestep=VALUE, in.encoder_hidden_states=VALUE, a number or a file",
        ),
    ],
)
def test_what_a_network_needs_besides_images_is_asked_for(name, advice, saved):
    with pytest.raises(ModelError) as caught:
        eb.evaluate(f"hf:{saved[0]}/{name}", SUITE)
    assert str(caught.value).endswith(f"; {advice}")
    assert "\n" not in str(caught.value)


class Several(nn.Module):
    """Gives two images and a vector."""

    def forward(self, input_ids=None, pixel_values=None):
        return transformers.utils.ModelOutput(
            fine=pixel_values, coarse=-pixel_values, vector=pixel_values.mean((2, 3))
        )


def test_of_several_images_one_is_selected(images):
    network = HuggingFaceNetwork(Several(), [])
    with pytest.raises(ModelError) as caught:
        eb.evaluate(network, images)
    assert str(caught.value).endswith(": set out.select=fine")
    assert torch.equal(eb.adapt(network, "out.select=coarse")(images), -images)
