"""Counts of an upload: which matrix holds raw counts, and what the values are like."""

from __future__ import annotations

from typing import NamedTuple

import h5py
import numpy as np

from backend.core.settings import Limits
from backend.intake.fields import Matrix, Unreadable, check_sparse, matrix_at, value_blocks
from backend.intake.findings import Finding
from backend.intake.mapping import COUNTS

#: Values looked at; of more, blocks spread evenly over the matrix.
SCANNED = 60_000_000
_RAW = "Raw counts: whole numbers from zero up."
_SET = "adata.layers['counts'] = raw counts; then save it again."


class Values(NamedTuple):
    """Tally of stored values."""

    n: int
    not_finite: int
    negative: int
    fractional: int
    largest: float

    @property
    def are_counts(self) -> bool:
        """Whether all are whole numbers from zero up."""
        return not (self.not_finite or self.negative or self.fractional)


def tally(matrix: Matrix) -> Values:
    """Return what the stored values of a matrix are like."""
    n = not_finite = negative = fractional = 0
    largest = 0.0
    for block in value_blocks(matrix, SCANNED):
        n += block.size
        if block.dtype.kind == "f":
            good = np.isfinite(block)
            not_finite += int(block.size - np.count_nonzero(good))
            block = block[good]
            fractional += int(np.count_nonzero(block != np.rint(block)))
        negative += int(np.count_nonzero(block < 0))
        largest = max(largest, float(block.max()) if block.size else 0.0)
    return Values(n, not_finite, negative, fractional, largest)


def matrices(file: h5py.File, limits: Limits) -> tuple[list[Matrix], list[Finding]]:
    """Return the matrices that may hold counts, by their headers, and what is wrong with others."""
    found: list[Matrix] = []
    faults: list[Finding] = []
    for field in COUNTS:
        try:
            matrix = matrix_at(file, field)
        except Unreadable as error:
            faults.append(_blocked(str(error), "", "A matrix of cells x genes.", field))
            continue
        if matrix is None:
            continue
        faults += _too_large(matrix, limits)
        found.append(matrix)
    return found, faults


def _too_large(matrix: Matrix, limits: Limits) -> list[Finding]:
    asked = (
        ("cells", matrix.shape[0], limits.cells),
        ("genes", matrix.shape[1], limits.genes),
        ("values", matrix.nonzeros, limits.nonzeros),
    )
    return [
        Finding(
            "cells" if noun == "cells" else "file",
            "blocked",
            f"{matrix.field} declares too many {noun}",
            f"{n:,} {noun}",
            f"At most {most:,} {noun}.",
            "Send one section at a time, or use the command line.",
            matrix.field,
        )
        for noun, n, most in asked
        if n > most
    ]


def check_counts(found: list[Matrix]) -> tuple[list[Finding], Matrix | None]:
    """Return findings on the counts, and the matrix that will be read.

    The first field that holds raw counts is taken; where none does, X is, if it can be used.
    """
    if not found:
        return [_blocked("There is no expression matrix", "", _RAW, "X")], None
    faults: list[Finding] = []
    seen: list[tuple[Matrix, Values]] = []
    for matrix in found:
        try:
            check_sparse(matrix)
        except Unreadable as error:
            text = "A sparse matrix as anndata writes it."
            faults.append(_blocked(f"The matrix is damaged: {error}", "", text, matrix.field))
            continue
        values = tally(matrix)
        if values.are_counts:
            return [*faults, _raw(matrix, values)], matrix
        seen.append((matrix, values))
    for matrix, values in seen:
        if not (values.not_finite or values.negative):
            return [*faults, _transformed(matrix, values)], matrix
    return [*faults, *(f for m, v in seen for f in _unusable(m, v))], None


def _raw(matrix: Matrix, values: Values) -> Finding:
    text = "" if matrix.field == "X" else f"Read from {matrix.field}; X is left alone."
    return Finding("counts", "ok", "Raw counts", f"up to {values.largest:,.0f}", text)


def _transformed(matrix: Matrix, values: Values) -> Finding:
    guess = "log-normalised" if values.largest < 25 else "normalised"
    return Finding(
        "counts",
        "warning",
        f"{matrix.field} holds no raw counts; it looks {guess}",
        f"up to {values.largest:.4g}",
        "The values are used as they are. Confidence was calibrated on counts and may be off.",
        _SET,
        matrix.field,
    )


def _unusable(matrix: Matrix, values: Values) -> list[Finding]:
    faults = []
    if values.not_finite:
        title = "Values are not finite (NaN or infinite)"
        faults.append(_blocked(title, f"{values.not_finite:,} values", _RAW, matrix.field))
    if values.negative:
        title = "Values are negative: the matrix was scaled"
        faults.append(_blocked(title, f"{values.negative:,} values", _RAW, matrix.field))
    return faults


def _blocked(title: str, value: str, text: str, where: str) -> Finding:
    return Finding("counts", "blocked", title, value, text, _SET, where)
