"""What a look at an upload found: one finding per question, good or bad, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from backend.core.errors import BadFile, Fault

Key = Literal["file", "cells", "genes", "coordinates", "counts", "species", "orientation"]
State = Literal["ok", "warning", "blocked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the preflight card.

    Parameters
    ----------
    key : str
        The question: file, cells, genes, coordinates, counts, species or orientation.
    state : str
        ok, warning (it runs, with less to conclude) or blocked (it cannot run).
    title : str
        What was found, in a few words.
    value : str
        The figure or name beside it.
    text : str
        What it means; for a blocked finding, what was expected.
    fix : str
        What to do about it; empty where nothing is.
    where : str
        Field of the file.
    """

    key: Key
    state: State
    title: str
    value: str = ""
    text: str = ""
    fix: str = ""
    where: str = ""

    def as_fault(self) -> Fault:
        """Return a blocked finding as a fault of the file."""
        what = f"{self.title} ({self.value})" if self.value else self.title
        return Fault(what, self.where or self.key, self.text, self.fix)


@dataclass(frozen=True, slots=True)
class Preflight:
    """All that a look at an upload found, before any computation.

    Parameters
    ----------
    n_matched, n_panel : int
        Genes of the file that the atlas knows, of so many in the file.
    xy_unit : str
        "um", "mm", "px" (or another regular unit of the source), or "" where there is none.
    coordinates_in, counts_in : str
        Fields that will be read, such as ``obsm/spatial`` and ``layers/counts``.
    seconds : float
        Estimate of the annotation's duration.
    """

    filename: str
    n_cells: int = 0
    n_genes: int = 0
    n_matched: int = 0
    n_panel: int = 0
    xy_unit: str = ""
    coordinates_in: str = ""
    counts_in: str = ""
    genes_in: str = ""
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing blocks."""
        return not any(f.state == "blocked" for f in self.findings)

    def raise_if_blocked(self) -> None:
        """Raise BadFile with every blocking finding, if there is one."""
        faults = [f.as_fault() for f in self.findings if f.state == "blocked"]
        if faults:
            raise BadFile(self.filename, faults)

    def as_json(self) -> dict[str, Any]:
        """Return the card as JSON."""
        return {**asdict(self), "ok": self.ok}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preflight:
        """Return the card that ``as_json`` spelt."""
        known = {f.name for f in fields(cls)} - {"findings"}
        found = tuple(Finding(**f) for f in value["findings"])
        return cls(**{k: v for k, v in value.items() if k in known}, findings=found)


def refused(filename: str, findings: Iterable[Finding]) -> Preflight:
    """Return the card of a file that cannot be looked at any further."""
    return Preflight(filename, findings=tuple(findings))
