"""Transforms undo what they do; what does not is refused, in a test and when a run starts."""

import numpy as np
import pytest
import torch

import equibench as eb
from equibench.testing import check_metric, check_model, check_suite, check_transform
from equibench.transforms.transform_specs import parse_transform

BUILT_IN = (
    "circular:grid:max=4,step=3", "crop:grid:max=6,step=3,margin=2", "tile:size=24,overlap=8",
    "fourier:n=4", "fourier:max=1,step=0.5", "d4:grid=3", "intensity:a=0.5/-3,b=0/2",
)  # fmt: skip


class Turned(eb.Transform):
    """Turned to the left, and ..."""

    lossless = True
    group = True

    def __init__(self, undoing="right"):
        self.undoing = undoing

    def elements(self, seed, suite, case, size):
        return np.array([[1], [2], [3]])

    def numbers(self, size):
        return 1

    def shifts(self, elements):
        return None

    def element(self, element):
        return f"{element[0]} quarter turns"

    def moved_size(self, element, size):
        return size[::-1] if element[0] % 2 else size

    def move(self, image, element):
        return image.rot90(int(element[0]), (-2, -1))

    def undo(self, output, element, size):
        k = int(element[0])
        match self.undoing:
            case "the wrong way":
                return output.rot90(k, (-2, -1))
            case "with channels flipped":
                return output.rot90(-k, (-2, -1)).flip(0)
            case "raising":
                raise KeyError("turn")
        return output.rot90(-k, (-2, -1))

    def compose(self, last, first, size):
        return [(last[0] + first[0] + (self.undoing == "no group")) % 4]


@pytest.mark.parametrize("text", BUILT_IN)
def test_the_transforms_of_equibench_keep_the_contract(text):
    check_transform(text)


@pytest.mark.parametrize("text", ["crop:window=8,grid:max=2", "fourier", "circular", "intensity"])
@pytest.mark.parametrize("size", [(40,), (16, 18, 20)])
def test_those_that_need_no_two_axes_move_signals_and_volumes(text, size):
    text = "crop:grid:max=2,window=8" if text.startswith("crop") else text
    text = "circular:random:n=3,max=9" if text == "circular" else text
    check_transform(text, sizes=[size])


def test_a_transform_that_undoes_what_it_does_passes():
    check_transform(Turned())


@pytest.mark.parametrize(
    ("undoing", "said"),
    [
        ("the wrong way", r"undo\(\) after move\(\) leaves an NMSE of .* under 1 quarter"),
        ("with channels flipped", r"undo\(\) after move\(\) leaves an NMSE of .* under 1 quarter"),
        ("raising", "cannot move images: KeyError: .turn."),
        ("no group", r"\(1,\), then \(1,\) is not \(3,\)"),
    ],
)
def test_a_wrong_transform_is_refused_by_its_contract(undoing, said):
    with pytest.raises(eb.UsageError, match=said):
        check_transform(Turned(undoing), sizes=[(16, 16), (15, 21)])


def test_a_run_with_a_wrong_inverse_stops_before_it_measures(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np, equibench as eb\n"
        "class Wrong(eb.Transform):\n"
        "    lossless = True\n"
        "    def elements(self, seed, suite, case, size):\n"
        "        return np.array([[1, 0]])\n"
        "    def move(self, image, element):\n"
        "        return image.roll([int(k) for k in element], (-2, -1))\n"
        "    undo = lambda self, output, element, size: self.move(output, element)\n"
    )
    calls = []
    with pytest.raises(eb.UsageError) as refused:
        eb.evaluate(
            lambda x: calls.append(1) or x, torch.rand(1, 1, 16, 16), progress=False,
            transforms=[f"{file}:Wrong"],
        )  # fmt: skip
    assert "is wrong: undo() after move() leaves an NMSE of" in str(refused.value)
    assert "mend it until equibench.testing.check_transform passes" in str(refused.value)
    assert "\n" not in str(refused.value)


def third_party(element, image):
    """The same by torch's own functions."""
    return {
        "rot90": lambda x: torch.rot90(x, 1, (-2, -1)),
        "rot180": lambda x: torch.rot90(x, 2, (-2, -1)),
        "rot270": lambda x: torch.rot90(x, 3, (-2, -1)),
        "flip left-right": lambda x: torch.flip(x, (-1,)),
        "flip up-down": lambda x: torch.flip(x, (-2,)),
        "transpose": lambda x: x.mT,
        "anti-transpose": lambda x: torch.rot90(x.mT, 2, (-2, -1)),
    }[element](image)


def test_turns_and_flips_are_those_of_torch_on_odd_images_that_are_not_square():
    d4 = parse_transform("d4:grid=1")
    image = torch.rand(3, 37, 53)
    elements = d4.elements(0, "", "", (37, 53)).tolist()
    assert len(elements) == 7
    for element in elements:
        assert torch.equal(d4.move(image, element), third_party(d4.element(element), image))


@pytest.mark.parametrize("size", [(32, 48), (31, 47), (25,), (6, 7, 8)])
def test_fourier_shifts_by_whole_pixels_are_rolls(size):
    fourier = parse_transform("fourier")
    image = torch.rand(2, *size, dtype=torch.float64)
    for shift in [(1, -2, 3), (0, 5, -7), (-4, 0, 0)]:
        element = shift[: len(size)]
        rolled = image.roll(element, tuple(range(-len(size), 0)))
        assert torch.allclose(fourier.move(image, element), rolled, atol=1e-12)


def test_two_windows_hold_the_same_pixels_displaced():
    crop = parse_transform("crop:window=8")
    image = torch.arange(24.0 * 24).reshape(1, 24, 24)
    first, second = crop.move(image, (0, 0)), crop.move(image, (2, -3))
    assert torch.equal(first[0], image[0, 8:16, 8:16])
    assert torch.equal(second[0, 2:, :5], first[0, :6, 3:])  # the image has moved by (2, -3)


def test_tiles_cover_the_image_and_share_their_overlap():
    tile = parse_transform("tile:size=16,overlap=6")
    seen = torch.zeros(40, 33)
    for y, x in tile.elements(0, "", "", (40, 33)).tolist():
        seen[y : y + 16, x : x + 16] += 1
    assert (seen > 0).all()
    compared = torch.zeros(40, 33)
    for element in tile.elements(0, "", "", (40, 33)).tolist():
        compared[tile.region(element, (40, 33))] += 1
    assert (compared > 0).all()


def run(*transforms, size=(32, 48), model=None):
    model = model or (lambda x: x)
    images = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0))
    return eb.evaluate(model, images, transforms=transforms, device="cpu", progress=False)


def two_sizes(x):
    if x.shape[-2:] != (32, 48):
        raise ValueError("I was built for 32×48")
    return x


@pytest.mark.parametrize(
    ("transform", "said", "followed"),
    [
        ("crop:window=40", "take window=", None),
        ("crop:window=24", "displaced by up to 16 leaves an image of 32×48: take", None),
        ("crop:random:n=3,max=4,window=16,margin=9", "take margin=",
         "crop:random:n=3,max=4,window=16,margin=2"),
        ("crop:random:n=3,max=4,window=30", "take window=28 or less",
         "crop:random:n=3,max=4,window=24"),
        ("crop:margin=-1", "window and margin are pixels", "crop:random:n=2,max=4,margin=0"),
        ("crop:side=4", "takes", "crop:random:n=2,max=4,window=16"),
        ("tile:size=16,overlap=16", "take overlap=8 or less", "tile:size=16,overlap=8"),
        ("tile:size=16,margin=8", "take margin=7 or less", "tile:size=16,margin=4"),
        ("intensity:a=0", "a=0 leaves nothing of an image", "intensity:a=2"),
        ("intensity:a=1", "a=1 with b=0 changes nothing", "intensity:a=1,b=1"),
        ("intensity:a=two", "a=two is no number", "intensity:a=2"),
        ("fourier:n=0", "n is at least 1", "fourier:n=1"),
        ("d4:grid=0", "grid=0 is not from 1 to 64", "d4:grid=1"),
        ("d4:random:n=3", "d4 draws no shifts; it takes grid", "d4"),
        ("d5", "no transform is called 'd5'", "d4"),
    ],
)  # fmt: skip
def test_a_bad_transform_is_one_line_with_a_remedy_that_works(transform, said, followed):
    with pytest.raises(eb.EquibenchError) as refused:
        run(transform)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    if followed:
        run(followed)


def test_two_transforms_of_one_name_need_a_label():
    with pytest.raises(eb.UsageError, match="two transforms are called 'd4': give one a label="):
        run("d4", "d4:grid=1")
    rows = run("d4", "d4:grid=1,label=strict").rows
    assert rows["transform"].unique().tolist() == ["d4", "strict"]


def test_a_model_of_one_size_is_refused_under_rotations_with_what_mends_it():
    with pytest.raises(eb.ModelError) as refused:
        run("d4", model=two_sizes)
    said = str(refused.value)
    assert "I was built for 32×48" in said
    assert "transform d4 gave it images of 48×32 in place of 32×48: take images whose size" in said
    assert "\n" not in said


def test_volumes_are_not_turned_and_that_is_said():
    with pytest.raises(eb.UsageError, match="d4 turns images"):
        parse_transform("d4").elements(0, "", "", (8, 8, 8))


def test_the_plan_of_shifts_may_stand_in_a_file_beside_settings(tmp_path):
    (tmp_path / "s.csv").write_text("dy,dx\n3,-2\n")
    crop = parse_transform(f"crop:file:{tmp_path / 's.csv'},window=16,margin=1")
    assert crop.elements(0, "", "", (32, 32)).tolist() == [[3, -2]]
    assert (crop.window, crop.margin) == (16, 1)


def test_models_suites_and_metrics_of_equibench_keep_their_contracts():
    assert len(check_model("unet-aps,width=0.05")) == 1
    check_suite("noise,n=2,size=32")
    for metric in ("nmse", "psnr", "ssim", "ssim-columns"):
        check_metric(metric)


def test_a_suite_that_loads_something_else_again_breaks_its_contract():
    class Fresh(eb.Suite):
        name = label = "fresh"

        def cases(self):
            return ["a"]

        def load(self, name):
            return eb.Case(name, torch.rand(1, 1, 8, 8))

    with pytest.raises(AssertionError, match="case a loads another input again"):
        check_suite(Fresh())


def test_a_metric_that_is_wrong_about_its_direction_breaks_its_contract():
    from equibench.metrics.squared_error import NMSE

    class Upside(NMSE):
        higher_is_better = True
        bounds = (0.0, 1.0)

    with pytest.raises(AssertionError):
        check_metric(Upside())


def test_a_random_model_breaks_its_contract():
    with pytest.raises(AssertionError, match="the model random"):
        check_model(lambda x: x + torch.rand_like(x))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crop:n=3", "transform 'crop', plan 'random:n=3': random takes n, max; write "),
        ("crop:grid:n=3", "transform 'crop', plan 'grid:n=3': grid takes max, step; write "),
        ("crop:file", "transform 'crop', plan 'file': no such plan; write "),
        ("crop:random:n=x,max=3", "'n=x' in 'random:n=x,max=3' is not setting=integer; write "),
    ],
)
def test_a_plan_that_cannot_be_read_is_refused_with_one_of_its_transform_that_can(text, said):
    with pytest.raises(eb.UsageError) as refused:
        parse_transform(text)
    message = str(refused.value)
    assert message.startswith(said)
    for remedy in message.partition("; write ")[2].split(" · "):
        assert parse_transform(remedy).name == "crop"


@pytest.mark.parametrize("text", ["crop:window=x", "fourier:n=x", "tile:size=x", "d4:grid=x"])
def test_a_setting_that_is_no_number_is_refused_with_one_that_is(text):
    with pytest.raises(eb.UsageError, match="is no number: write ") as refused:
        parse_transform(text)
    parse_transform(str(refused.value).partition("write ")[2])
