import pytest

from equibench.errors import UsageError
from equibench.registry.specs import Spec, slug


def test_values_parse_as_toml_scalars_and_bare_words_as_text():
    spec = Spec.parse("unet,width=0.125,channels=32,fast=true,encoder=resnet18,name='a,b'")
    assert spec.arguments == {
        "width": 0.125,
        "channels": 32,
        "fast": True,
        "encoder": "resnet18",
        "name": "a,b",
    }


def test_label_and_weights_are_reserved_and_always_text():
    spec = Spec.parse("unet,label=2024,weights=runs/a.safetensors,width=1")
    assert (spec.label, spec.weights, spec.arguments) == (
        "2024",
        "runs/a.safetensors",
        {"width": 1},
    )


def test_a_label_is_the_spec_unless_chosen():
    assert Spec.parse("unet, width=0.5").label == "unet,width=0.5"
    assert Spec.parse("some/where/net.py:build,n=3").label == "net:build,n=3"
    assert Spec.parse('unet,label="ours, best"').label == "ours, best"
    assert Spec.parse("hf:some/where/net/,out.scale=2").label == "net,out.scale=2"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' names nothing: write name,key=value"),
        (",width=1", "',width=1' names nothing: write name,key=value"),
        ("unet,width", "'width' in 'unet,width' is not key=value"),
        ("unet,a=1,a=2", "'a' is given twice in 'unet,a=1,a=2'"),
    ],
)
def test_what_cannot_be_read_is_quoted(text, message):
    with pytest.raises(UsageError) as caught:
        Spec.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b\\c", "<script>", "...", "", "x" * 500])
def test_a_slug_is_a_file_name_and_never_a_path(name):
    made = slug(name)
    assert made not in {"", ".", ".."}
    assert not set(made) & set("/\\<>\0")
    assert len(made) <= 60
