"""Processes of their own that start in no time: what takes long to import is there already."""

import multiprocessing
import os
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Ended", "context", "execute"]

PRELOADED = ["torch", "pandas", "scipy.stats", "pytest", "equibench.runs.runner"]


class Ended(NamedTuple):
    """What a process said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def context():
    """Start processes from a server that has imported the libraries, and what runs are made of."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(PRELOADED)
    return forkserver


def execute(program, arguments, folder, **environment):
    """Run pytest or equibench in a folder, as from a shell."""
    said = [Path(folder) / f".{stream}" for stream in ("stdout", "stderr")]
    options = {"environment": {**os.environ, **environment}, "said": said}
    process = context().Process(target=_become, args=(program, arguments, folder), kwargs=options)
    process.start()
    process.join()
    out, err = (file.read_text(encoding="utf-8") for file in said)
    for file in said:
        file.unlink()
    return Ended(process.exitcode, out, err)


def _become(program, arguments, folder, *, environment, said):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, file in zip((1, 2), said, strict=True):
        os.dup2(os.open(file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), stream)
    sys.argv = [program, *arguments]
    sys.path[:] = [
        str(folder),
        *(p for p in sys.path if Path(p).name not in ("tests", "benchmarks")),
    ]
    if program == "pytest":
        import pytest

        for name in [name for name in sys.modules if name.partition(".")[0] == "equibench"]:
            del sys.modules[name]  # pytest has not seen it yet
        sys.exit(pytest.main())
    from equibench.cli import main

    main()
