"""Images that a caller has: arrays, lists of different sizes, data sets and loaders, as a suite.

Signals and volumes are images of one and of three axes in space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from equibench.cases.suite import Case, Suite
from equibench.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PythonData", "is_data", "white_of"]

_INPUTS = ("image", "input", "img")
_TARGETS = ("target", "label", "mask")
"""What the image and its ground truth are called in dicts, unless the caller says."""
_CHANNELS = (1, 3, 4)
_FORMS = {1: "(L,) or (C, L)", 2: "(H, W) or (C, H, W)", 3: "(D, H, W) or (C, D, H, W)"}
"""Of one item, by its axes in space."""


def white_of(dtype: np.dtype[Any]) -> float | None:
    """The value that a type calls white, black being 0: the largest of unsigned whole numbers.

    None for what has units of its own: floats and signed numbers.
    """
    if dtype == np.bool_:
        return 1.0
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else None


def is_data(data: object) -> bool:
    """Whether something is images, or holds items by their number, or gives them one by one."""
    if isinstance(data, str | bytes | Mapping | Suite):
        return False
    return hasattr(data, "__getitem__") or hasattr(data, "__iter__")


class PythonData(Suite):
    """A suite over images that a caller has.

    A case is an item, named by its number. Images are (H, W) or (C, H, W); arrays and PIL images
    may have their channels last. With ``dims=1`` they are signals, (L,) or (C, L), with ``dims=3``
    volumes, (D, H, W) or (C, D, H, W). Floats are taken as they are; unsigned whole numbers are
    brought to 0 … 1 by their type, 255 of a byte being 1. A ground truth that is no image, such as
    the class of a photograph, is none.

    Args:
        data: an array or tensor (B, C, H, W), of signals (B, C, L) or of volumes
            (B, C, D, H, W); a list of images of any sizes; or a ``torch.utils.data.Dataset`` or
            ``DataLoader`` whose items (batches) are images, (image, target) or dicts. The order is
            that of the data set, however a loader mixes it. What can only be read from its
            beginning (an ``IterableDataset``, a loader with a ``collate_fn`` of its own) is read to
            its end and kept in memory.
        targets: ground truths in the same form, where the items of ``data`` have none.
        input_key, target_key: where an item has image and ground truth, a key or a position; by
            default ``image``, ``input`` or ``img`` and ``target``, ``label`` or ``mask`` of a
            dict, and the first two members of a tuple.
        dims: axes in space of the items of a list, a data set or a loader; 2 by default. Those of
            an array are what follows batch and channels.

    Raises:
        UsageError: from ``cases``: there are no items, or as many targets as images, or an item
            is not the same when it is asked for again.
        DataError: from ``load``: an item is no image.
    """

    name = "images"

    def __init__(
        self,
        data: Any,
        targets: Any = None,
        *,
        input_key: str | int | None = None,
        target_key: str | int | None = None,
        dims: int | None = None,
    ) -> None:
        self.keys = input_key, target_key
        self.dims = _dims(data, dims)
        self.items = _items(data, self.keys)
        self.targets = None if targets is None else _items(targets, (None, None))
        self.axes = self.dims or 2
        self._lock = Lock()  # files behind a data set are seldom safe to read from two threads

    def cases(self) -> Sequence[str]:
        count = len(self.items)
        if self.targets is not None and len(self.targets) != count:
            raise UsageError(f"{count} images, but {len(self.targets)} targets: give one for each")
        if count and not self._tried():
            raise UsageError(
                "the data give another image 0 each time they are asked for it: leave random "
                "augmentation out"
            )
        return [f"{i:05d}" for i in range(count)]

    def load(self, name: str) -> Case:
        number = int(name)
        with self._lock:
            image, target = _pair(self.items[number], self.keys)
            if self.targets is not None:
                target = self.targets[number]
        return Case(
            name=name,
            input=_image(image, f"item {number}", self.dims),
            target=_target(target, f"the target of item {number}", self.dims),
        )

    def _tried(self) -> bool:
        """Whether the first item is the same once more; its axes are those of all."""
        import torch

        try:
            one, other = self.load("0").input, self.load("0").input
        except Exception:  # loading it says why
            return True
        self.axes = one.ndim - 2
        return torch.equal(one.nan_to_num(), other.nan_to_num())


def _dims(data: Any, dims: int | None) -> int | None:
    """Axes in space of items, as an array has them or as the caller says."""
    if dims is not None and dims not in _FORMS:
        raise UsageError(f"dims={dims} is not 1 (signals), 2 (images) or 3 (volumes)")
    if not hasattr(data, "ndim"):
        return dims
    own = int(data.ndim) - 2
    if own not in _FORMS:
        raise UsageError(
            f"an array of {data.ndim} axes, {tuple(data.shape)}, is no images (B, C, H, W), "
            "signals (B, C, L) or volumes (B, C, D, H, W): put a single one into a list"
        )
    if dims not in (None, own):
        raise UsageError(
            f"dims={dims}, but an array {tuple(data.shape)} has {own} axes behind batch and "
            "channels: add what is missing, array[:, None] for one channel"
        )
    return own


def _items(data: Any, keys: tuple[str | int | None, str | int | None]) -> Any:
    """What has items by their number and a length."""
    from torch.utils.data import DataLoader, IterableDataset, default_collate

    if isinstance(data, DataLoader):
        if isinstance(data.dataset, IterableDataset) or data.collate_fn is not default_collate:
            return [item for batch in data for item in _unbatched(batch, keys)]
        return _Chosen(data.dataset, _numbers(data))
    if hasattr(data, "ndim"):
        return data
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        return list(data)
    if not hasattr(data, "__len__"):
        raise UsageError(f"{type(data).__name__} has no length: give a list of its items")
    return data


def _numbers(loader: Any) -> Sequence[int]:
    """Which items a loader gives, in the order of its data set."""
    from torch.utils.data import RandomSampler, SequentialSampler

    if loader.sampler is None or isinstance(loader.sampler, RandomSampler | SequentialSampler):
        return range(len(loader.dataset))
    return sorted(set(loader.sampler))


class _Chosen:
    """Some items of a data set."""

    def __init__(self, items: Any, numbers: Sequence[int]) -> None:
        self._items, self._numbers = items, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> Any:
        return self._items[self._numbers[number]]


def _unbatched(batch: Any, keys: tuple[str | int | None, str | int | None]) -> Iterator[Any]:
    """The (image, target) of a batch one by one."""
    images, targets = _pair(batch, keys)
    for number, image in enumerate(images):
        yield image, None if targets is None else targets[number]


def _pair(item: Any, keys: tuple[str | int | None, str | int | None]) -> tuple[Any, Any]:
    """The image and the ground truth of an item.

    Raises:
        DataError: it has none under the key; the message lists its keys.
    """
    defaults: tuple[Sequence[str | int], Sequence[str | int]]
    if isinstance(item, Mapping):
        defaults = _INPUTS, _TARGETS
    elif isinstance(item, tuple | list):
        defaults = (0,), (1,)
    else:
        return item, None
    known = list(item) if isinstance(item, Mapping) else list(range(len(item)))
    found: list[Any] = []
    for setting, chosen, usual in zip(("input_key", "target_key"), keys, defaults, strict=True):
        key = next((k for k in usual if k in known), None) if chosen is None else chosen
        if key not in known and (key is not None or setting == "input_key"):
            has = ", ".join(map(str, known))
            raise DataError(f"an item has {has}: say which is the image with {setting}=…")
        found.append(None if key is None else item[key])
    return found[0], found[1]


def _image(value: Any, place: str, dims: int | None) -> Tensor:
    """(1, C, *size) in floats."""
    values = _tensor(value, place, dims)
    white = _white(values)
    if white is not None:
        return values.double().div(white).float()
    if not values.is_floating_point():
        raise DataError(f"{place} holds {values.dtype}, which has no white: give floats")
    return values


def _target(value: Any, place: str, dims: int | None) -> Tensor | None:
    """(1, C, *size) in floats, or classes in whole numbers; None for what is no image."""
    if not hasattr(value, "ndim") and not _is_pil(value):
        return None
    if hasattr(value, "ndim") and value.ndim < (2 if dims is None else dims):
        return None
    values = _tensor(value, place, dims)
    is_classes = type(value).__name__ == "Mask" or getattr(value, "mode", "") == "P"
    signed = not values.is_floating_point() and _white(values) is None
    return values.long() if is_classes or signed else _image(value, place, dims)


def _white(values: Tensor) -> float | None:
    import torch

    return white_of(torch.empty(0, dtype=values.dtype).numpy().dtype) if _plain(values) else None


def _plain(values: Tensor) -> bool:
    """Whether NumPy has the type as well."""
    return not str(values.dtype).startswith(("torch.bfloat16", "torch.float8"))


def _tensor(value: Any, place: str, dims: int | None) -> Tensor:
    """(1, C, *size) of whatever type; MONAI's and torchvision's kinds of tensors as plain ones."""
    import torch

    if isinstance(value, torch.Tensor):
        values, last = value.detach().as_subclass(torch.Tensor), False
    elif isinstance(value, np.ndarray):
        values, last = torch.from_numpy(np.ascontiguousarray(value)), True
    elif _is_pil(value):
        colours = value.convert("RGB") if value.mode in ("CMYK", "YCbCr", "LAB", "HSV") else value
        values, last = torch.from_numpy(np.array(colours)), True
    else:
        raise DataError(f"{place} is a {type(value).__name__}, not an image")
    space = dims or 2
    if values.ndim == space:
        return values[None, None]
    if values.ndim != space + 1:
        what = {1: "a signal", 2: "an image", 3: "a volume"}[space]
        more = "; dims=1 is for signals, dims=3 for volumes" if dims is None else ""
        raise DataError(
            f"{place} has {values.ndim} axes, {tuple(value.shape)}: {what} is {_FORMS[space]}{more}"
        )
    if space == 2 and last and values.shape[0] not in _CHANNELS and values.shape[2] in _CHANNELS:
        values = values.permute(2, 0, 1)
    return values[None].contiguous()


def _is_pil(value: Any) -> bool:
    return hasattr(value, "convert") and hasattr(value, "mode")
