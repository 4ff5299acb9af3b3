"""Runs of the paper's networks, for the tests of its tables."""

import numpy as np
import pytest
from paper_runs import NMSE, network, rows

from equibench.reports.findings.published_results import VARIANTS
from equibench.reports.findings.run_data import RunData
from equibench.runs.run_folder import RunFolder


@pytest.fixture
def paper_run(tmp_path):
    """Write a run folder from rows, and from what its manifest says of models and suites."""

    def paper_run(parts, models, name="run", suites=(), widths=None, **configuration):
        folder = RunFolder(tmp_path / name, create=True)
        labels = {part["suite"].iloc[0] for part in parts}
        described = {
            label: {"name": label, "version": 1, "arguments": {}, "cases": "2 (abc)"}
            for label in sorted(labels)
        }
        specs = [f"unet,width={(widths or {}).get(m, 0.125)},label='{m}'" for m in models]
        folder.write_manifest(
            {
                "state": "finished",
                "configuration": {
                    "models": specs[:1],
                    "suites": sorted(labels),
                    "also": [{"models": specs[1:], "suites": sorted(labels)}],
                    "shifts": "random:n=3,max=16",
                    "seed": 0,
                    **configuration,
                },
                "fingerprint": {"suites": described | dict(suites)},
                "environment": {},
                "models": models,
            }
        )
        for number, part in enumerate(parts):
            folder.write_rows(f"unit{number}", part)
        return RunData.read(folder)

    return paper_run


@pytest.fixture
def nine(paper_run):
    """The nine networks on MRI and photos, in an order of no use; labels say nothing."""
    names = sorted(VARIANTS)
    models = {f"m{i}": network(name) for i, name in enumerate(names)}
    factor = {"Baseline + DA": 5}
    parts = [
        rows(f"m{i}", "mri-sample", NMSE[name], delta_psnr=4e-3) for i, name in enumerate(names)
    ]
    parts += [
        rows(f"m{i}", "photo-sample", NMSE[name] * factor.get(name, 2), psnr=np.nan)
        for i, name in enumerate(names)
    ]
    return paper_run(parts, models)
