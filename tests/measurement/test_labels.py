"""Networks that label pixels: what their labels do under shifts, and beside a ground truth."""

import numpy as np
import pandas as pd
import pytest
import torch
from lazy_imports import Lazy
from PIL import Image
from torch.utils.data import TensorDataset

import equibench as eb
from equibench.inference.adapters import Unfit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

torchmetrics = Lazy("torchmetrics.functional.classification")

CLASSES = 3
METRICS = ("agreement", "iou", "dice")
THEIRS = {
    "agreement": lambda p, t, **o: torchmetrics.multiclass_accuracy(p, t, average="micro", **o),
    "iou": lambda p, t, **o: torchmetrics.multiclass_jaccard_index(p, t, **o),
    "dice": lambda p, t, **o: torchmetrics.multiclass_f1_score(p, t, average="macro", **o),
}


class Net(torch.nn.Module):
    """Logits (B, 3, H, W); zero padding and pooling make them change under shifts."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, CLASSES, 3, padding=1)
        with torch.no_grad():
            random = torch.Generator().manual_seed(3)
            self.conv.weight.copy_(torch.randn(self.conv.weight.shape, generator=random))
            self.conv.bias.zero_()

    def forward(self, x):
        coarse = torch.nn.functional.max_pool2d(x, 2)
        return self.conv(torch.nn.functional.interpolate(coarse, scale_factor=2.0))


@pytest.fixture(scope="module")
def data():
    random = torch.Generator().manual_seed(0)
    images = torch.randn(3, 1, 16, 24, generator=random)
    truth = torch.randint(-1, CLASSES, (3, 16, 24), generator=random)
    return TensorDataset(images, truth)


@pytest.fixture(scope="module")
def rows(data):
    model = eb.adapt(Net(), "out.labels=argmax")
    shifts = "random:n=4,max=8"
    return eb.evaluate(model, data, metrics=METRICS, shifts=shifts, progress=False).rows


def theirs(name, prediction, truth):
    options = {"num_classes": CLASSES, "ignore_index": -1, "validate_args": False}
    return float(THEIRS[name](prediction, truth, **options))


@pytest.mark.parametrize("name", METRICS)
def test_rows_are_what_torchmetrics_says_of_labels_made_by_hand(rows, data, name):
    net = Net()
    for row in rows.itertuples():
        image, truth = data[int(row.case)]
        with torch.no_grad():
            labels = net(image[None]).argmax(dim=1)
            moved = net(image[None].roll((row.dy, row.dx), (-2, -1))).argmax(dim=1)
        back = moved.roll((-row.dy, -row.dx), (-2, -1))
        quality, shifted = theirs(name, labels, truth[None]), theirs(name, back, truth[None])
        close = {"rel": 1e-6, "abs": 1e-6}
        assert getattr(row, f"eq_{name}") == pytest.approx(theirs(name, back, labels), **close)
        assert getattr(row, name) == pytest.approx(quality, **close)
        assert getattr(row, f"{name}_shifted") == pytest.approx(shifted, **close)
        assert getattr(row, f"delta_{name}") == pytest.approx(abs(shifted - quality), **close)


def test_the_nmse_of_class_maps_is_twice_the_share_of_pixels_that_change(rows):
    twice = 2 * (1 - rows["eq_agreement"])
    assert rows["eq_nmse"].tolist() == pytest.approx(twice.tolist(), abs=1e-12)
    assert rows["nmse"].isna().all()


def test_shifts_are_those_of_an_image_whatever_is_made_of_outputs(rows, data):
    images, _ = data.tensors
    plain = eb.evaluate(Net(), images, shifts="random:n=4,max=8", progress=False).rows
    assert (plain[["dy", "dx"]].to_numpy() == rows[["dy", "dx"]].to_numpy()).all()


def test_one_channel_is_labelled_by_a_threshold_above_which_is_class_1():
    model = eb.adapt(lambda x: x, "out.labels=threshold:0.5")
    x = torch.tensor([[[[0.4, 0.5], [0.6, -1.0]]]])
    assert model(x).tolist() == [[[[1, 1], [0, 1]], [[0, 0], [1, 0]]]]


def test_of_equal_channels_the_first_has_the_pixel():
    model = eb.adapt(lambda x: x, "out.labels=argmax")
    x = torch.tensor([[1.0, 0.0], [1.0, 2.0], [0.0, 2.0]]).view(1, 3, 1, 2)
    assert model(x).argmax(dim=1).tolist() == [[[0, 1]]]
    assert model(x).sum(dim=1).tolist() == [[[1, 1]]]


def test_a_pixel_that_is_no_number_has_no_label():
    for keys, channels in (("argmax", 2), ("threshold:0", 1)):
        x = torch.zeros(1, channels, 1, 2)
        x[0, 0, 0, 1] = torch.nan
        labelled = eb.adapt(lambda x: x, f"out.labels={keys}")(x)
        assert labelled.isnan().any(dim=1).tolist() == [[[False, True]]]


def test_labels_that_cannot_be_made_are_refused_with_the_remedy():
    image, colours = torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)
    with pytest.raises(Unfit, match=r"the output has 1 channel: out\.labels=threshold:0"):
        eb.adapt(lambda x: x, "out.labels=argmax")(image)
    with pytest.raises(Unfit, match=r"3 channels: out\.labels=argmax, or out\.channel=0"):
        eb.adapt(lambda x: x, "out.labels=threshold:0")(colours)
    for wrong in ("softmax", "threshold", "threshold:half", "argmax:1"):
        with pytest.raises(
            eb.UsageError, match=f"out.labels={wrong}: write argmax, or threshold:0"
        ):
            eb.adapt(lambda x: x, f"out.labels={wrong}")
    with pytest.raises(eb.UsageError, match=r"out\.labels are no image: leave out\.restore out"):
        eb.adapt(lambda x: x, "out.labels=argmax,out.restore=true")


def refusal(model, data, metrics=()):
    with pytest.raises(eb.EquibenchError) as refused:
        eb.evaluate(model, data, metrics=metrics, shifts="random:n=1,max=4", progress=False)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_metric_that_does_not_fit_the_output_names_the_remedy(data):
    labelled = eb.adapt(Net(), "out.labels=argmax")
    images = data.tensors[0]
    assert "iou compares labels, and these are none: set out.labels=argmax" in refusal(
        Net(), images, ["iou"]
    )
    said = "psnr compares images, and these are labels: choose others, --metrics agreement,iou,dice"
    assert said in refusal(labelled, images, ["psnr"])
    assert "choose others, --metrics agreement,iou,dice" in refusal(labelled, images)
    assert "dice-class-3: there are 3 classes, 0 to 2" in refusal(
        labelled, images, ["dice-class-3"]
    )
    assert "the ground truth is classes, and the output is none: set out.labels" in refusal(
        Net(), data, ["nmse"]
    )
    assert "the output is labels, and the ground truth (1, 1, 16, 24) no map of classes" in refusal(
        labelled, [(images[0], images[0])], METRICS
    )
    seven = torch.full((1, 16, 24), 7)
    assert "the ground truth has class 7 of 3, counted from 0: give the network as" in refusal(
        labelled, [(images[0], seven)], METRICS
    )
    assert "Did you mean dice" in refusal(labelled, images, ["diec"])


def test_an_equivariant_network_that_labels_has_the_value_1_everywhere():
    net = torch.nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular")
    model = eb.adapt(net, "out.labels=argmax")
    metrics = [*METRICS, "boundary-dice", "dice-class-1"]
    images = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    result = eb.evaluate(model, images, metrics=metrics, shifts="grid:max=8,step=4", progress=False)
    for metric in metrics:
        assert (result.rows[f"eq_{metric.replace('-', '_')}"] == 1).all()
    assert (result.summary["flips"] == 0).all()


@pytest.fixture
def folders(tmp_path):
    random = np.random.default_rng(0)
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(2):
        photo = random.integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(photo).save(tmp_path / f"photos/{i}.png")
        classes = random.choice([0, 1, 255], (32, 32)).astype(np.uint8)
        Image.fromarray(classes).save(tmp_path / f"masks/{i}.png")
    return tmp_path


@pytest.mark.long
@pytest.mark.parametrize("isolate", [(), ("--isolate",)])
def test_a_folder_of_masks_is_measured_by_labels_on_the_command_line(folders, cli, isolate):
    model = "smp-unet,out_channels=2,label=net,out.labels=argmax"
    suite = "folder,path=photos,labels=masks"
    shifts = "--shifts", "random:n=2,max=8", "--out", "run"
    status, out, err = cli("run", "-m", model, "-s", suite, *shifts, *isolate)
    assert status == 0, err
    assert "Dice" in out
    rows = pd.read_parquet(folders / "run/rows")
    net = eb.load_model("smp-unet,out_channels=2").eval()
    for row in rows.itertuples():
        photo = np.asarray(Image.open(folders / "photos" / row.case)) / 255
        mask = torch.from_numpy(np.asarray(Image.open(folders / "masks" / row.case)).copy()).long()
        x = torch.from_numpy(photo).float()[None, None]
        with torch.no_grad():
            labels = net(x).argmax(dim=1)
        options = {"num_classes": 2, "ignore_index": 255}
        assert row.iou == pytest.approx(
            float(torchmetrics.multiclass_jaccard_index(labels, mask[None], **options)), rel=1e-6
        )
        dice = float(
            torchmetrics.multiclass_f1_score(labels, mask[None], average="macro", **options)
        )
        assert row.dice == pytest.approx(dice, rel=1e-6)


@pytest.mark.slow
def test_metrics_are_chosen_for_a_suite_or_for_all(folders, cli):
    model = "smp-unet,out_channels=2,label=net,out.labels=argmax"
    suites = (
        "-s",
        "folder,path=photos,metrics=boundary-dice-2px/dice-class-1",
        "-s",
        "noise,n=1,size=32",
    )
    status, _, err = cli(
        "run", "-m", model, *suites, "--metrics", "agreement,iou", "--shifts", "random:n=2,max=8",
        "--out", "run",
    )  # fmt: skip
    assert status == 0, err
    rows = pd.read_parquet(folders / "run/rows").set_index("suite")
    assert rows.loc["folder:photos", "eq_dice_class_1"].notna().all()
    assert rows.loc["folder:photos", "eq_boundary_dice_2px"].notna().all()
    assert rows.loc["folder:photos", "eq_agreement"].isna().all()
    assert rows.loc["noise", "eq_agreement"].notna().all()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-s", "noise,metrics=diec"), "diec"),
        (("-s", "noise", "--metrics", "diec"), "dice"),
        (("-s", "folder,path=photos,labels=masks,targets=masks"), "both a ground truth: take one"),
    ],
)
def test_mistakes_in_what_is_measured_stop_a_run_at_once(folders, cli, arguments, said):
    status, _, err = cli("run", "-m", "unet-baseline,width=0.05", *arguments, "--out", "run")
    assert status == 2
    assert said in err


def test_metrics_of_a_model_are_refused(cli):
    status, _, err = cli("run", "-m", "unet-baseline,metrics=iou", "-s", "noise,n=1,size=32")
    assert status != 0
    assert "metrics=iou at model 'unet-baseline': metrics belong to suites" in err


def test_one_line_of_a_test_holds_labels_to_a_limit(data):
    shifts = "random:n=2,max=8"
    net = torch.nn.Conv2d(1, CLASSES, 3, padding=1, padding_mode="circular")
    good = eb.adapt(net, "out.labels=argmax")
    limits = {"eq_iou": 0.99, "delta_dice": 0.01}
    eb.assert_shift_equivariant(good, data, metrics=METRICS, limits=limits, shifts=shifts)
    bad = eb.adapt(Net(), "out.labels=argmax")
    with pytest.raises(AssertionError, match=r"worst equivariance IoU is 0\.\d+, below the limit"):
        eb.assert_shift_equivariant(bad, data, metrics=METRICS, limits=limits, shifts=shifts)
    with pytest.raises(eb.UsageError, match="eq_ssim was not measured, but eq_agreement, eq_dic"):
        eb.assert_shift_equivariant(good, data, metrics=METRICS, ssim=0.9, shifts=shifts)


@pytest.mark.long
def test_a_baseline_holds_labels_of_a_run_to_what_they_were(folders, cli):
    shared = ("-s", "folder,path=photos,labels=masks", "--shifts", "random:n=2,max=8")
    model = "smp-unet,out_channels=2,label=net,out.labels=argmax"
    assert cli("run", "-m", model, *shared, "--out", "old")[0] == 0
    assert cli("check", "old", "--against", "base.json", "--update")[0] == 0
    assert cli("check", "old", "--against", "base.json")[0] == 0
    worse = "smp-unet,out_channels=2,label=net,out.labels=argmax,encoder=resnet34"
    assert cli("run", "-m", worse, *shared, "--out", "new", "--seed", 1)[0] == 0
    status, out, _ = cli("check", "new", "--against", "base.json")
    assert status == 1
    assert "eq_iou" in out


@pytest.mark.parametrize("transform", ["crop:random:n=3,max=4,window=16,margin=1", "d4"])
def test_labels_are_compared_under_other_motions_where_both_are_defined(transform):
    images = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    truth = torch.randint(0, CLASSES, (2, 32, 32), generator=torch.Generator().manual_seed(1))
    model, data = eb.adapt(Net(), "out.labels=argmax"), TensorDataset(images, truth)
    rows = eb.evaluate(
        model, data, metrics=METRICS, shifts="", transforms=[transform], progress=False
    ).rows
    assert (rows["eq_agreement"] < 1).any()
    twice = 2 * (1 - rows["eq_agreement"])
    assert rows["eq_nmse"].tolist() == pytest.approx(twice.tolist(), abs=1e-12)
    assert rows["delta_dice"].notna().all()


def test_a_transform_that_changes_values_is_refused_for_labels():
    images = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    model = eb.adapt(Net(), "out.labels=argmax")
    with pytest.raises(eb.ModelError, match="intensity changes values, and labels have none: take"):
        eb.evaluate(model, images, metrics=METRICS, transforms=["intensity"], progress=False)
