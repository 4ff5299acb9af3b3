"""What the words and numbers of a report mean."""

import re
from collections.abc import Sequence

import pandas as pd

from equibench.statistics.summary import columns

__all__ = ["glossary"]

_GENERAL = {
    "Equivariance error": "A network is shift-equivariant if shifting its input only shifts its "
    "output. The input is shifted circularly by (dy, dx) pixels, and the output is compared with "
    "the shifted output of the unshifted input.",
    "Changes by p %": "The norm of the difference between the two outputs, as a share of the "
    "output's norm: the square root of the NMSE.",
    "Between outputs, with the truth": "A measure between outputs compares what a network gives "
    "for the image and for the shifted one: equivariance. One with the truth compares an output "
    "with the ground truth: quality.",
    "95 % interval": "Of the mean, over what was sampled independently: clusters are patients "
    "where the data name them, else single cases. There is none for fewer than eight clusters, "
    "where fewer than five make the mean, and where all errors are rounding.",
    "Worst": "Over all cases and shifts that were measured; over all circular shifts where there "
    "is evidence for that.",
    "Evidence": "How the worst of all circular shifts is known. Enumerated: every shift passed "
    "through the network. Proved: residue classes that follow from the network's operators at "
    "this size. Sampled: residue classes that spot checks support; so many shifts could deviate, "
    "at 95 %. A network that is random, keeps state, or depends on the batch or the slot has none.",
    "Floor": "The NMSE of the unshifted input in another slot of a batch: what rounding alone "
    "does. An error near the floor is no error of the network.",
    "Canonical and reference frame": "Whether the shifted output is rolled back and compared "
    "with the original (canonical), or the original is rolled forward (reference, as in the "
    "paper). Only SSIM differs, slightly, because its windows do not wrap around.",
}
_METRICS = {
    "nmse": "Squared difference divided by the squared norm of the unshifted output. 0 is "
    "perfect; 1e-2 means that the difference has a tenth of the output's norm. Of labels it is "
    "twice the share of pixels whose class changes.",
    "ssim": "Structural similarity of the two outputs, at most 1. Charts show 1 − SSIM.",
    "ssim_columns": "The variant that the paper's CT table reports: 1-D windows along rows, "
    "averaged over columns.",
    "psnr": "Peak signal-to-noise ratio, of the unshifted reconstruction against the ground truth.",
    "agreement": "The share of pixels of the same class in both label maps.",
    "iou": "Intersection over union of the pixels that each label map gives to a class, the mean "
    "over the classes that one of them has.",
    "dice": "Twice the pixels that both label maps give to a class over those of each, the mean "
    "over the classes that one of them has.",
    "boundary_dice": "The share of the pixels on boundaries of both label maps that are within a "
    "tolerance (1 pixel, unless named) of the other's, the mean over classes.",
}
_CHANGE = "How much an output's {} changes under the shift. It needs a ground truth."
_VARIANT = re.compile(r"(_\d+px)?(_class_\d+)?$")
"""What follows the name of a metric of labels in that of one of its variants."""
_OF_SHIFTS = {
    "Residue classes": "Where a network's total stride is S and its boundaries are circular, "
    "shifts that are equal modulo S have equal errors: S × S shifts stand for all. The spot check "
    "is the largest deviation found among other members of the classes.",
    "Multiple of": "Shifts by a multiple of 2 pass through the first halving of an encoder "
    "unharmed, multiples of 4 through the first two, and so on: what is left of the error there "
    "is made by the levels below.",
    "Near-ties": "Networks with adaptive polyphase sampling (APS) choose the polyphase component "
    "with the largest norm. Where the two largest are nearly equal, rounding may flip the choice; "
    "rare flips make most of what error such networks have, so look at the median as well. Where "
    "no choice was flipped there is no error: blurred maps have many near-ties and few flips.",
}

_TRANSFORMS = {
    "crop": "Two windows of one image, displaced, compared where they overlap: what a shift means "
    "where nothing wraps around.",
    "tile": "What a network makes of a tile, beside that tile of what it makes of the image.",
    "fourier": "Circular shifts by fractions of a pixel.",
    "d4": "Rotations by 90° and flips.",
    "intensity": "Another scale and offset of the image's values, and the same expected of the "
    "output's.",
}


def glossary(summaries: Sequence[pd.DataFrame]) -> dict[str, str]:
    """Definitions by term; of metrics, those that are there. A plugin's metric names its own."""
    names = {n.removesuffix("_worst") for s in summaries for n in s.columns if n.endswith("_worst")}
    found = dict(_GENERAL)
    for column in columns(sorted(names)):
        metric = _VARIANT.sub("", column.name.removeprefix("eq_"))
        if metric in _METRICS:
            found.setdefault(column.title, _METRICS[metric])
        elif column.name.startswith("delta_"):
            found[column.title] = _CHANGE.format(column.title.removeprefix("Δ"))
    labels = {label for s in summaries if "transform" in s for label in s["transform"]}
    moved = {label: text for label, text in _TRANSFORMS.items() if label in labels}
    return found | _OF_SHIFTS | moved
