"""How the variants are trained: the paper's recipes, and others sized for the embedded data.

Source: Chaman and Dokmanić, Asilomar 2021, section 5, and its public reference code. Every recipe
uses Adam on the loss of its task; all but ``finetune`` are meant to start from the
initialisation of seed 0.
"""

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from equibench.errors import UsageError
from equibench.foundation.validation import checked

__all__ = ["PRESETS", "Recipe", "preset_for", "recipe"]


def _numbers(value: object) -> object:
    """``10,15`` as a command line has it; anything else is left as it is."""
    if not isinstance(value, str):
        return value
    return value.split(",") if value else []


class Recipe(BaseModel):
    """Everything but the network, the data and the seed that a training's result depends on.

    Args:
        task: ``regression`` minimises the mean squared error, ``segmentation`` the cross entropy
            plus one minus soft Dice of classes in whole numbers.
        epochs: passes over the training images.
        drawn: images that a suite draws anew for every epoch, in place of those of its training
            part; 0 for these.
        batch: images per step, over all devices.
        learning_rate: Adam's at the start.
        schedule: ``steps`` multiplies the rate by ``lr_factor`` every ``lr_step`` epochs,
            ``cosine`` lets it fall to zero along half a wave.
        milestones: numbers of epochs after which ``steps`` does so, where they are given.
        warmup: steps over which the rate rises, at the start and again where norms are frozen:
            there their statistics are measured anew and Adam starts afresh, since gradients
            change their size at once and its steps would be so large that channels die.
        clip: the largest norm of the gradient; 0 for any.
        crop: the side of random crops in pixels; 0 for whole images.
        crops: how often every image is taken in an epoch.
        shift_augment: each batch is shifted circularly by components uniform on −n … n − 1
            pixels, input and target alike; 0 for no shifts.
        error_augment: the difference between an input and its target is amplified by a factor
            uniform on 1 … n for each image, as a lower dose would; 1 for none.
        skip_dropout: the share of images that lose the skip connections of their finest levels:
            some U-Nets that never lose any hardly use their deepest one.
        skip_until: the share of the epochs in which they do, rounded up to whole ones; the others
            bring together what was learnt.
        freeze_norm: after so many epochs batch norm keeps its running statistics, as in
            evaluation: those of a few small crops say too little of absolute values; 0 for never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Literal["regression", "segmentation"] = "regression"
    epochs: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["steps", "cosine"] = "steps"
    lr_step: PositiveInt = 1
    lr_factor: PositiveFloat = 1.0
    milestones: Annotated[list[PositiveInt], BeforeValidator(_numbers)] = Field(
        default_factory=list
    )
    drawn: NonNegativeInt = 0
    warmup: NonNegativeInt = 0
    clip: float = Field(default=1.0, ge=0)
    crop: NonNegativeInt = 0
    crops: PositiveInt = 1
    shift_augment: NonNegativeInt = 0
    error_augment: float = Field(default=1.0, ge=1)
    skip_dropout: float = Field(default=0.0, ge=0, lt=1)
    skip_until: float = Field(default=0.5, gt=0, le=1)
    freeze_norm: NonNegativeInt = 0


_SAMPLE_MRI = Recipe(
    epochs=20, batch=4, learning_rate=2e-3, schedule="cosine", warmup=100, drawn=200
)

PRESETS = {
    "paper-mri": Recipe(epochs=50, batch=16, learning_rate=1e-3, lr_step=5, lr_factor=0.5),
    "paper-ct": Recipe(epochs=20, batch=8, learning_rate=1e-2, lr_step=5, lr_factor=0.1),
    "sample": Recipe(
        epochs=16, batch=4, learning_rate=5e-3, lr_step=3, lr_factor=0.5, crop=128, crops=16,
        freeze_norm=2,
    ),
    # whole images of many contrasts, four at a time: on crops of one brain's, or from batches of
    # two, networks learn to do without their deep levels. No motion: it would augment with shifts
    "sample-mri": _SAMPLE_MRI,
    # even so, the deepest level of some is next to idle, if they never have to rely on it
    "sample-mri-unet": _SAMPLE_MRI.model_copy(update={"skip_dropout": 0.25}),
    # the patient whose slices are validated on has more noise than the other
    "sample-ct": Recipe(
        epochs=8, batch=4, learning_rate=1e-2, lr_step=2, lr_factor=0.5, warmup=100, crop=96,
        crops=28, freeze_norm=2, error_augment=1.6,
    ),
    # from the network for MRI, whose deep levels are at work. CT can be denoised without them: they
    # are kept by images that lose skip connections, for an epoch after norms are frozen as well.
    # Then four epochs at a middle rate: after more of them levels are given up, after fewer the
    # plain APS network denoises little; then low rates, until quality has levelled off. Norms are
    # frozen since statistics of four bodies say too little of absolute values
    "sample-ct-unet": Recipe(
        epochs=40, batch=4, learning_rate=3e-3, milestones=[10, 15, 20], lr_factor=0.25, warmup=100,
        drawn=200, skip_dropout=0.25, skip_until=0.27, freeze_norm=10,
    ),
    # parts whose corners are multiples of the total stride: random crops are shifts
    "sample-seg": Recipe(
        task="segmentation", epochs=10, batch=2, learning_rate=1e-2, schedule="cosine",
        warmup=50, drawn=128,
    ),
    # as long as sample, from the weights of a network before its treatment
    "finetune": Recipe(
        epochs=16, batch=4, learning_rate=2e-3, lr_step=3, lr_factor=0.5, crop=128, crops=16,
        warmup=50, freeze_norm=2,
    ),
}  # fmt: skip

_SUITES = {
    "fastmri": "paper-mri",
    "lodopab": "paper-ct",
    "mri-sample": "sample-mri",
    "ct-sample": "sample-ct",
    "seg-sample": "sample-seg",
}


def preset_for(suite: str) -> str:
    """The preset that fits a registered suite."""
    return _SUITES.get(suite, "sample")


def recipe(preset: str, **changes: float | str | None) -> Recipe:
    """A preset with some of its values replaced; None keeps one. A step replaces milestones, too.

    Raises:
        UsageError: no such preset, or a value that no recipe can have.
    """
    if preset not in PRESETS:
        raise UsageError(f"no preset is called {preset!r}: choose {', '.join(PRESETS)}")
    given: dict[str, object] = {name: v for name, v in changes.items() if v is not None}
    if "lr_step" in given:
        given = {"milestones": []} | given
    return checked(Recipe, PRESETS[preset].model_dump() | given, f"preset {preset}")
