"""ImageNet: photographs in folders."""

import numpy as np
import pytest
from PIL import Image
from suite_files import truncate

from equibench.errors import DataError
from equibench.suites.imagenet import ImageNet


def save_photo(path, colour=(255, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (300, 280), colour).save(path)


def test_images_come_in_sorted_folder_order_and_n_takes_the_first(tmp_path):
    for name in ("n02/b.png", "n01/z.JPEG", "n01/a.png"):
        save_photo(tmp_path / "val" / name)
    (tmp_path / "val" / "n01" / "notes.txt").write_text("no image")
    suite = ImageNet(root=str(tmp_path))
    assert suite.cases() == ["n01/a.png", "n01/z.JPEG", "n02/b.png"]
    assert ImageNet(root=str(tmp_path), n=2).cases() == suite.cases()[:2]


def test_a_flat_folder_of_images_will_do(tmp_path):
    save_photo(tmp_path / "b.png")
    save_photo(tmp_path / "a.png")
    assert ImageNet(root=str(tmp_path)).cases() == ["a.png", "b.png"]


def test_images_are_normalised_before_they_turn_grey(tmp_path):
    save_photo(tmp_path / "red.png")
    case = ImageNet(root=str(tmp_path)).load("red.png")
    assert case.input.shape == (1, 1, 224, 224)
    assert case.target is None
    normalised = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0 - 0.406) / 0.225]
    grey = np.dot([0.299, 0.587, 0.114], normalised)
    assert case.input.numpy() == pytest.approx(grey, abs=1e-3)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n broken"])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    save_photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    suite = ImageNet(root=str(tmp_path))
    assert suite.cases() == ["a.png", "b.png"]
    with pytest.raises(DataError) as caught:
        suite.load("b.png")
    assert str(caught.value).startswith(f"truncated or no image: {tmp_path / 'b.png'} (")
    assert str(caught.value).endswith("; fetch the file again")


def test_verify_decodes_every_photo(tmp_path):
    save_photo(tmp_path / "val" / "n01" / "a.png")
    Image.effect_noise((300, 280), 50).save(tmp_path / "val" / "n01" / "b.jpg")
    truncate(tmp_path / "val" / "n01" / "b.jpg")
    report = ImageNet(root=str(tmp_path)).verify()
    assert [(part.files, part.found, part.expected) for part in report.parts] == [(2, 1, 50000)]
    assert [broken.path.name for broken in report.broken] == ["b.jpg"]
