"""The metric of torchmetrics: the numbers of ``evaluate``, however the images are handed over."""

import pickle
from copy import deepcopy

import pytest
import torch
import torch.multiprocessing as mp
from gloo_ranks import SHIFTS, Network, metric, on_a_rank
from lazy_imports import Lazy
from processes import context

import equibench as eb
from equibench.statistics.averages import mean

plt, torchmetrics = Lazy("matplotlib.pyplot"), Lazy("torchmetrics")
integration = Lazy("equibench.integrations.torchmetrics")


@pytest.fixture(scope="module")
def images():
    return torch.randn(5, 1, 16, 24, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture(scope="module")
def rows(images):
    found = eb.evaluate(Network(), images, shifts=SHIFTS, precision="fp64", device="cpu").rows
    return found[found["draw"] > 0]


def expected(rows, column, statistic):
    values, covers = rows[column].to_numpy(), rows["covers"].to_numpy()
    return {
        "mean": lambda: mean(values, covers),
        "max": values.max,
        "min": values.min,
        "median": lambda: sorted(values)[len(values) // 2],
    }[statistic]()


@pytest.mark.parametrize("sizes", [[5], [1, 4], [2, 2, 1]])
@pytest.mark.parametrize(
    ("name", "statistic", "here"),
    [("nmse", "mean", "mean"), ("nmse", "worst", "max"), ("nmse", "median", "median"),
     ("ssim", "mean", "mean"), ("ssim", "worst", "min"), ("psnr", "worst", "min")],
)  # fmt: skip
def test_it_is_what_evaluate_says_to_the_last_bit(images, rows, sizes, name, statistic, here):
    metric_ = metric(name, statistic)
    for part in images.split(sizes):
        metric_.update(Network(), part)
    assert metric_.compute().item() == expected(rows, f"eq_{name}", here)


def test_forward_gives_the_batch_alone_and_adds_it_to_the_whole(images, rows):
    metric_ = metric()
    parts = images.split([2, 3])
    values = [metric_(Network(), part).item() for part in parts]
    cases = [["00000", "00001"], ["00002", "00003", "00004"]]
    mine = [rows[rows["case"].isin(names)] for names in cases]
    assert values == [expected(part, "eq_nmse", "mean") for part in mine]
    assert values[0] != values[1]
    assert metric_.compute().item() == expected(rows, "eq_nmse", "mean")


def test_reset_forgets_everything(images):
    metric_ = metric()
    metric_.update(Network(), images[:2])
    first = metric_.compute()
    metric_.reset()
    assert metric_.values == []
    metric_.update(Network(), images[:2])
    assert metric_.compute() == first


@pytest.mark.parametrize("copied", [deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_goes_on_where_the_original_is(images, rows, copied):
    metric_ = metric()
    metric_.update(Network(), images[:2])
    other = copied(metric_)
    other.update(Network(), images[2:])
    assert other.compute().item() == expected(rows, "eq_nmse", "mean")
    assert len(metric_.values) == 1


def test_states_are_kept_with_a_checkpoint_when_that_is_asked_for(images, rows):
    metric_, other = metric(), metric()
    metric_.persistent(True)
    metric_.update(Network(), images[:2])
    other.load_state_dict(metric_.state_dict())
    other.update(Network(), images[2:])
    assert other.compute().item() == expected(rows, "eq_nmse", "mean")
    assert metric().state_dict() == {}


def test_states_of_two_processes_are_merged(images, rows):
    one, other = metric(), metric()
    one.update(Network(), images[:2])
    other._before = 2  # the images that the first one has seen
    other.update(Network(), images[2:])
    one.merge_state(other)
    assert one.compute().item() == expected(rows, "eq_nmse", "mean")
    assert int(one.seen) == 5


def test_statistics_of_a_collection_share_their_passes(images, rows):
    network = Network()
    both = torchmetrics.MetricCollection({"mean": metric(), "worst": metric(statistic="worst")})
    both.update(network, images[:1])
    before = network.calls = 0
    both.update(network, images[1:])
    together = network.calls - before
    single = Network()
    metric().update(single, images[1:])
    found = both.compute()
    assert together == single.calls
    assert found["mean"].item() == expected(rows, "eq_nmse", "mean")
    assert found["worst"].item() == expected(rows, "eq_nmse", "max")


def test_the_network_is_left_in_training_as_it_was(images):
    network = Network().train()
    before = deepcopy(network.state_dict())
    metric().update(network, images)
    assert network.training
    assert network.calls == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_is_better_stands_on_the_metric():
    assert (metric("nmse").higher_is_better, metric("ssim").higher_is_better) == (False, True)
    assert (metric("nmse").plot_lower_bound, metric("nmse").plot_upper_bound) == (0.0, None)
    assert (metric("ssim").plot_lower_bound, metric("ssim").plot_upper_bound) == (-1.0, 1.0)


def test_plots_show_one_value_and_several(images):
    metric_ = metric()
    steps = [metric_(Network(), part) for part in images.split(2)]
    for value, points in ((None, 1), (steps, 3)):
        figure, axes = metric_.plot(value)
        assert next(len(line.get_xdata()) for line in axes.lines) == points
        plt.close(figure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"metric": "nmes"}, "nmse"), ({"statistic": "most"}, "take worst, mean, median or q1 to q99"),
     ({"shifts": "randon:n=2"}, "random")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_when_the_metric_is_made(arguments, message):
    with pytest.raises(eb.UsageError, match=message):
        integration.ShiftConsistency(**arguments)


@pytest.mark.long
def test_processes_come_to_the_same_number_as_one(images, rows, tmp_path):
    queue = context().Queue()
    arguments = (2, tmp_path / "rendezvous", images, queue)
    mp.start_processes(on_a_rank, arguments, nprocs=2, start_method="forkserver")
    found = sorted(queue.get() for _ in range(4))
    first = expected(rows[rows["case"] == "00000"], "eq_nmse", "mean")
    every = expected(rows, "eq_nmse", "mean")
    # each rank has its own values back afterwards
    assert found == [(1, 0, first, 1), (1, 1, first, 0), (5, 0, every, 3), (5, 1, every, 2)]
