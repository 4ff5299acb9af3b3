"""Where data and caches live."""

import os
from pathlib import Path

import platformdirs

from equibench.foundation.file_names import as_path

__all__ = ["cache_folder", "data_folder"]


def cache_folder() -> Path:
    """``EQUIBENCH_CACHE``, or the platform's cache folder."""
    chosen = os.environ.get("EQUIBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("equibench")


def data_folder(suite: str, root: str | None = None) -> Path | None:
    """The data root of a suite: ``root`` if given, else ``$EQUIBENCH_DATA/SUITE``, else None."""
    if root:
        return as_path(root)
    base = os.environ.get("EQUIBENCH_DATA")
    return Path(base).expanduser() / suite if base else None
