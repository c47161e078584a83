"""Comparing a run with a reference: rows of ours, theirs, error and tolerance; and the report."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

Measure = Literal["relative", "absolute"]


@dataclass(frozen=True, slots=True)
class ParityRow:
    """One tensor, loss or metric beside its reference.

    Parameters
    ----------
    name : str
    ours, reference : float
        The value itself; of a tensor, the entries where the error is largest.
    error : float
        Largest error: relative for tensors and losses, absolute for metrics.
    tolerance : float
    measure : "relative" or "absolute"
    """

    name: str
    ours: float
    reference: float
    error: float
    tolerance: float
    measure: Measure = "relative"

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; an error that is no number is not."""
        return self.error <= self.tolerance

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; what is not finite becomes None."""
        numbers = {"ours": self.ours, "reference": self.reference, "error": self.error}
        finite = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
        rest = {"tolerance": self.tolerance, "measure": self.measure, "ok": self.ok}
        return {"name": self.name, **finite, **rest}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """All rows of one run.

    Parameters
    ----------
    method, fixture : str
    rows : tuple of ParityRow
    notes : tuple of str
        What the reader must know to judge the rows, a sentence each.
    """

    method: str
    fixture: str
    rows: tuple[ParityRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there are rows and all are within tolerance."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "method": self.method,
            "fixture": self.fixture,
            "ok": self.ok,
            "rows": [row.as_json() for row in self.rows],
            "notes": list(self.notes),
        }

    def table(self) -> str:
        """Return the rows as a table for people."""
        width = max([len(row.name) for row in self.rows] + [len("name")])
        head = f"{'name':<{width}}  {'ours':>12}  {'reference':>12}  {'error':>9}  {'allowed':>9}"
        lines = [head] + [_line(row, width) for row in self.rows]
        missed = sum(not row.ok for row in self.rows)
        last = f"{len(self.rows) - missed} of {len(self.rows)} within tolerance."
        return "\n".join([*lines, *self.notes, last])


def _line(row: ParityRow, width: int) -> str:
    sign = "" if row.ok else "  MISSED"
    kind = "rel" if row.measure == "relative" else "abs"
    return (
        f"{row.name:<{width}}  {row.ours:>12.6g}  {row.reference:>12.6g}  {row.error:>9.2g}  "
        f"{row.tolerance:>9.2g} {kind}{sign}"
    )


def compared(name: str, ours: ArrayLike, reference: ArrayLike, tolerance: float) -> ParityRow:
    """Return the row of a tensor or loss: its largest error relative to the reference.

    Parameters
    ----------
    name : str
    ours, reference : array_like of one shape
    tolerance : float

    Notes
    -----
    Errors are divided by the root mean square of the reference, which for a single number is its
    size: entries near zero would make a ratio entry by entry meaningless. Shapes that differ, or
    an entry that is not finite, count as an infinite error.
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape or not a.size:
        return ParityRow(f"{name}: shape {a.shape}, not {b.shape}", np.nan, np.nan, np.inf, 0.0)
    gap = np.abs(a - b)
    worst = int(np.argmax(np.where(np.isfinite(gap), gap, np.inf)))
    scale = float(np.sqrt(np.mean(b**2))) or 1.0
    error = float(gap.ravel()[worst]) / scale
    error = error if math.isfinite(error) else math.inf
    return ParityRow(name, float(a.ravel()[worst]), float(b.ravel()[worst]), error, tolerance)


def metric(name: str, ours: float, reference: float, tolerance: float) -> ParityRow:
    """Return the row of a metric, which may differ by ``tolerance`` in absolute terms."""
    error = abs(ours - reference)
    error = error if math.isfinite(error) else math.inf
    return ParityRow(name, ours, reference, error, tolerance, "absolute")


def report(method: str, fixture: str, rows: Iterable[ParityRow], *notes: str) -> ParityReport:
    """Return the report of ``rows``."""
    return ParityReport(method, fixture, tuple(rows), notes)
