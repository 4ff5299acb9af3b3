"""Whatever a network is like, it is measured or refused in one line, and stays as it was."""

import re
from contextlib import suppress

import pytest
import torch
from zoo.state import process_state, state
from zoo.table import ZOO, Network

import equibench as eb
from equibench.evaluation.model_on_suite import Evaluation
from equibench.foundation.rounding import default_limit, tolerated
from equibench.layers.attribution import attribute
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.state.process_state import process_kept

SHIFTS = [(1, 0), (5, 11)]
ROUNDING = default_limit("fp32")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.* on images depends on the batch:UserWarning"),
]


@pytest.fixture
def images():
    """Two images (2, 1, 16, 16)."""
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def shifts(tmp_path):
    """The plan of all measurements."""
    file = tmp_path / "shifts.csv"
    file.write_text("dy,dx\n" + "\n".join(f"{dy},{dx}" for dy, dx in SHIFTS))
    return f"file:{file}"


def network(name):
    """A network of the zoo, where it can be built."""
    try:
        return ZOO[name].build()
    except ValueError:
        pytest.skip("there is nothing to measure: the command line's run tells of it")


class Untouched:
    """Holds a model, images and the process to what they were when it was entered."""

    def __init__(self, model, images):
        self.model, self.images = model, images

    def __enter__(self):
        self.before = state(self.model), process_state(), self.images.clone()
        self.version = self.images._version

    def __exit__(self, *error):
        model, process, images = self.before
        after = state(self.model)
        assert {k: v for k, v in after.items() if model.get(k) != v} == {}
        assert after.keys() == model.keys()
        now = process_state()
        assert {name: now[name] for name in now if now[name] != process[name]} == {}
        assert torch.equal(self.images, images)
        assert self.images._version == self.version


def refuses(entry: Network, act, message=None):
    """The line in which an act refuses a network."""
    with pytest.raises(eb.EquibenchError) as caught:
        act()
    line = str(caught.value)
    assert re.search(message or entry.outcome, line), line
    assert "\n" not in line
    assert "\r" not in line


@process_kept()
def by_hand(model, images):
    """The NMSE of every image and shift, as a plain loop has it."""
    if isinstance(model, torch.nn.Module):
        with suppress(NotImplementedError):
            model.eval()
    errors = {}
    for number, image in enumerate(images):
        for shift in SHIFTS:
            pair = torch.stack((image, image))
            with torch.no_grad():
                y = model(pair.clone())[0].detach().double().clone()
                moved = model(pair.roll(shift, (-2, -1)))[0].detach().double()
            scale = y.shape[-1] // images.shape[-1]
            back = moved.roll([-scale * k for k in shift], (-2, -1))
            top, bottom = float((back - y).square().sum()), float(y.square().sum())
            errors[f"{number:05d}", *shift] = (
                top / bottom if bottom else (0.0 if top == 0 else torch.inf)
            )
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_evaluate(name, images, shifts):
    entry, model = ZOO[name], network(name)

    def act():
        return eb.evaluate(model, images, shifts=shifts, device="cpu", progress=False).rows

    with Untouched(model, images):
        if entry.refused:
            refuses(entry, act)
            return
        rows = act()
        again = act()
    errors = rows[rows["draw"] > 0].set_index(["case", "dy", "dx"])["eq_nmse"]
    assert len(errors) == len(images) * len(SHIFTS)
    assert rows.equals(again) or name == "iterator-of-factors"  # no iterator goes back
    if entry.outcome == "exact":
        assert errors.max() <= ROUNDING
    if entry.outcome == "broken":
        assert errors.max() > 1e-4
    if entry.alike:
        for key, expected in by_hand(network(name), images).items():
            found = errors[key]
            if expected == expected and found == found and expected < torch.inf:
                assert abs(found**0.5 - expected**0.5) <= tolerated(0, ROUNDING) ** 0.5
            else:
                assert str(found) == str(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_probe(name, images):
    entry, model = ZOO[name], network(name)
    config = RunConfig(models=("callable",), suites=("images",), device="cpu")
    suite = eb.ImageCases(images)

    def act():
        return Evaluation(model, name, suite, Settings.of(config)).probe(suite.cases())

    with Untouched(model, images):
        if entry.refused:
            refuses(entry, act)
            return
        found = act()
    if entry.outcome == "exact":
        assert found.stride == (1, 1)
    if entry.outcome == "broken":
        assert found.stride != (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_attribute(name, images):
    entry, model = ZOO[name], network(name)

    def act():
        return attribute(model, images, SHIFTS, device="cpu")

    with Untouched(model, images):
        if entry.layers is not None:
            refuses(entry, act, entry.layers)
            return
        try:
            assert len(act())
        except eb.EquibenchError as error:
            line = str(error)
            assert entry.refused, line
            assert "\n" not in line


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_assert_shift_equivariant(name, images, shifts, tmp_path):
    entry, model = ZOO[name], network(name)

    def act():
        eb.assert_shift_equivariant(model, images, shifts=shifts, device="cpu", save=tmp_path)

    with Untouched(model, images):
        if entry.refused:
            refuses(entry, act)
        elif entry.outcome == "broken":
            with pytest.raises(AssertionError, match="worst equivariance NMSE is"):
                act()
        elif entry.outcome == "exact":
            act()
        else:
            with suppress(AssertionError):
                act()
