"""ONNX files as others export them: fixed batches, other types, several inputs."""

import re

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

import equibench as eb
from equibench.errors import EquibenchError, ModelError, UsageError

SUITE = "noise,n=2,size=8,sigma=1"
SHIFTS = "grid:max=1,step=1"


@pytest.fixture
def write(tmp_path):
    """Write a network of single operators: (operator, inputs, output)…, with y as its output."""

    def write(nodes, kind=TensorProto.FLOAT, shape=("n", 1, "h", "w"), gives=None, **others):
        inputs = [helper.make_tensor_value_info("x", kind, shape)]
        inputs += [
            helper.make_tensor_value_info(n.replace("__", "-"), *o) for n, o in others.items()
        ]
        made = [helper.make_node(op, ins, [out], **more) for op, ins, out, more in nodes]
        y = helper.make_tensor_value_info("y", gives or kind, None)
        graph = helper.make_graph(made, "net", inputs, [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, tmp_path / "net.onnx")
        return str(tmp_path / "net.onnx")

    return write


def measured(spec, **options):
    rows = eb.evaluate(spec, SUITE, shifts=SHIFTS, **options).rows
    assert (rows["eq_nmse"] < 1e-6).all()
    return rows


def remedy(spec, **options):
    """What the message for a model advises last."""
    with pytest.raises(EquibenchError) as caught:
        eb.evaluate(spec, SUITE, shifts=SHIFTS, **options)
    assert "\n" not in str(caught.value)
    return re.search(r"[:;] (?:set |take )?([^:;]+)$", str(caught.value))[1]


RELU = [("Relu", ["x"], "y", {})]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_with_a_fixed_batch_is_given_so_many_images_at_a_time(batch, write):
    file = write(RELU, shape=(batch, 1, "h", "w"))
    rows = measured(file, batch=4)
    same = measured(write(RELU), batch=4)
    assert rows["eq_psnr"].tolist() == same["eq_psnr"].tolist()


def test_a_network_in_half_precision_is_measured_in_that(write):
    file = write(RELU, TensorProto.FLOAT16)
    advice = remedy(file)
    assert advice == "--precision fp16"
    measured(file, precision=advice.split()[1])


def test_a_network_in_double_precision_is_measured_in_that(write):
    file = write(RELU, TensorProto.DOUBLE)
    assert remedy(file) == "--precision fp64"
    measured(file, precision="fp64")


def test_a_network_of_bytes_is_given_rounded_images_in_their_range(write):
    file = write([("Identity", ["x"], "y", {})], TensorProto.UINT8)
    advice = remedy(file)
    assert advice == "in.range=0..255"
    measured(f"{file},{advice}")


def test_further_inputs_are_asked_for_by_name_and_fed(write):
    file = write(
        [("Mul", ["x", "sigma"], "z", {}), ("Add", ["z", "my-bias"], "y", {})],
        sigma=(TensorProto.FLOAT, ("n", 1, 1, 1)),
        my__bias=(TensorProto.FLOAT, ()),
    )
    advice = remedy(file)
    assert advice == "in.sigma=1,in.my_bias=1"
    measured(f"{file},{advice}")


def test_one_further_input_may_be_a_level_of_noise(write):
    file = write([("Mul", ["x", "sigma"], "y", {})], sigma=(TensorProto.FLOAT, ("n", 1, 1, 1)))
    assert remedy(file) == "in.noise=0.05"
    measured(f"{file},in.noise=0.05")


def test_a_further_input_may_come_from_a_file(write, tmp_path):
    file = write([("Mul", ["x", "mask"], "y", {})], mask=(TensorProto.FLOAT, ("n", 1, "h", "w")))
    pattern = np.arange(64).reshape(8, 8) % 2
    np.save(tmp_path / "pattern.npy", pattern)
    network = eb.load_model(f"{file},input=x,in.mask={tmp_path}/pattern.npy")
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(network(x), x * torch.from_numpy(pattern))


def test_a_step_is_a_whole_number_with_one_axis(write):
    file = write(
        [
            ("Cast", ["t"], "f", {"to": TensorProto.FLOAT}),
            ("Unsqueeze", ["f", "axes"], "u", {}),
            ("Mul", ["x", "u"], "y", {}),
        ],
        t=(TensorProto.INT64, ("n",)),
        axes=(TensorProto.INT64, (3,)),
    )
    network = eb.load_model(f"{file},in.t=7,in.axes=1")
    assert network.named["t"].dtype == torch.int64


def test_an_input_that_is_none_is_answered_with_those_there_are(write):
    file = write([("Mul", ["x", "sigma"], "y", {})], sigma=(TensorProto.FLOAT, ("n", 1, 1, 1)))
    with pytest.raises(UsageError) as caught:
        eb.load_model(f"{file},in.sigmas=1")
    assert "there is no field 'in.sigmas'" in str(caught.value)
    assert str(caught.value).endswith("; its further inputs are sigma")


def test_what_may_be_the_image_is_asked_for_by_name(write):
    file = write([("Add", ["x", "other"], "y", {})], other=(TensorProto.FLOAT, ("n", 1, "h", "w")))
    assert remedy(file) == "name one of x, other with input=…"
    measured(f"{file},input=other,in.x=1")


def test_a_size_that_was_exported_is_named_whole_and_followed(write):
    file = write(RELU, shape=("n", 1, 16, 16))
    assert remedy(file) == "in.pad=16"
    measured(f"{file},in.pad=16")
    file = write(RELU, shape=("n", 1, 7, 7))
    with pytest.raises(ModelError) as caught:
        eb.evaluate(file, SUITE)
    assert "index: 2 Got: 8 Expected: 7 index: 3 Got: 8 Expected: 7" in str(caught.value)
    assert str(caught.value).endswith(
        "it was exported for images of this size: give it those, or export it with dynamic axes"
    )
    eb.evaluate(file, "noise,n=2,size=7", shifts=SHIFTS)


def test_channels_that_were_exported_are_told_by_the_adapter(write):
    file = write(RELU, shape=("n", 3, "h", "w"))
    assert remedy(file) == "in.channels=3"
    measured(f"{file},in.channels=3")


def test_labels_come_out_as_numbers(write):
    file = write([("Cast", ["x"], "y", {"to": TensorProto.INT64})], gives=TensorProto.INT64)
    assert eb.load_model(file)(torch.ones(1, 1, 2, 2)).dtype == torch.float32
