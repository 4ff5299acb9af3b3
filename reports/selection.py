"""Which reports, tables and figures are written: what ``--only`` picks."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from equibench.errors import UsageError
from equibench.registry.registries import REPORTS, Entry
from equibench.reports.figures.figure_files import FIGURES
from equibench.reports.tables.table_files import TABLES

__all__ = ["Selection"]

_PARTS: dict[str, Collection[str]] = {"tables": TABLES, "figures": FIGURES}


@dataclass(frozen=True)
class Selection:
    """Names of reports, and of single tables and figures; nothing picks everything."""

    names: Sequence[str]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Selection":
        """Check names.

        Raises:
            UsageError: there is no such report, table or figure.
        """
        parts = [name for each in _PARTS.values() for name in each]
        known = [*(entry.name for entry in REPORTS.entries()), *parts]
        for name in names:
            if name not in known:
                raise UsageError(f"--only {name}: choose among {', '.join(known)}")
        return cls(names)

    def has(self, report: str) -> bool:
        return not self.names or report in self.names

    def reports(self, image_seconds: float) -> Iterator[tuple[Entry[Any], dict[str, Any]]]:
        """Each report that is written, and the options that it is called with."""
        for entry in REPORTS.entries():
            picked = [name for name in self.names if name in _PARTS.get(entry.name, ())]
            if not (self.has(entry.name) or picked):
                continue
            if entry.name in _PARTS:
                yield entry, {} if self.has(entry.name) else {"only": picked}
            else:
                yield entry, {"image_seconds": image_seconds} if entry.name == "html" else {}
