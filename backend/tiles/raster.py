"""From cells to colour indices: kernels over Z-ordered runs.

Rows are sorted along the Z-curve, so the cells of a pixel are one run of rows: a count, a majority
or a mean is one pass over the run, whatever the number of categories. Kernels write the index of a
pixel's colour (``backend.tiles.shade``) into a square raster that several sections may share;
pixels without cells are left as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.tiles import kernels
from backend.tiles.frames import Frame, frozen, places_of

NO_VALUE = kernels.NO_VALUE
#: Changes whenever pixels may change, so that cached tiles are not used again.
KERNEL_VERSION = 1

Index = NDArray[np.uint16]


class Range(NamedTuple):
    """How a number becomes a place on the ramp.

    ``zero`` draws the value zero in its flat colour; ``log`` spreads low values out.
    """

    lo: float
    hi: float
    zero: bool = False
    log: bool = False

    def ramp(self, steps: int) -> tuple[float, float, int, bool, bool]:
        """Return what the kernels need: low end, width, steps, zero, log."""
        return float(self.lo), float(self.hi - self.lo), steps, self.zero, self.log


def add_counts(codes: NDArray[Any], frame: Frame, out: NDArray[Any], weights: Any = None) -> None:
    """Add the number of cells of each pixel to ``out``.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    out : (size, size) int64
    weights : (n,) uint32, optional
        Cells per row; 1 where not given.
    """
    cells = np.zeros(0, np.uint32) if weights is None else weights
    kernels.add_counts(frozen(codes), frozen(cells), *frame, *_flat(out))


def put_counts(
    counts: NDArray[np.int64], area: float, scale: Range, steps: int, out: Index
) -> None:
    """Write the colour of counts per ``area`` where there are any."""
    kernels.put_counts(counts.reshape(-1), area, *scale.ramp(steps), out.reshape(-1))


def put_colour(codes: NDArray[Any], frame: Frame, colour: int, out: Index) -> None:
    """Write one colour index into every pixel with cells."""
    places, flat = _flat(out)
    kernels.put_colour(frozen(codes), *frame, places, colour, flat)


def put_firsts(
    codes: NDArray[Any], frame: Frame, top: NDArray[np.int16], table: Index, out: Index
) -> None:
    """Write the first category of bins that are pixels.

    Parameters
    ----------
    codes : (b,) uint32 or uint64
    frame : Frame
    top : (b, k) int16
        Categories of each bin, most first.
    table : (categories + 2,) uint16
        Colour index of nothing, of no label, of each category.
    out : (size, size) uint16
    """
    places, flat = _flat(out)
    kernels.put_firsts(frozen(codes), frozen(top), *frame, places, table, flat)


def put_majority(
    codes: NDArray[Any],
    frame: Frame,
    categories: NDArray[np.int16],
    ranks: NDArray[np.int64],
    table: Index,
    out: Index,
) -> None:
    """Write the commonest category of each pixel, wanted ones first; ties go to the lower code.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    categories : (n,) int16
        -1 is missing: not counted, and written only where a pixel has nothing else.
    ranks : (k + 1,) int64
        See ``category_ranks``.
    table : (k + 2,) uint16
        Colour index of nothing, of no label, of each category.
    out : (size, size) uint16
    """
    tally = np.zeros(len(ranks), np.int64)
    rows, (places, flat) = (frozen(codes), frozen(categories)), _flat(out)
    kernels.put_majority(*rows, *frame, places, tally, frozen(ranks), table, flat)


def category_ranks(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return which category is written where several are equally common, the highest rank.

    Where a pixel holds wanted and other categories, the commonest wanted one is written, so that a
    rare class does not vanish in an overview.

    Parameters
    ----------
    wanted : (k,) bool

    Returns
    -------
    (k + 1,) int64
        Of no label, then of each category.
    """
    ranks = kernels.KNOWN + kernels.WANTED * wanted.astype(np.int64)
    return np.concatenate([[0], ranks + 0xFFFF - np.arange(len(wanted))]).astype(np.int64)


def put_means(
    codes: NDArray[Any],
    frame: Frame,
    values: NDArray[np.float32],
    scale: Range,
    steps: int,
    out: Index,
) -> None:
    """Write the mean value of each pixel; no value where its cells have none.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    values : (n,) float32
        nan is missing and not counted.
    scale, steps : Range and number of colours of the ramp
    out : (size, size) uint16
    """
    places, flat = _flat(out)
    rows = frozen(codes), frozen(values)
    kernels.put_means(*rows, *frame, places, *scale.ramp(steps), flat)


def put_imputed(
    codes: NDArray[Any],
    frame: Frame,
    cells: NDArray[np.int8],
    direction: tuple[NDArray[np.float32], float],
    scale: Range,
    steps: int,
    out: Index,
) -> None:
    """Write the mean imputed value of each pixel, clipped at zero after the mean.

    Parameters
    ----------
    codes : (n,) uint32 or uint64
        Ascending.
    frame : Frame
    cells : (n, d) int8
        Quantised embeddings; means of bins are embeddings too, since the score is linear.
    direction : (d,) float32 and float
        Scale of the embedding times the gene's own embedding; offset.
    scale, steps : Range and number of colours of the ramp
    out : (size, size) uint16
    """
    slope, offset = frozen(direction[0]), np.float32(direction[1])
    places, flat = _flat(out)
    rows = frozen(codes), frozen(cells)
    kernels.put_imputed(*rows, slope, offset, *frame, places, *scale.ramp(steps), flat)


def imputed(
    cells: NDArray[np.int8],
    rows: NDArray[np.int64],
    direction: NDArray[np.float32],
    offset: float,
) -> NDArray[np.float32]:
    """Return max(0, offset + cells[rows] . direction), (m,) float32."""
    out = np.empty(len(rows), np.float32)
    kernels.imputed(frozen(cells), frozen(rows), frozen(direction), np.float32(offset), out)
    return out


def index_numbers(
    values: NDArray[np.float32], scale: Range, steps: int, missing: int = kernels.NOTHING
) -> Index:
    """Return the colour index of numbers; infinite is no value, nan is ``missing``."""
    out = np.empty(values.shape, np.uint16)
    ramp = scale.ramp(steps)
    kernels.index_numbers(frozen(values).reshape(-1), *ramp, missing, out.reshape(-1))
    return out


def mean_of_bins(
    first: NDArray[np.int64], values: NDArray[np.float32], start: int
) -> NDArray[np.float32]:
    """Return the mean value of each bin, nan where none of its cells has a value.

    Parameters
    ----------
    first : (b,) int64
        First atlas row of each bin, ascending; bins adjoin one another.
    values : (n,) float32
        Of the rows ``start`` .. ``start + n - 1``, which the bins cover.
    start : int

    Returns
    -------
    (b,) float32
    """
    out = np.empty(len(first), np.float32)
    kernels.mean_of_bins(frozen(first), frozen(values), start, out)
    return out


def _flat(out: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return where pixels lie in a raster, and the raster, row after row."""
    return places_of(len(out)), out.reshape(-1)
