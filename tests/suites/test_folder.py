"""Anyone's images: any folder, in numbers that follow from the type of each file."""

import os

import imagecodecs
import nibabel
import nrrd
import numpy as np
import pandas as pd
import pydicom
import pytest
import tifffile
import torch
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

import equibench as eb
from equibench.errors import DataError, UnavailableError, UsageError
from equibench.loading.suites import case_names, load_suite
from equibench.suites.reading.image_files import missing_readers

RANDOM = np.random.default_rng(0)
GREY8 = RANDOM.integers(0, 256, (6, 8), dtype=np.uint8)
GREY16 = RANDOM.integers(0, 65536, (6, 8), dtype=np.uint16)
RGB8 = RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8)
RGB16 = RANDOM.integers(0, 65536, (6, 8, 3), dtype=np.uint16)
FLOATS = RANDOM.normal(size=(6, 8)).astype(np.float32)
LUMA = np.array([0.299, 0.587, 0.114])


def folder(path, **settings):
    given = "".join(f",{key}={value}" for key, value in settings.items())
    return load_suite(f"folder,path={path}{given}")


def image(path, **settings):
    """(C, H, W) of the only case in a folder."""
    suite = folder(path, **settings)
    (name,) = case_names(suite)
    case = suite.load(name).input
    assert case.dtype == torch.float32
    return case[0].numpy()


def dicom(path, values, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["one"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta[0x00020002].value, meta[0x00020003].value
    data.Rows, data.Columns = values.shape[-2:]
    if values.ndim == 3:
        data.NumberOfFrames = len(values)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * values.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(values.dtype.kind == "i")
    data.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    pydicom.dcmwrite(path, data, enforce_file_format=True)


WRITTEN = {
    "grey.png": (lambda p: Image.fromarray(GREY8).save(p), GREY8 / 255),
    "grey.webp": (lambda p: Image.fromarray(RGB8).save(p, lossless=True), RGB8 @ LUMA / 255),
    "rgb.png": (lambda p: Image.fromarray(RGB8).save(p), RGB8 @ LUMA / 255),
    "rgb.bmp": (lambda p: Image.fromarray(RGB8).save(p), RGB8 @ LUMA / 255),
    "deep.png": (lambda p: Image.fromarray(GREY16).save(p), GREY16 / 65535),
    "deep-colours.png": (
        lambda p: p.write_bytes(imagecodecs.png_encode(RGB16)),
        RGB16 @ LUMA / 65535,
    ),
    "deep.tif": (lambda p: tifffile.imwrite(p, GREY16), GREY16 / 65535),
    "deep-big-endian.tif": (lambda p: tifffile.imwrite(p, GREY16, byteorder=">"), GREY16 / 65535),
    "deep-colours.tiff": (
        lambda p: tifffile.imwrite(p, RGB16, photometric="rgb", compression="lzw"),
        RGB16 @ LUMA / 65535,
    ),
    "planes.tif": (
        lambda p: tifffile.imwrite(
            p, RGB8.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"
        ),
        RGB8 @ LUMA / 255,
    ),
    "inverted.tif": (
        lambda p: tifffile.imwrite(p, 255 - GREY8, photometric="miniswhite"),
        GREY8 / 255,
    ),
    "floats.tif": (lambda p: tifffile.imwrite(p, FLOATS), FLOATS),
    "bytes.npy": (lambda p: np.save(p, GREY8), GREY8 / 255),
    "floats.npy": (lambda p: np.save(p, FLOATS), FLOATS),
    "booleans.npy": (lambda p: np.save(p, GREY8 > 99), GREY8 > 99),
    "channels-last.npy": (lambda p: np.save(p, RGB8), RGB8 @ LUMA / 255),
    "channels-first.npy": (lambda p: np.save(p, RGB8.transpose(2, 0, 1)), RGB8 @ LUMA / 255),
    "floats.npz": (lambda p: np.savez(p, FLOATS), FLOATS),
    "units.nii": (
        lambda p: nibabel.save(nibabel.Nifti1Image(GREY16.astype(np.int16), np.eye(4)), p),
        GREY16.astype(np.int16),
    ),
    "units.nrrd": (lambda p: nrrd.write(str(p), FLOATS, index_order="C"), FLOATS),
    "bytes.nrrd": (lambda p: nrrd.write(str(p), GREY8, index_order="C"), GREY8 / 255),
    "sixteen-bits.dcm": (lambda p: dicom(p, GREY16), GREY16 / 65535),
    "twelve-bits.dcm": (
        lambda p: dicom(p, GREY16 >> 4, BitsStored=12, HighBit=11),
        (GREY16 >> 4) / 4095,
    ),
    "monochrome-1.dcm": (
        lambda p: dicom(p, 255 - GREY8, PhotometricInterpretation="MONOCHROME1"),
        GREY8 / 255,
    ),
    "hounsfield.dcm": (
        lambda p: dicom(p, GREY16 >> 4, RescaleSlope=2, RescaleIntercept=-1024),
        (GREY16 >> 4) * 2.0 - 1024,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_values_follow_from_the_type_of_a_file_and_never_from_its_image(tmp_path, name):
    write, expected = WRITTEN[name]
    write(tmp_path / name)
    np.testing.assert_allclose(image(tmp_path)[0], expected, rtol=1e-6, atol=1e-7)


def test_black_and_white_become_the_ends_of_the_range(tmp_path):
    Image.fromarray(np.array([[0, 51], [255, 0]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_allclose(image(tmp_path, range="-1..1")[0], [[-1, -0.6], [1, -1]], rtol=1e-6)
    np.testing.assert_array_equal(image(tmp_path, range="0..255")[0], [[0, 51], [255, 0]])


def test_a_range_that_floats_cannot_be_brought_to_is_an_error_with_the_remedy(tmp_path):
    np.save(tmp_path / "a.npy", FLOATS)
    with pytest.raises(DataError, match=r"a\.npy has no white, for its type is float32: leave ran"):
        image(tmp_path, range="0..1")


def test_a_palette_is_its_colours(tmp_path):
    Image.fromarray(RGB8).quantize(4).save(tmp_path / "a.png")
    colours = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    np.testing.assert_allclose(
        image(tmp_path, mode="rgb"), colours.transpose(2, 0, 1) / 255, rtol=1e-6
    )


def test_cmyk_is_what_pillow_makes_of_it_in_rgb(tmp_path):
    flat = np.full((16, 16, 4), (10, 200, 30, 40), np.uint8)
    Image.fromarray(flat, "CMYK").save(tmp_path / "a.jpg", quality=100)
    with Image.open(tmp_path / "a.jpg") as opened:
        assert opened.mode == "CMYK"
        colours = np.asarray(opened.convert("RGB"))
    np.testing.assert_allclose(
        image(tmp_path, mode="rgb"), colours.transpose(2, 0, 1) / 255, rtol=1e-6
    )


def test_alpha_is_no_colour_and_stays_only_as_it_is(tmp_path):
    rgba = np.dstack((RGB8, GREY8))
    Image.fromarray(rgba).save(tmp_path / "a.png")
    np.testing.assert_allclose(image(tmp_path)[0], RGB8 @ LUMA / 255, rtol=1e-6)
    np.testing.assert_allclose(
        image(tmp_path, mode="rgb"), RGB8.transpose(2, 0, 1) / 255, rtol=1e-6
    )
    np.testing.assert_allclose(
        image(tmp_path, mode="asis"), rgba.transpose(2, 0, 1) / 255, rtol=1e-6
    )


def test_grey_is_three_times_the_same_in_rgb(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    np.testing.assert_allclose(image(tmp_path, mode="rgb"), np.stack([GREY8 / 255] * 3), rtol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_the_right_way_up(tmp_path, orientation):
    from PIL import ImageOps

    photo = Image.fromarray(GREY8)
    exif = photo.getexif()
    exif[0x0112] = orientation
    photo.save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    np.testing.assert_allclose(image(tmp_path)[0], upright / 255, rtol=1e-6)


def test_hidden_files_and_other_files_are_no_images(tmp_path):
    (tmp_path / "deep/.hidden").mkdir(parents=True)
    for name in ("b.png", "deep/a.PNG", "._b.png", ".DS_Store", "deep/.hidden/c.png", "notes.txt"):
        Image.fromarray(GREY8).save(tmp_path / name, "png")
    assert folder(tmp_path).cases() == ["b.png", "deep/a.PNG"]


def test_a_link_to_a_folder_above_does_not_go_on_for_ever(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/up").symlink_to(tmp_path, target_is_directory=True)
    np.save(tmp_path / "deep/a.npy", FLOATS)
    assert folder(tmp_path).cases() == ["deep/a.npy"]


def test_files_are_sorted_by_name_by_their_numbers_or_at_random(tmp_path):
    names = [f"img{i}.npy" for i in range(12)]
    for name in names:
        np.save(tmp_path / name, FLOATS)
    assert folder(tmp_path).cases() == sorted(names)
    assert folder(tmp_path, sort="natural").cases() == names
    mixed = folder(tmp_path, sort="random").cases()
    assert sorted(mixed) == sorted(names)
    assert mixed not in (names, sorted(names))
    assert folder(tmp_path, sort="random", n=5).cases() == mixed[:5]


def test_another_file_leaves_a_random_order_of_the_others_as_it_is(tmp_path):
    for i in range(8):
        np.save(tmp_path / f"{i}.npy", FLOATS)
    before = folder(tmp_path, sort="random").cases()
    np.save(tmp_path / "new.npy", FLOATS)
    after = folder(tmp_path, sort="random").cases()
    assert [name for name in after if name != "new.npy"] == before


def test_a_glob_chooses_files(tmp_path):
    for name in ("one/a_t1.npy", "one/a_t2.npy", "b_t1.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, FLOATS)
    assert folder(tmp_path, glob="**/*_t1.npy").cases() == ["b_t1.npy", "one/a_t1.npy"]


def test_groups_and_clusters_are_found_in_paths(tmp_path):
    for name in ("knee/p1_0.npy", "head/p2_0.npy", "top_1.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, FLOATS)
    suite = folder(tmp_path, group="folder", cluster='"([a-z0-9]+)_[0-9]+[.]npy"')
    found = [(case.group, case.cluster) for case in map(suite.load, suite.cases())]
    assert found == [("head", "p2"), ("knee", "p1"), ("all", "top")]
    suite = folder(tmp_path, group="'^[a-z]+(?=/)'")
    assert suite.load("knee/p1_0.npy").group == "knee"
    with pytest.raises(DataError, match=r"group=\^\[a-z\]\+\(\?=/\) is not found in top_1\.npy"):
        suite.load("top_1.npy")


def test_size_and_crop_fit_images_or_name_the_file_that_they_do_not_fit(tmp_path):
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    assert image(tmp_path, size=3).shape == (1, 3, 4)
    assert image(tmp_path, size="5x7").shape == (1, 5, 7)
    np.testing.assert_allclose(image(tmp_path, crop=4)[0], GREY8[1:5, 2:6] / 255, rtol=1e-6)
    assert image(tmp_path, crop="2x8").shape == (1, 2, 8)
    with pytest.raises(DataError, match=r"crop=7x7 does not fit into .*a\.png, 6×8: size=… first"):
        image(tmp_path, crop=7)


def test_ground_truths_are_paired_by_path_and_stem_and_each_missing_one_is_named(tmp_path):
    (tmp_path / "in/one").mkdir(parents=True)
    (tmp_path / "out/one").mkdir(parents=True)
    for name in ("one/a.png", "b.png"):
        Image.fromarray(GREY8).save(tmp_path / "in" / name)
    np.save(tmp_path / "out/one/a.npy", FLOATS)
    suite = folder(tmp_path / "in", targets=tmp_path / "out")
    torch.testing.assert_close(suite.load("one/a.png").target[0, 0], torch.from_numpy(FLOATS))
    with pytest.raises(DataError, match=r"b\.png has no file in targets=.*out: one of the same pa"):
        suite.load("b.png")
    assert [str(b).partition(" has")[0] for b in suite.verify().broken] == [
        f"{tmp_path / 'in/b.png'}: b.png"
    ]
    Image.fromarray(GREY8).save(tmp_path / "out/b.png")
    np.save(tmp_path / "out/b.npy", FLOATS)
    suite = folder(tmp_path / "in", targets=tmp_path / "out")
    with pytest.raises(DataError, match=r"b\.png has 2 files, b\.npy, b\.png in targets="):
        suite.load("b.png")


def test_a_name_that_is_no_utf_8_has_its_partner_too(tmp_path):
    name = os.fsdecode(b"caf\xe9.npy")
    for part in ("in", "out"):
        (tmp_path / part).mkdir()
        np.save(tmp_path / part / name, FLOATS)
    suite = folder(tmp_path / "in", targets=tmp_path / "out")
    (case,) = case_names(suite)
    assert case == r"caf\xe9.npy"
    torch.testing.assert_close(suite.load(case).target[0, 0], torch.from_numpy(FLOATS))


def test_ground_truths_below_the_folder_are_no_cases(tmp_path):
    (tmp_path / "truth").mkdir()
    for name in ("a.npy", "truth/a.npy"):
        np.save(tmp_path / name, FLOATS)
    assert folder(tmp_path, targets=tmp_path / "truth").cases() == ["a.npy"]


def test_a_folder_of_ground_truths_that_fits_no_image_is_refused_at_once(tmp_path):
    (tmp_path / "truth").mkdir()
    for name in ("a.npy", "truth/a_gt.npy"):
        np.save(tmp_path / name, FLOATS)
    with pytest.raises(UsageError, match=r"no file in .*truth has the path and stem of an image"):
        folder(tmp_path, targets=tmp_path / "truth").cases()


def test_a_pair_of_two_sizes_names_both_files(tmp_path):
    for name, size in (("in/a.npy", (6, 8)), ("out/a.npy", (6, 9))):
        (tmp_path / name).parent.mkdir()
        np.save(tmp_path / name, np.zeros(size, np.float32))
    with pytest.raises(DataError, match=r"out/a\.npy is 1 of 6×9, and .*in/a\.npy 1 of 6×8"):
        folder(tmp_path / "in", targets=tmp_path / "out").load("a.npy")


def classes(tmp_path, mask, write=None, **settings):
    """(H, W) of the label map beside an image."""
    for name in ("in", "out"):
        (tmp_path / name).mkdir(exist_ok=True)
    np.save(tmp_path / "in/a.npy", np.zeros(mask.shape[:2], np.float32))
    if write:
        write(tmp_path / "out")
    else:
        Image.fromarray(mask).save(tmp_path / "out/a.png")
    target = folder(tmp_path / "in", labels=tmp_path / "out", **settings).load("a.npy").target
    assert target.dtype == torch.int64
    return target[0, 0].numpy()


MASK = RANDOM.choice([0, 1, 2, 255], (6, 8)).astype(np.uint8)


def test_label_maps_are_classes_and_the_ignored_are_below_zero(tmp_path):
    expected = np.where(MASK == 255, -1, MASK.astype(int))
    np.testing.assert_array_equal(classes(tmp_path, MASK), expected)
    np.testing.assert_array_equal(classes(tmp_path, MASK, ignore=-1), MASK)
    two = np.where(MASK == 2, -1, MASK.astype(int))
    np.testing.assert_array_equal(classes(tmp_path, MASK, ignore=2), two)


def test_a_palette_has_the_numbers_of_classes_and_not_its_colours(tmp_path):
    def write(out):
        image = Image.fromarray(MASK, "P")
        image.putpalette([7, 8, 9] * 256)
        image.save(out / "a.png")

    expected = np.where(MASK == 255, -1, MASK.astype(int))
    np.testing.assert_array_equal(classes(tmp_path, MASK, write), expected)


def test_grey_in_three_channels_and_floats_that_are_whole_are_classes(tmp_path):
    threefold = np.stack([MASK] * 3, axis=-1)
    expected = np.where(MASK == 255, -1, MASK.astype(int))
    np.testing.assert_array_equal(classes(tmp_path, threefold), expected)
    (tmp_path / "out/a.png").unlink()
    found = classes(tmp_path, MASK, lambda out: np.save(out / "a.npy", MASK.astype(np.float64)))
    np.testing.assert_array_equal(found, expected)


def test_black_and_white_is_asked_about_before_white_is_ignored(tmp_path):
    mask = RANDOM.choice([0, 255], (6, 8)).astype(np.uint8)
    with pytest.raises(DataError, match=r"a\.png holds 0 and 255 alone: ignore=-1 takes them"):
        classes(tmp_path, mask)
    np.testing.assert_array_equal(classes(tmp_path, mask, ignore=-1), mask // 255)
    np.testing.assert_array_equal(classes(tmp_path, mask, ignore=255), -(mask // 255).astype(int))


def test_label_maps_are_resized_without_new_classes_and_cropped_like_their_images(tmp_path):
    expected = np.where(MASK == 255, -1, MASK.astype(int))
    np.testing.assert_array_equal(classes(tmp_path, MASK, crop=4), expected[1:5, 2:6])
    larger = classes(tmp_path, MASK, size="12x16")
    np.testing.assert_array_equal(larger, expected.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.dstack((MASK, MASK, MASK // 2)), "holds colours, not classes"),
        (np.array([[0.5, 1]]), "holds numbers that are not whole"),
        (np.array([[-2, 1]]), "holds class -2: leave it out by ignore=-2"),
    ],
)
def test_what_is_no_label_map_is_named(tmp_path, mask, said):
    with pytest.raises(DataError, match=rf"out/a\.npy {said}"):
        classes(tmp_path, mask, lambda out: np.save(out / "a.npy", mask))


VOLUME = RANDOM.normal(size=(5, 6, 7)).astype(np.float32)
VOLUMES = {
    "a.npy": (lambda p: np.save(p, VOLUME), 0),
    "a.npz": (lambda p: np.savez(p, VOLUME), 0),
    "a.nii.gz": (lambda p: nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), p), 2),
    "a.nrrd": (lambda p: nrrd.write(str(p), VOLUME, index_order="C"), 0),
    "a.tif": (lambda p: tifffile.imwrite(p, VOLUME, photometric="minisblack"), 0),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_are_sliced_taken_whole_or_refused_with_both_remedies(tmp_path, name):
    write, usual = VOLUMES[name]
    write(tmp_path / name)
    suite = folder(tmp_path, axis=1)
    assert suite.cases() == [f"{name}:{i:03d}" for i in range(6)]
    np.testing.assert_allclose(suite.load(f"{name}:004").input[0, 0], VOLUME[:, 4], rtol=1e-6)
    whole = folder(tmp_path, volume="true")
    assert whole.cases() == [name]
    expected = np.moveaxis(VOLUME, usual, 0)
    np.testing.assert_allclose(whole.load(name).input[:, 0], expected, rtol=1e-6)
    with pytest.raises(DataError, match=rf"5×6×7: axis={usual} takes its slices, volume=true all"):
        folder(tmp_path).load(name)


def test_frames_of_dicom_are_a_volume(tmp_path):
    frames = RANDOM.integers(0, 65536, (5, 6, 8), dtype=np.uint16)
    dicom(tmp_path / "a.dcm", frames)
    suite = folder(tmp_path, axis=0)
    assert suite.cases() == [f"a.dcm:{i:03d}" for i in range(5)]
    np.testing.assert_allclose(suite.load("a.dcm:003").input[0, 0], frames[3] / 65535, rtol=1e-6)


def test_dicom_is_known_without_a_suffix(tmp_path):
    dicom(tmp_path / "IM0001", GREY16)
    np.testing.assert_allclose(image(tmp_path, glob="*")[0], GREY16 / 65535, rtol=1e-6)


def test_a_broken_volume_is_one_case_that_says_so(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"no volume")
    np.save(tmp_path / "b.npy", VOLUME)
    suite = folder(tmp_path, axis=0)
    assert suite.cases() == ["a.nii", *(f"b.npy:{i:03d}" for i in range(5))]
    with pytest.raises(DataError, match=r"truncated or not read: .*a\.nii \("):
        suite.load("a.nii")


BROKEN = {
    "empty.png": b"",
    "text.jpg": b"text",
    "cut.png": b"\x89PNG\r\n\x1a\n broken",
    "a.tif": b"II*\0 no",
    "a.npy": b"\x93NUMPY",
    "a.npz": b"PK no",
    "a.nii.gz": b"\x1f\x8b no",
    "a.dcm": b"no",
    "a.nrrd": b"NRRD0004\n no",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    suite = folder(tmp_path)
    with pytest.raises(DataError) as caught:
        suite.load(*suite.cases())
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 2, 2, 2), np.float32), r"has 4 axes, \(2, 2, 2, 2\)"),
        (np.zeros((0, 5), np.float32), r"is empty"),
        (np.zeros((5, 5), np.complex64), r"holds complex64, not real numbers"),
        (np.zeros((5, 5, 4), np.float32), r"4 channels, which are no colours: mode=asis"),
    ],
)
def test_an_array_that_is_no_image_is_named_with_the_remedy(tmp_path, values, said):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match=said):
        folder(tmp_path).load("a.npy")


def test_several_arrays_in_a_file_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", image=FLOATS, mask=FLOATS)
    with pytest.raises(DataError, match=r"a\.npz holds image, mask: keep one array in a file"):
        folder(tmp_path).load("a.npz")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("mode=gray", "no mode 'gray'. Did you mean grey?"),
        ("range=1..0", "range=1..0 is no range: write range=0..1"),
        ("size=big", "size=big is no size: write 256 or 256x320"),
        ("crop=1x2x3", "crop=1x2x3 is no size"),
        ("group='('", "group=( is no regular expression"),
        ("axis=3", "axis=3 is not 0, 1 or 2"),
        ("sort=size", "has no sort 'size'"),
        ("n=0", "n=0 must be at least 1"),
        ("targets=/nowhere", "targets=/nowhere is no folder"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused_in_one_line(tmp_path, settings, said):
    with pytest.raises(UsageError) as caught:
        load_suite(f"folder,path={tmp_path},{settings}")
    assert said in str(caught.value)


def test_a_folder_is_asked_for_where_none_is_given_or_it_is_empty(tmp_path):
    with pytest.raises(UsageError, match="needs a folder: -s folder,path=DIR"):
        load_suite("folder")
    with pytest.raises(UnavailableError, match="path=/nowhere is no folder"):
        load_suite("folder,path=/nowhere")
    with pytest.raises(UnavailableError, match=r"no file in .* has a suffix of an image"):
        folder(tmp_path).cases()
    with pytest.raises(UnavailableError, match=r"no file in .* matches \*\.gif"):
        folder(tmp_path, glob="*.gif").cases()


def test_a_missing_library_is_told_once_with_the_extra_that_brings_it(tmp_path, monkeypatch):
    from equibench.suites.reading import image_files

    np.save(tmp_path / "a.npy", FLOATS)
    (tmp_path / "b.nii.gz").touch()
    monkeypatch.setattr(image_files, "_installed", lambda module: module != "nibabel")
    assert missing_readers({".npy", ".nii", ".nii.gz"}) == {"nibabel": [".nii", ".nii.gz"]}
    suite = folder(tmp_path)
    with pytest.raises(UnavailableError, match=r"\.nii\.gz files need nibabel; pip install 'equib"):
        suite.cases()
    assert folder(tmp_path, glob="*.npy").cases() == ["a.npy"]


def test_verify_says_what_there_is_and_names_what_cannot_be_read(tmp_path):
    Image.fromarray(np.array([[3, 250]], np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((5, 4), 9, np.uint8)).save(tmp_path / "b.png")
    np.save(tmp_path / "c.npy", np.array([[-1.5, 2]], np.float32))
    (tmp_path / "d.png").write_bytes(b"no image")
    (tmp_path / "._a.png").write_bytes(b"hidden")
    report = folder(tmp_path).verify()
    assert not report.ok
    assert str(report).splitlines()[:3] == [
        str(tmp_path),
        "float32 grey, 1×2, values -1.5 to 2: 1 of 1 images in 1 file, complete",
        "uint8 grey, 1×2, 5×4, values 3 to 250: 2 of 2 images in 2 files, complete",
    ]
    (broken,) = str(report).splitlines()[3:]
    assert broken.startswith(f"broken: truncated or no image: {tmp_path / 'd.png'} (")


def test_a_run_names_the_broken_file_and_has_rows_of_all_others(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        Image.fromarray(RANDOM.integers(0, 256, (16, 16 + 8 * i), dtype=np.uint8)).save(
            photos / f"{i}.png"
        )
    (photos / "broken.png").write_bytes(b"no image")
    model = torch.nn.Conv2d(1, 1, 3, padding=1)
    with pytest.raises(DataError, match=r"broken\.png"):
        eb.evaluate(model, f"folder,path={photos}", shifts="random:n=2,max=4")
    rows = eb.evaluate(
        model, f"folder,path={photos},glob=[0-9].png", shifts="random:n=2,max=4"
    ).rows
    assert set(rows["case"]) == {"0.png", "1.png", "2.png"}
    assert set(rows["suite"]) == {"folder:photos"}


def test_a_new_user_gets_a_table_of_mixed_images_and_the_name_of_the_broken_one(tmp_path, cli):
    """Every number of the others is that of ten lines of PyTorch."""
    photos = tmp_path / "photos"
    photos.mkdir()
    turned = Image.fromarray(RANDOM.integers(0, 256, (64, 32), dtype=np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(photos / "exif.png", exif=exif)
    deep = RANDOM.integers(0, 4096, (32, 32), dtype=np.uint16)
    Image.fromarray(deep).save(photos / "deep.png")
    rgba = RANDOM.integers(0, 256, (32, 32, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(photos / "rgba.png")
    (photos / "broken.png").write_bytes(b"no image")
    (photos / "._deep.png").write_bytes(b"hidden")
    (tmp_path / "net.py").write_text(
        "import torch\ndef build():\n"
        "    torch.manual_seed(0)\n"
        "    return torch.nn.Conv2d(1, 1, 3, stride=1, padding=1)\n"
    )
    shifts = "--shifts", "random:n=2,max=8", "--out", "run"
    status, out, err = cli("run", "-m", "net.py:build", "-s", "folder,path=photos", *shifts)
    assert status == 1
    assert "folder:photos" in out
    (failed,) = [line for line in err.splitlines() if line.startswith("failed:")]
    assert "photos/broken.png" in failed
    torch.manual_seed(0)
    net = torch.nn.Conv2d(1, 1, 3, stride=1, padding=1).double()
    by_hand = {
        "deep.png": deep / 65535,
        "rgba.png": rgba[..., :3] @ LUMA / 255,
        "exif.png": np.rot90(np.asarray(turned), -1) / 255,
    }
    rows = pd.read_parquet(tmp_path / "run/rows")
    assert set(rows["case"]) == set(by_hand)
    for row in rows.itertuples():
        x = torch.from_numpy(by_hand[row.case].copy())[None, None]
        with torch.no_grad():
            y = net(x)
            shifted = net(x.roll((row.dy, row.dx), (2, 3))).roll((-row.dy, -row.dx), (2, 3))
        error = float((shifted - y).square().sum() / y.square().sum())
        assert row.eq_nmse == pytest.approx(error, rel=1e-3, abs=1e-10)


def test_a_volume_that_a_network_takes_as_a_whole_has_its_slices_along_the_axis(tmp_path):
    values = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    np.save(tmp_path / "scan.npy", values)
    assert np.array_equal(image(tmp_path, dims=3), values[None])
    assert np.array_equal(image(tmp_path, dims=3, axis=2), np.moveaxis(values, 2, 0)[None])
    assert folder(tmp_path, dims=3).axes == 3


@pytest.mark.parametrize("shape", [(20,), (3, 20)])
def test_arrays_are_signals_where_that_is_asked_for(tmp_path, shape):
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    np.save(tmp_path / "ecg.npy", values)
    assert np.array_equal(image(tmp_path, dims=1), np.atleast_2d(values))


def test_ground_truths_of_volumes_have_their_axes(tmp_path):
    values = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    for name, what in (("noisy", values), ("clean", values + 1)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", what)
    suite = folder(tmp_path / "noisy", targets=str(tmp_path / "clean"), dims=3)
    assert suite.load("a.npy").target.shape == (1, 1, 4, 5, 6)


@pytest.mark.parametrize(
    ("shape", "settings", "said"),
    [
        ((5, 6), {"dims": 3}, r"a.npy is no volume, but of \(5, 6\): leave dims=3 out"),
        ((4, 5, 6), {"dims": 1}, r"has 3 axes: a signal is \(L,\) or \(C, L\)"),
        ((20,), {}, "has 1 axes, .*or take signals with dims=1"),
    ],
)
def test_files_of_other_axes_are_refused_with_the_remedy(tmp_path, shape, settings, said):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    with pytest.raises(DataError, match=said):
        image(tmp_path, **settings)
    with pytest.raises(UsageError, match="dims=1 has no size, crop, axis or volume"):
        folder(tmp_path, dims=1, crop=8)
    with pytest.raises(UsageError, match="dims=4 is not 1, 2 or 3"):
        folder(tmp_path, dims=4)
