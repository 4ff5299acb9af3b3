"""Miniature files in the layouts of the real data sets, for tests of suites."""

import torch

from equibench.cases.suite import Case


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def psnr(case: Case) -> float:
    span = case.target.max() - case.target.min()
    return float(10 * torch.log10(span**2 / (case.target - case.input).square().mean()))
