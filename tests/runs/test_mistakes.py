"""A user's mistake is one line that says what to type instead."""

import re

import pytest
import torch
from small_runs import MODEL, SUITE

NOISE = ("-s", SUITE)

USAGE = {
    "unknown model": (
        ("run", "-m", "unet-bassline", *NOISE),
        "no model is called 'unet-bassline'. Did you mean unet-baseline? There are: ",
    ),
    "unknown suite": (
        ("run", "-m", MODEL, "-s", "fastmr"),
        "no suite is called 'fastmr'. Did you mean fastmri? There are: ",
    ),
    "no model": (
        ("run", *NOISE),
        "run needs a model and a suite: -m unet-baseline -s mri-sample",
    ),
    "unknown argument": (
        ("run", "-m", "unet-aps,wdith=1", *NOISE),
        "model 'unet-aps': got an unexpected keyword argument 'wdith'; it takes width, "
        "in_channels, out_channels, levels, dims",
    ),
    "no such weights": (
        ("run", "-m", "unet-aps,weights=no.pt", *NOISE),
        "unet-aps: there is no weights file no.pt; packaged are ct-sample, mri-sample, seg-sample",
    ),
    "no factory": (
        ("run", "-m", "math:sqrt", *NOISE),
        "model 'math:sqrt': missing a required argument: 'x'; it takes x (name what builds and "
        "returns the model, not the model)",
    ),
    "width of text": (
        ("run", "-m", MODEL, "-s", "noise,n=abc"),
        "suite 'noise' cannot be built: TypeError: '<' not supported between instances of 'str' "
        "and 'int'",
    ),
    "same label twice": (
        ("run", "-m", MODEL, "-m", MODEL, *NOISE),
        "two models are called 'base': give one a label=…",
    ),
    "same suite twice": (
        ("run", "-m", MODEL, *NOISE, "-s", "noise"),
        "two suites are called 'noise': give one a label=…",
    ),
    "bad shifts": (
        ("run", "-m", MODEL, *NOISE, "--shifts", "some"),
        "no shift plan is called 'some'; write random:n=10,max=16 · grid:max=16,step=4 · all · "
        "file:shifts.csv · paper",
    ),
    "bad precision": (
        ("run", "-m", MODEL, *NOISE, "--precision", "fp8"),
        "run: precision = 'fp8': input should be 'fp32', 'fp64', 'tf32', 'bf16' or 'fp16'",
    ),
    "bad batch": (
        ("run", "-m", MODEL, *NOISE, "--batch", "many"),
        "run: batch = 'many': input should be a valid integer, unable to parse string as an "
        "integer or input should be 'auto'",
    ),
    "bad device": (
        ("run", "-m", MODEL, *NOISE, "--device", "gpu"),
        "no device is called 'gpu': take auto, cpu, cuda or cuda:1",
    ),
    "absent device": (
        ("run", "-m", MODEL, *NOISE, "--device", "cuda:99"),
        f"device 'cuda:99' is not here ({torch.cuda.device_count()} CUDA devices): "
        "take --device cpu",
    ),
    "bad data": (
        ("run", "-m", MODEL, *NOISE, "--data", "knee"),
        "--data 'knee' is not SUITE=DIR",
    ),
    "data of no suite": (
        ("run", "-m", MODEL, *NOISE, "--data", "nosuch=/x"),
        "--data nosuch=…: no suite of this run is called 'nosuch'",
    ),
    "limit of none": (
        ("run", "-m", MODEL, *NOISE, "--limit", "0"),
        "run: limit = 0: input should be greater than 0",
    ),
    "no data at all": (
        ("run", "-m", MODEL, "-s", "fastmri"),
        "suite 'fastmri' has no data: set EQUIBENCH_DATA=DIR (with DIR/fastmri/singlecoil_val) "
        "or pass --data fastmri=DIR",
    ),
    "no config": (
        ("run", "--config", "no.toml"),
        "cannot read no.toml: No such file or directory",
    ),
    "no run": (
        ("table", "nowhere"),
        "nowhere is no run folder: it has no run.json",
    ),
    "not verifiable": (
        ("data", "verify", "noise"),
        "suite 'noise' has nothing to verify",
    ),
}


@pytest.mark.parametrize("mistake", USAGE)
def test_a_user_s_mistake_is_one_line_and_exit_status_2(mistake, cli, tmp_path):
    arguments, message = USAGE[mistake]
    status, _, err = cli(*arguments)
    assert status == 2
    line, *more = err.splitlines()
    assert re.fullmatch(r"(more: equibench explain [a-z-]+)?", "\n".join(more))
    if message.endswith(": "):
        assert line.startswith(f"equibench: {message}")
    else:
        assert line == f"equibench: {message}"
    assert not (tmp_path / "equibench-runs").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            'modles = ["a"]',
            "bench.toml: there is no field 'modles'; did you mean models? There are: models, "
            "suites, also, shifts, transforms, device, precision, screen, batch, limit, metrics, "
            "frame, seed, exhaustive, spots, seed_forward, optimize, engine, scheduler, workers, "
            "shard, data, track, keep_outputs, trust_pickle, isolate",
        ),
        ('models = ["a"]', 'bench.toml: suites is missing; write suites = ["…"]'),
        (
            'models = ["a"]\nsuites = ["b"]\nlimit = 0',
            "bench.toml: limit = 0: input should be greater than 0",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\noptimize = ["fuze"]',
            "bench.toml: optimize[1] = 'fuze': input should be 'fuse', 'channels-last' or "
            "'compile'",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\n[also]\nmodels = ["c"]',
            "bench.toml: also is one table, not a list of them: write [[also]]",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\n[[also]]\nmodles = ["c"]\nsuites = ["d"]',
            "bench.toml, also[1]: there is no field 'modles'; did you mean models? "
            "There are: models, suites",
        ),
        (
            'models = ["a"]\nsuites = ["b"]\n[[also]]\nmodels = []\nsuites = ["d"]',
            "bench.toml, also[1]: models = []: should not be empty",
        ),
        (
            'models = ["a"]\nsuites = "b"',
            "bench.toml: suites = 'b': should be a list",
        ),
        ("models = [", "bench.toml is no TOML: Invalid value (at end of document)"),
    ],
)
def test_a_mistake_in_a_toml_file_is_named(cli, tmp_path, content, message):
    (tmp_path / "bench.toml").write_text(content)
    status, _, err = cli("run", "--config", "bench.toml")
    assert (status, err) == (2, f"equibench: {message}\n")
