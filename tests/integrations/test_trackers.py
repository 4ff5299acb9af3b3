"""Hooks of a run: what they are told, what comes of those that fail, and those that come along."""

import struct

import numpy as np
import pandas as pd
import pytest
from net_runs import NETS, OPTIONS, Stop

import equibench as eb
from equibench.measurement.run_config import RunConfig
from equibench.runs.trackers import TrackedRun

pytestmark = pytest.mark.slow

LOG = """
import equibench as eb

class Log(eb.Tracker):
    def __init__(self, fails=""):
        self.fails = fails

    def write(self, hook, text):
        with open("log.txt", "a") as log:
            print(hook, text, file=log)
        if hook == self.fails:
            raise RuntimeError("no connection\\nto the server")

    def on_run_start(self, run):
        self.write("start", f"{run.name} {run.units} {run.folder.manifest['state']}")

    def on_unit(self, run, unit):
        stored = run.folder.rows()
        mine = stored[(stored.model == unit.model) & (stored.suite == unit.suite)]
        assert set(unit.rows.case) <= set(mine.case)
        self.write("unit", f"{unit.model} {unit.suite} {unit.done} {len(unit.rows)} {unit.failure}")

    def on_run_end(self, run, state):
        self.write("end", f"{state} {len(run.folder.rows())} {run.folder.manifest['state']}")
"""


@pytest.fixture
def follow(cli, tmp_path):
    """Run with trackers: exit status, standard error, and what ``log.py:Log`` has written."""
    (tmp_path / "net.py").write_text(NETS)
    (tmp_path / "log.py").write_text(LOG)

    def run(*trackers, options=OPTIONS):
        log = tmp_path / "log.txt"
        log.unlink(missing_ok=True)
        chosen = [word for name in trackers for word in ("--track", name)]
        status, _, said = cli("run", *options, *chosen, "--out", "run")
        return status, said, log.read_text().splitlines() if log.exists() else []

    return run


ROWS = 3 * 41


def test_a_tracker_is_told_of_the_start_each_unit_and_the_end(follow):
    status, _, log = follow("log.py:Log")
    assert status == 0
    names = ("net:base", "net:other")
    units = [f"unit {name} noise {{}} {41} " for name in names for _ in range(3)]
    assert log == [
        "start run 6 running",
        *(line.format(i + 1) for i, line in enumerate(units)),
        f"end finished {2 * ROWS} finished",
    ]


def test_nobody_follows_a_run_unless_that_is_asked_for(follow):
    assert follow()[2] == []


def test_trackers_change_neither_the_run_nor_what_it_is_resumed_by(follow, tmp_path):
    follow()
    before = {f: f.read_bytes() for f in (tmp_path / "run/rows").iterdir()}
    manifest = eb.RunFolder("run").manifest
    status, said, log = follow("log.py:Log")
    assert status == 0, said
    assert log == ["start run 6 running", f"end finished {2 * ROWS} finished"]
    assert {f: f.read_bytes() for f in (tmp_path / "run/rows").iterdir()} == before
    after = eb.RunFolder("run").manifest
    assert after["configuration"] == manifest["configuration"]
    assert "track" not in after["configuration"]


@pytest.mark.parametrize(
    ("fails", "hook", "told"),
    [("start", "on_run_start", 1), ("unit", "on_unit", 2), ("end", "on_run_end", 8)],
)
def test_a_tracker_that_fails_is_one_line_and_the_run_goes_on(follow, fails, hook, told):
    status, said, log = follow(f"log.py:Log,fails={fails},label=mine")
    assert status == 0
    (line,) = [line for line in said.splitlines() if "tracker" in line]
    assert line == (
        f"tracker mine failed in {hook}: RuntimeError: no connection to the server; the run goes "
        "on without it"
    )
    assert len(log) == told
    assert len(eb.RunFolder("run").rows()) == 2 * ROWS


def test_one_that_fails_keeps_no_other_from_being_told(follow):
    _, _, log = follow("log.py:Log,fails=start,label=a", "log.py:Log,label=b")
    assert len(log) == 1 + 8


def test_a_run_that_is_interrupted_says_so(follow, monkeypatch):
    Stop(monkeypatch, "00001")
    status, _, log = follow("log.py:Log")
    assert status == 130
    assert log[-1] == "end interrupted 41 interrupted"


def test_what_could_not_be_measured_is_told_with_the_reason(follow, tmp_path):
    (tmp_path / "net.py").write_text(NETS.replace("2 * x * x", "1 / 0"))
    status, _, log = follow("log.py:Log")
    assert status == 1
    other = [line for line in log if line.startswith("unit net:other")]
    assert len(other) == 3, log
    assert all("net:other raised ZeroDivisionError" in line for line in other)


@pytest.mark.parametrize(
    ("name", "message"),
    [("mlfow", "no tracker is called 'mlfow'. Did you mean mlflow?"),
     ("log.py:Log,color=red", "tracker 'log.py:Log': got an unexpected keyword argument 'color'"),
     ("net.py:base", "'net.py:base' gave a function, not an equibench Tracker")],
)  # fmt: skip
def test_what_is_no_tracker_is_refused_before_anything_is_measured(follow, tmp_path, name, message):
    status, said, _ = follow(name)
    assert status == 2
    assert message in said
    assert not (tmp_path / "run").exists()


def test_ls_shows_the_trackers_that_there_are(cli):
    assert {"mlflow", "tensorboard", "wandb"} <= set(eb.list_trackers())
    status, shown, _ = cli("ls", "trackers", "mlflow")
    assert status == 0
    assert "arguments: experiment=equibench, uri=" in shown


def test_a_resumed_run_keeps_its_identity_and_others_have_their_own(follow, tmp_path):
    def identity(shard=None):
        return TrackedRun(eb.RunFolder(tmp_path / "run"), shard, 1).identity

    follow()
    first = identity()
    follow()
    assert identity() == first
    assert identity("1/2") != first


# What is told, in the trackers that come along

NUMBERS = {"net_base/noise/eq_nmse_mean", "net_other/noise/eq_psnr_worst"}


@pytest.fixture
def summary(tmp_path):
    def read():
        lines = eb.RunFolder(tmp_path / "run").summary()
        return {line["model"].replace(":", "_"): line for line in lines.to_dict("records")}

    return read


def expected(summary):
    return {
        f"result/{model}/noise/{name}_{statistic}": line[f"{name}_{statistic}"]
        for model, line in summary.items()
        for name in ("eq_nmse", "eq_psnr", "eq_ssim")
        for statistic in ("mean", "worst")
        if np.isfinite(line[f"{name}_{statistic}"])
    }


def interrupted_then_finished(follow, *trackers):
    with pytest.MonkeyPatch.context() as monkeypatch:
        Stop(monkeypatch, "00001")
        assert follow(*trackers)[0] == 130
    status, said, _ = follow(*trackers)
    assert (status, "tracker" in said) == (0, False)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_parameters_numbers_and_the_summary(follow, summary, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow = pytest.importorskip("mlflow")
    uri = (tmp_path / "store").as_uri()
    interrupted_then_finished(follow, f"mlflow,experiment=mine,uri={uri}")
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "run"
    assert run.data.params["models"] == "net.py:base; net.py:other"
    versions = eb.RunFolder("run").manifest["environment"]["versions"]
    assert run.data.params["version equibench"] == versions["equibench"]
    results = {k: v for k, v in run.data.metrics.items() if k.startswith("result/")}
    assert results == expected(summary())
    steps = [m.step for m in client.get_metric_history(run.info.run_id, "units")]
    assert steps == [1, 2, 3, 4, 5, 6]
    file = client.download_artifacts(run.info.run_id, "summary.csv", str(tmp_path))
    assert len(pd.read_csv(file)) == 2


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_scalars_and_texts(follow, summary, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    interrupted_then_finished(follow, "tensorboard,dir=board")
    events = EventAccumulator(str(tmp_path / "board/run")).Reload()
    wanted = expected(summary())
    found = {k: events.Scalars(k)[-1].value for k in events.Tags()["scalars"] if "result" in k}
    assert found == pytest.approx(wanted, rel=1e-6)  # it keeps float32
    assert [event.step for event in events.Scalars("units")] == [1, 2, 3, 4, 5, 6]

    def texts(name):
        return [e.tensor_proto.string_val[0] for e in events.Tensors(f"{name}/text_summary")]

    assert b"| models | net.py:base; net.py:other |" in texts("configuration")[-1]
    assert texts("state") == [b"interrupted", b"finished"]


def records(file):
    """What stands in a file of W&B: a header, and blocks of a LevelDB log."""
    from wandb.proto import wandb_internal_pb2

    content, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # no record begins there
            place += 32768 - place % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        whole += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_weights_and_biases_has_all_of_it_offline(follow, summary, tmp_path):
    pytest.importorskip("wandb")

    interrupted_then_finished(follow, f"wandb,mode=offline,dir={tmp_path},project=mine")
    config, results, history, ids = {}, {}, [], set()
    for file in sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb")):
        for record in records(file):
            if record.HasField("run"):
                ids.add((record.run.run_id, record.run.display_name, record.run.project))
                config |= {item.key: item.value_json for item in record.run.config.update}
            for item in record.summary.update:
                results["/".join(item.nested_key) or item.key] = item.value_json
            for item in record.history.item:
                if ("/".join(item.nested_key) or item.key) == "units":
                    history.append(int(item.value_json))
    run = TrackedRun(eb.RunFolder("run"), None, 6)
    assert ids == {(run.identity, "run", "mine")}
    assert config["models"] == '"net.py:base; net.py:other"'
    assert history == [1, 2, 3, 4, 5, 6]
    assert results["state"] == '"finished"'
    found = {name: float(value) for name, value in results.items() if name.startswith("result/")}
    assert found == expected(summary())


def test_a_tracker_whose_library_is_missing_says_what_to_install(follow, monkeypatch):
    import equibench.registry.entries as entries

    there = entries._importable
    monkeypatch.setattr(entries, "_importable", lambda name: name != "wandb" and there(name))
    status, said, _ = follow("wandb")
    assert status == 2
    assert "tracker 'wandb' needs wandb; pip install 'equibench[wandb]'" in said


def test_a_file_of_options_may_name_trackers():
    config = RunConfig(models=("a",), suites=("b",), track=("mlflow",))
    assert config.digest == RunConfig(models=("a",), suites=("b",)).digest
