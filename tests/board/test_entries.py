"""Entries of a board: made of runs, repeated to the last bit, refused where they are none."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
import torch
from board_entries import renamed

from equibench.board.definition import BOARD, read_board
from equibench.board.entry import read_entry, told_apart
from equibench.board.measuring import measure
from equibench.board.network_facts import variation
from equibench.board.submission import case_errors, entry_of
from equibench.board.verification import verify
from equibench.errors import UsageError
from equibench.loading.load import load_model, load_spec
from equibench.loading.suites import load_suite
from equibench.measurement.run_config import RunConfig
from equibench.measurement.settings import Settings
from equibench.registry.registries import MODELS
from equibench.registry.specs import Spec
from equibench.runs.run_folder import RunFolder
from equibench.runs.runner import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_the_board_names_at_least_sixty_networks_that_are_registered():
    board = read_board()
    assert len(board.planned) >= 60
    for planned in board.planned:
        spec = Spec.parse(planned.model)
        if ".py:" not in spec.reference:
            MODELS.get(spec.reference).check(spec.arguments)


def test_networks_that_label_pixels_are_measured_by_labels():
    labelling = [p for p in read_board().planned if "out.labels" in Spec.parse(p.model).adapters]
    assert len(labelling) >= 10
    for planned in labelling:
        assert all(Spec.parse(s).metrics == ("agreement", "dice") for s in planned.suites)


def test_the_board_that_is_installed_is_that_of_the_repository():
    installed = (files("equibench.results") / BOARD).read_text(encoding="utf-8")
    assert installed == (ROOT / "results" / BOARD).read_text(encoding="utf-8")


def test_each_smp_decoder_has_at_least_three_encoders():
    encoders = {}
    for planned in read_board().planned:
        spec = Spec.parse(planned.model)
        if spec.reference.startswith("smp-"):
            encoders.setdefault(spec.reference, set()).add(spec.arguments["encoder"])
    registered = {e.name for e in MODELS.entries() if e.name.startswith("smp-")}
    assert set(encoders) == registered
    assert all(len(found) >= 3 for found in encoders.values())


@pytest.mark.long
def test_an_entry_holds_the_rows_of_its_run_to_the_last_bit(toys):
    folders = [RunFolder(path) for path in (toys.folder / "runs").iterdir()]
    whole = [folder for folder in folders if folder.has_rows]
    assert len(whole) == len(toys.entries)
    for folder in whole:
        rows = folder.rows()
        entry = toys.entries[rows["model"].iloc[0]]
        stored = [replace(each, variation=1.0) for each in entry.errors]
        assert stored == case_errors(rows)


def test_one_network_that_fails_stops_no_other(toys):
    assert set(toys.failed) == {"broken"}
    assert "no such weights" in str(toys.failed["broken"])
    assert len(toys.entries) == len(toys.board.planned) - 1


def test_an_entry_says_what_the_network_is(toys):
    facts = {label: entry.facts for label, entry in toys.entries.items()}
    assert facts["circular"]["stride"] == [1, 1]
    assert facts["circular"]["evidence"] == "proved"
    assert facts["circular"]["padding"] == "circular"
    assert facts["zeros"]["stride"] == []
    assert "zero padding" in facts["zeros"]["obstacle"]
    assert facts["net:Pooled,mode=circular"]["stride"] == [2, 2]
    assert toys.entries["learned"].trained == "on nothing in particular"
    assert toys.entries["learned"].licence == "MIT"
    assert all(each["time"] > 0 for each in facts.values())


def test_a_motion_that_a_network_refuses_is_left_out_with_the_reason(toys):
    entry = toys.entries["fixed"]
    assert {each.motion for each in entry.errors} == {"circular", "d4"}
    assert "16 columns alone" in entry.refused["noise · crop"]


def test_measuring_again_measures_nothing(toys):
    before = {file: file.read_bytes() for file in (toys.folder / "entries").iterdir()}
    said = []
    toys.measure(said, chosen=["zeros", "learned"])
    assert [line.partition("] ")[2] for line in said] == [
        "zeros: its entry is of today",
        "learned: its entry is of today",
    ]
    assert {f: f.read_bytes() for f in (toys.folder / "entries").iterdir()} == before


def test_what_has_changed_is_named_and_measured_anew(toys):
    other = toys.board.settings.model_copy(update={"seed": 5})
    board = toys.board.model_copy(update={"settings": other})
    said = []
    toys.measure(said, board, chosen=["zeros"])
    assert said[0].startswith("zeros is measured anew: seed was 0 and is 5")
    assert toys.entries["zeros"].conditions["seed"] == 5
    said.clear()
    toys.measure(said, chosen=["zeros"])  # back again, for the other tests
    assert "seed was 5 and is 0" in said[0]


def test_another_version_of_a_package_is_named(toys):
    file = next((toys.folder / "entries").glob("zeros-*"))
    content = json.loads(file.read_text(encoding="utf-8"))
    content["conditions"]["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(content), encoding="utf-8")
    said = []
    toys.measure(said, chosen=["zeros"])
    assert "zeros is measured anew: versions torch was '1.0'" in said[0]


def test_repeated_rows_are_the_same_bit_for_bit(toys):
    found = verify(toys.entries["learned"], toys.board, every=True)
    rows = sum(len(each.nmse) for each in toys.entries["learned"].errors)
    assert (found.rows, found.equal) == (rows, rows)
    assert found.sentence == f"all {rows} rows are the same, bit for bit"


def test_a_sample_is_drawn_anew_each_time_and_says_how_much_it_is(toys, monkeypatch):
    """Who picks a label must not pick the rows that are repeated."""
    entry = toys.entries["learned"]
    drawn = []
    monkeypatch.setattr(
        "equibench.board.verification.SystemRandom.sample",
        lambda _, units, cases: drawn.append((len(units), cases)) or [len(units) - 1],
    )
    found = verify(entry, toys.board)
    assert drawn == [(2, 1)]
    assert 0 < found.rows < sum(len(each.nmse) for each in entry.errors)
    same = f"all {found.rows} rows of 4 of 8 cases are the same, bit for bit"
    assert found.sentence == f"{same}; --all repeats all of them"


def test_a_number_that_was_changed_is_found(toys, cli):
    source = next((toys.folder / "entries").glob("learned-*"))
    content = json.loads(source.read_text(encoding="utf-8"))
    for each in content["errors"]:
        each["nmse"] = [value / 10 for value in each["nmse"]]
    Path("better.json").write_text(json.dumps(content), encoding="utf-8")
    status, out, _ = cli("board", "verify", "better.json", "--board", toys.file)
    assert status == 1
    assert "of 4 of 8 cases are others" in out


def without_the_worst(content):
    worst = max(content["errors"], key=lambda each: max(each["nmse"]))
    content["errors"] = [e for e in content["errors"] if e["case"] != worst["case"]]


def without_a_motion(content):
    content["errors"] = [each for each in content["errors"] if each["motion"] != "d4"]


def with_fewer_shifts(content):
    content["errors"][0]["nmse"].pop()


@pytest.mark.parametrize("better", [without_the_worst, without_a_motion, with_fewer_shifts])
def test_an_entry_that_is_not_whole_is_refused_and_left_out_of_the_page(better, toys, cli):
    for label in ("learned", "circular"):
        content = json.loads(next((toys.folder / "entries").glob(f"{label}-*")).read_text("utf-8"))
        if label == "learned":
            better(content)
        Path("entries").mkdir(exist_ok=True)
        Path(f"entries/{label}.json").write_text(json.dumps(content), encoding="utf-8")
    status, _, err = cli("board", "verify", "entries/learned.json", "--board", toys.file)
    assert status == 2
    assert " of 8 cases of noise under " in err
    options = ("--entries", "entries", "-o", "page", "--tables", "tables", "--board", toys.file)
    status, _, err = cli("board", "page", *options)
    assert status == 0
    assert err.startswith("left out: learned has ")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"stride": [1, 1]}, "stride was [1, 1] and is []"),
        ({"padding": "none"}, "padding was 'none'"),
    ],
)
def test_facts_that_the_network_does_not_have_are_found(facts, said, toys):
    entry = toys.entries["learned"]
    found = verify(replace(entry, facts={**entry.facts, **facts}), toys.board)
    assert not found.holds
    assert f"it is another: {said}" in found.sentence


def test_an_entry_of_other_conditions_is_not_verified(toys):
    entry = toys.entries["learned"]
    with pytest.raises(UsageError, match="not measured as the board measures: seed was 1 and is 0"):
        verify(replace(entry, conditions={**entry.conditions, "seed": 1}), toys.board)


def test_measuring_the_board_leaves_entries_of_others_alone(toys, tmp_path):
    """Somebody's network may be called as one of the board's."""
    theirs = replace(toys.entries["zeros"], model="theirs.py:build,label=zeros")
    file = tmp_path / "theirs.json"
    theirs.write(file)
    measure(toys.board, tmp_path, tmp_path / "runs", lambda _: None, chosen=["zeros"])
    assert read_entry(file) == theirs
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_network_of_ones_own_has_no_name_of_the_board_s(toys, cli):
    model = f"{toys.folder}/net.py:Pooled,label=zeros"
    status, _, err = cli("board", "measure", "-m", model, "--out", "own", "--board", toys.file)
    assert status == 2
    assert "the board has a zeros of its own" in err
    assert "label=NAME" in err


def test_a_suite_that_is_none_of_the_board_s_is_refused_before_anything_is_measured(toys, cli):
    model = f"{toys.folder}/net.py:Pooled,label=ours"
    options = ("-s", "photo-sample", "--out", "own", "--board", toys.file)
    status, _, err = cli("board", "measure", "-m", model, *options)
    assert status == 2
    assert "photo-sample, which is no suite of the board" in err
    assert not Path("own").exists()


def test_weights_are_never_those_of_an_initialisation(toys, cli):
    torch.save(load_model(f"{toys.folder}/net.py:Plain,seed=3").state_dict(), "weights.pt")
    model = f"{toys.folder}/net.py:Plain,weights=weights.pt,label=ours"
    board = ("--board", toys.file)
    assert cli("board", "measure", "-m", model, "--out", "own", *board)[0] == 0
    status, _, err = cli("submit", "own", "--untrained", *board)
    assert status == 2
    assert "so it is trained: say on what, with --trained" in err
    status, _, err = cli("submit", "own", "--trained", " ", *board)
    assert (status, "of an initialisation, --untrained" in err) == (2, True)


def test_the_file_of_another_network_is_not_overwritten(toys, tmp_path):
    file = toys.entries["zeros"].write(tmp_path / "keep.json")
    toys.entries["zeros"].write(file)
    with pytest.raises(UsageError, match="is the entry of zeros, another network"):
        toys.entries["learned"].write(file)
    with pytest.raises(UsageError, match=r"an entry is a \.json file"):
        toys.entries["learned"].write(tmp_path / "entry.txt")


def test_another_network_of_the_same_name_is_told_by_its_weights(toys):
    entry = toys.entries["learned"]
    text = entry.model.replace("seed=1", "seed=2")
    with pytest.raises(UsageError, match="is not the network of learned: state_sha256 was"):
        verify(entry, toys.board, model=text)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seed": 3}, "seed was 3 and is 0"),
        ({"shifts": "random:n=3,max=4"}, "shifts was 'random:n=3,max=4'"),
        ({"precision": "fp64"}, "precision was 'fp64' and is 'fp32'"),
        ({"limit": 4}, "limit was 4 and is None"),
        ({"suites": ["noise,n=8,size=16,sigma=2"]}, "arguments sigma was 2"),
    ],
)
def test_a_run_with_other_settings_is_no_entry(changed, said, toys, tmp_path):
    model = toys.board.planned[0].model
    fields = {"suites": toys.board.suites} | changed
    suites = tuple(fields.pop("suites"))
    folder = run(toys.board.run(model, suites, **fields), tmp_path / "run", progress=False)
    with pytest.raises(UsageError, match="was not measured as the board measures") as refused:
        entry_of(folder, toys.board, "zeros")
    assert said in str(refused.value)
    assert "equibench board measure -m" in str(refused.value)


def test_a_suite_that_the_board_does_not_have_is_refused(toys, tmp_path):
    config = toys.board.run(toys.board.planned[0].model, ("noise,n=8,size=16,label=mine",))
    folder = run(config, tmp_path / "run", progress=False)
    with pytest.raises(UsageError, match="measured on mine, which is no suite of the board"):
        entry_of(folder, toys.board, "zeros")


def test_a_stranger_says_whether_the_network_is_trained(toys, cli, tmp_path):
    own = tmp_path / "own.py"
    own.write_text((toys.folder / "net.py").read_text(encoding="utf-8"), encoding="utf-8")
    board = ("--board", toys.file)
    status, out, _ = cli(
        "board", "measure", "-m", f"{own}:Plain,label=ours", "--out", "ours", *board
    )
    assert (status, out.splitlines()[-1]) == (
        0,
        "next: equibench submit ours --trained 'on what' (or --untrained)",
    )
    status, _, err = cli("submit", "ours", *board)
    assert status == 2
    assert "add --trained 'on what', or --untrained" in err
    status, out, _ = cli(
        *("submit", "ours", "--trained", "on knees", "--licence", "MIT", "-o", "ours.json", *board)
    )
    assert status == 0
    assert "to send it: put it into results/board/entries" in out
    entry = read_entry(Path("ours.json"))
    assert (entry.label, entry.trained, entry.licence) == ("ours", "on knees", "MIT")
    status, out, _ = cli("board", "verify", "ours.json", *board)
    assert (status, out.split(": ")[1].split()[0]) == (0, "all")


def test_entries_of_other_settings_are_left_out_of_the_page_and_named(toys, cli, tmp_path):
    entries = tmp_path / "entries"
    for entry in toys.entries.values():
        seeded = {**entry.conditions, "seed": 7} if entry.label == "zeros" else entry.conditions
        renamed(entry, conditions=seeded).write(entries)
    options = ("--entries", entries, "-o", "page", "--tables", "tables", "--board", toys.file)
    status, _, err = cli("board", "page", *options)
    assert status == 0
    assert err == "left out: zeros was measured otherwise: seed was 7 and is 0\n"
    shown = pd.read_csv("tables/standings.csv")["network"]
    assert set(shown) == toys.entries.keys() - {"zeros"}


def test_two_entries_of_one_name_are_two_files_and_told_apart(toys, tmp_path):
    one = toys.entries["learned"]
    other = renamed(one, identity={**one.identity, "state_sha256": "feed" * 16})
    assert one.write(tmp_path) != other.write(tmp_path)
    assert [entry.label for entry in told_apart([one, other])][1] == f"learned ({other.digest})"


def test_a_board_refuses_two_networks_of_one_name(toys, tmp_path):
    text = toys.file.read_text(encoding="utf-8").replace("label=learned", "label=zeros")
    (tmp_path / "board.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="two networks are called 'zeros': give one a label"):
        read_board(tmp_path / "board.toml")


def test_a_file_that_is_no_entry_is_named(cli, tmp_path):
    (tmp_path / "entry.json").write_text("[]", encoding="utf-8")
    status, _, err = cli("board", "verify", "entry.json")
    assert status == 1
    assert err.startswith("equibench: entry.json is no entry of a board")


def test_what_varies_of_an_output_is_what_its_mean_is_not(toys):
    entry = toys.entries["zeros"]
    network = load_model(entry.model)
    image = load_suite("noise,n=8,size=16").load(entry.errors[0].case).input
    with torch.no_grad():
        output = network(image).double()
    share = float(output.var(correction=0) / output.square().mean())
    assert entry.errors[0].variation == pytest.approx(share)


def test_a_map_of_one_label_does_not_vary(toys):
    """Whatever the images are, there is nothing in it that could move."""
    suite = load_suite("noise,n=2,size=16")
    for threshold, share in ((1e9, 0.0), (0, 1.0)):
        network = f"torch.nn:Identity,out.labels=threshold:{threshold}"
        settings = Settings.of(RunConfig(models=(network,), suites=("noise,n=2,size=16",)))
        found = variation(load_spec(Spec.parse(network)), suite, list(suite.cases()), settings)
        assert list(found.values()) == [share, share]


def test_an_output_that_is_said_to_vary_more_is_found(toys, tmp_path):
    entry = toys.entries["zeros"]
    more = [replace(case, variation=2 * case.variation) for case in entry.errors]
    found = verify(replace(entry, errors=more), toys.board)
    assert not found.holds
    assert "of the output varies" in found.sentence
