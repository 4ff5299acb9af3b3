"""What Tables 1 to 4 of the paper hold, and which orderings are read off each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from equibench.reports.findings.published_results import values
from equibench.reports.paper.orderings import (
    Augmented,
    Chain,
    Closeness,
    FarBelow,
    Limit,
    Ordering,
    Values,
)

__all__ = ["DEFINITIONS", "ERROR", "MRI_EQUIVARIANCE", "Definition", "Quantity"]


@dataclass(frozen=True)
class Quantity:
    """One quantity of a table.

    Args:
        column: of rows.
        format: as precise as the paper is.
        paper: how the paper's columns of it begin; empty where it has none.
        statistic: of a summary.
    """

    column: str
    format: str
    paper: str = ""
    statistic: Literal["mean", "worst"] = "mean"


@dataclass(frozen=True)
class Definition:
    """A table of the paper, or the part of it that fits on a page.

    Args:
        source: the file with the published numbers.
        extent: what the published numbers come from.
        domain: the original suite that its networks are trained on.
        suite: the original suite that it is measured on.
        acquisitions: which the published numbers keep apart.
        grouped: whether measured numbers are kept apart by group as well.
    """

    number: int
    title: str
    source: str
    extent: str
    domain: str
    suite: str
    quantities: Sequence[Quantity]
    orderings: Sequence[Ordering]
    acquisitions: Sequence[str] = ("",)
    grouped: bool = False

    def published(self, quantity: Quantity, acquisition: str) -> Values:
        """The paper's numbers by network."""
        suffix = f"_{acquisition.lower()}" if acquisition else ""
        table = values(self.source).items() if quantity.paper else ()
        return {name: [line[f"{quantity.paper}{suffix}"]] for name, line in table}


ERROR = Quantity("eq_nmse", ".2e", "eq_nmse")
_FAR_BELOW = (
    FarBelow("every APS variant"),
    FarBelow("APS", lower=("APS",)),
)
_PD = ("PD", "PDFS")

MRI_EQUIVARIANCE = Definition(
    number=1,
    title="equivariance on MRI",
    source="table1_mri",
    extent="fastMRI knee, 199 volumes, one shift of each",
    domain="fastmri",
    suite="fastmri",
    quantities=(ERROR, Quantity("eq_ssim", ".4f", "eq_ssim")),
    orderings=(*_FAR_BELOW, Chain()),
    acquisitions=_PD,
    grouped=True,
)
"""Equivariance in distribution, with which Table 3 is compared."""

DEFINITIONS = (
    MRI_EQUIVARIANCE,
    Definition(
        number=1,
        title="reconstruction on MRI, unshifted",
        source="table1_mri",
        extent="fastMRI knee, 199 volumes, one shift of each",
        domain="fastmri",
        suite="fastmri",
        quantities=(
            Quantity("nmse", ".3g", "nmse"),
            Quantity("psnr", ".2f", "psnr"),
            Quantity("ssim", ".4f", "ssim"),
        ),
        orderings=(Closeness(),),
        acquisitions=_PD,
        grouped=True,
    ),
    Definition(
        number=2,
        title="worst change of PSNR on MRI",
        source="table2_mri_worst_delta_psnr",
        extent="fastMRI knee, 199 volumes, ten shifts of each",
        domain="fastmri",
        suite="fastmri",
        quantities=(Quantity("delta_psnr", ".3g", "worst_delta_psnr", "worst"),),
        orderings=(Limit(),),
    ),
    Definition(
        number=3,
        title="equivariance out of distribution, MRI networks on photos",
        source="table3_imagenet",
        extent="ImageNet, 1000 images, one shift of each",
        domain="fastmri",
        suite="imagenet",
        quantities=(ERROR, Quantity("eq_ssim", ".4f", "eq_ssim")),
        orderings=(*_FAR_BELOW, Chain(), Augmented(), Augmented(relative=True)),
    ),
    Definition(
        number=4,
        title="equivariance on CT",
        source="table4_ct",
        extent="LoDoPaB-CT, 3553 images, one shift of each",
        domain="lodopab",
        suite="lodopab",
        quantities=(
            ERROR,
            # the paper took image columns as channels; the ordinary SSIM stands beside it
            Quantity("eq_ssim_columns", ".4f", "eq_ssim"),
            Quantity("eq_ssim", ".4f"),
        ),
        orderings=(Chain(),),
    ),
    Definition(
        number=4,
        title="reconstruction on CT, unshifted",
        source="table4_ct",
        extent="LoDoPaB-CT, 3553 images, one shift of each",
        domain="lodopab",
        suite="lodopab",
        quantities=(
            Quantity("nmse", ".3g", "nmse"),
            Quantity("psnr", ".2f", "psnr"),
            Quantity("ssim_columns", ".4f", "ssim"),
            Quantity("ssim", ".4f"),
        ),
        orderings=(Closeness(),),
    ),
)
"""In the order in which they are shown."""
