"""Images that a caller has, in whatever they are kept in."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import equibench as eb
from equibench.cases.python_data import PythonData
from equibench.loading.suites import case_names

IMAGES = torch.randn(4, 1, 8, 12, generator=torch.Generator().manual_seed(0))
TARGETS = IMAGES + 1


def loaded(data, *more, **keys):
    """[(input, target)] of all cases."""
    suite = PythonData(data, *more, **keys)
    cases = [suite.load(name) for name in case_names(suite)]
    return [(case.input, case.target) for case in cases]


def assert_same(found, targets=True):
    assert len(found) == 4
    for (image, target), wanted, truth in zip(found, IMAGES, TARGETS, strict=True):
        torch.testing.assert_close(image, wanted[None], rtol=0, atol=0)
        if targets:
            torch.testing.assert_close(target, truth[None], rtol=0, atol=0)
        else:
            assert target is None


class Dicts(Dataset):
    def __init__(self, image="image", target="label"):
        self.image, self.target = image, target

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return {self.image: IMAGES[i], self.target: TARGETS[i], "name": f"{i}"}


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(IMAGES, TARGETS, strict=True)


WITHOUT_TARGETS = {
    "tensor": IMAGES,
    "array": IMAGES.numpy(),
    "list of tensors": list(IMAGES),
    "list of arrays (H, W)": [image[0].numpy() for image in IMAGES],
    "data set of images": TensorDataset(IMAGES),
    "generator": (image for image in IMAGES),
}
WITH_TARGETS = {
    "data set": TensorDataset(IMAGES, TARGETS),
    "loader": DataLoader(TensorDataset(IMAGES, TARGETS), batch_size=3),
    "shuffled loader": DataLoader(TensorDataset(IMAGES, TARGETS), batch_size=3, shuffle=True),
    "loader of dicts": DataLoader(Dicts(), batch_size=2),
    "dicts": Dicts(),
    "stream": Stream(),
    "loader of a stream": DataLoader(Stream(), batch_size=3),
    "loader with a collate_fn": DataLoader(
        Dicts(), batch_size=3, collate_fn=lambda items: [[i["image"] for i in items],
                                                         [i["label"] for i in items]]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WITHOUT_TARGETS)
def test_images_are_taken_from_what_they_are_kept_in(kind):
    assert_same(loaded(WITHOUT_TARGETS[kind]), targets=False)


@pytest.mark.parametrize("kind", WITH_TARGETS)
def test_ground_truths_are_found_beside_their_images(kind):
    assert_same(loaded(WITH_TARGETS[kind]))


def test_ground_truths_may_stand_apart():
    assert_same(loaded(IMAGES, TARGETS))
    assert_same(loaded(list(IMAGES), TARGETS.numpy()))
    with pytest.raises(eb.UsageError, match="4 images, but 3 targets: give one for each"):
        loaded(IMAGES, TARGETS[:3])


def test_keys_say_where_an_item_has_its_image():
    assert_same(loaded(Dicts("x", "y"), input_key="x", target_key="y"))
    swapped = [(target, image) for image, target in zip(IMAGES, TARGETS, strict=True)]
    assert_same(loaded(swapped, input_key=1, target_key=0))
    with pytest.raises(eb.DataError, match="an item has x, y, name: say which is the image with i"):
        loaded(Dicts("x", "y"))
    with pytest.raises(eb.DataError, match=r"image, label, name: say which .* with target_key=…"):
        loaded(Dicts(), target_key="truth")


def test_a_loader_of_some_items_gives_those_in_the_order_of_its_data_set():
    from torch.utils.data import SubsetRandomSampler

    data = TensorDataset(IMAGES)
    sampled = DataLoader(data, sampler=SubsetRandomSampler([3, 1]))
    for found in (loaded(sampled), loaded(Subset(data, [1, 3]))):
        torch.testing.assert_close(torch.cat([i for i, _ in found]), IMAGES[[1, 3]])


def test_images_of_different_sizes_are_measured_each_in_its_own():
    sizes = [(8, 12), (16, 8), (8, 12)]
    images = [torch.randn(1, *size) for size in sizes]
    model = torch.nn.Conv2d(1, 1, 3, padding=1)
    rows = eb.evaluate(model, images, shifts="random:n=2,max=4", progress=False).rows
    for i, image in enumerate(images):
        alone = eb.evaluate(model, image[None], shifts="random:n=2,max=4", progress=False).rows
        mine = rows[rows["case"] == f"{i:05d}"]
        assert len(mine) == 3
        if i == 0:  # the name of a case seeds its shifts
            assert mine["eq_nmse"].tolist() == pytest.approx(alone["eq_nmse"].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.bool_, 1), (np.float32, 1)]
)
def test_unsigned_numbers_are_brought_to_0_to_1_by_their_type(dtype, white):
    values = np.array([[0, 1], [1, 0]], dtype)
    ((image, _),) = loaded([values])
    assert image.dtype == torch.float32
    np.testing.assert_allclose(image[0, 0], values / white, rtol=1e-7)


def test_signed_numbers_have_no_white_as_images_and_are_classes_as_targets():
    with pytest.raises(
        eb.DataError, match=r"item 0 holds torch\.int64, which has no white: give f"
    ):
        loaded([torch.zeros(1, 8, 8, dtype=torch.int64)])
    ((_, target),) = loaded([(torch.zeros(1, 8, 8), torch.ones(8, 8, dtype=torch.int64))])
    assert target.dtype == torch.int64
    assert target.shape == (1, 1, 8, 8)


def test_channels_of_arrays_may_come_last():
    image = np.random.default_rng(0).random((8, 12, 3), dtype=np.float32)
    ((found, _),) = loaded([image])
    np.testing.assert_array_equal(found[0], image.transpose(2, 0, 1))
    ((found, _),) = loaded([image.transpose(2, 0, 1)])
    np.testing.assert_array_equal(found[0], image.transpose(2, 0, 1))


def test_torchvision_comes_as_it_is(tmp_path):
    """A folder of photographs by class: PIL images with a number that is no image."""
    from torchvision.datasets import ImageFolder

    (tmp_path / "cats").mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "cats/a.png")
    ((image, target),) = loaded(ImageFolder(tmp_path))
    assert target is None
    np.testing.assert_allclose(image[0], colours.transpose(2, 0, 1) / 255, rtol=1e-6)


def test_palettes_and_masks_of_torchvision_are_classes():
    from torchvision.tv_tensors import Mask

    classes = np.array([[0, 1], [2, 255]], np.uint8)
    palette = Image.fromarray(classes, "P")
    photo = Image.fromarray(np.zeros((2, 2, 3), np.uint8))
    for target in (palette, Mask(torch.from_numpy(classes))):
        ((_, found),) = loaded([(photo, target)])
        np.testing.assert_array_equal(found[0, 0], classes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_monai_comes_as_it_is():
    monai_data = pytest.importorskip("monai.data")
    from monai.transforms import EnsureChannelFirstd

    pairs = [
        {"image": image[0].numpy(), "label": target[0].numpy()}
        for image, target in zip(IMAGES, TARGETS, strict=True)
    ]
    keys = ["image", "label"]
    data = monai_data.Dataset(pairs, EnsureChannelFirstd(keys, channel_dim="no_channel"))
    assert isinstance(data[0]["image"], monai_data.MetaTensor)
    assert_same(loaded(data))
    assert_same(loaded(monai_data.DataLoader(data, batch_size=2)))
    image, _ = loaded(data)[0]
    assert type(image) is torch.Tensor


def test_random_augmentation_is_refused():
    class Random(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return torch.randn(1, 8, 8)

    with pytest.raises(eb.UsageError, match="another image 0 each time they are asked for it: lea"):
        loaded(Random())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([1], "item 0 is a int, not an image"),
        ([torch.zeros(1, 4, 8, 8)], r"item 0 has 4 axes, \(1, 4, 8, 8\): an image is \(H, W\)"),
        (["a.png"], "item 0 is a str, not an image"),
    ],
)
def test_an_item_that_is_no_image_is_named(data, said):
    with pytest.raises(eb.DataError, match=said):
        eb.evaluate(lambda x: x, data, progress=False)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            np.zeros((8, 8)),
            r"an array of 2 axes, \(8, 8\), is no images \(B, C, H, W\), signals \(B, C, L\) or v",
        ),
        (3, "int is no suite: give a name, an equibench Suite, or images"),
        ({"a": 1}, "dict is no suite"),
        ([], "has no cases"),
    ],
)
def test_what_holds_no_images_is_refused(data, said):
    with pytest.raises(eb.UsageError, match=said):
        eb.evaluate(lambda x: x, data, progress=False)


def test_an_item_that_cannot_be_read_is_an_error_of_the_data():
    class Broken(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, i):
            raise OSError("disk gone")

    with pytest.raises(eb.DataError, match="cannot load case 00000: OSError: disk gone"):
        eb.evaluate(lambda x: x, Broken(), progress=False)


def test_one_line_of_a_test_takes_the_same_data():
    model = torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")
    for data in (TensorDataset(IMAGES, TARGETS), DataLoader(Dicts(), batch_size=2), list(IMAGES)):
        eb.assert_shift_equivariant(model, data, nmse=1e-10, shifts="random:n=2,max=4")
    data = Dicts("x", "y")
    result = eb.assert_shift_equivariant(
        model, data, input_key="x", target_key="y", delta_psnr=1e-3, shifts="random:n=2,max=4"
    )
    assert result.rows["psnr"].notna().all()
