"""Kernels over Z-ordered runs, from rows to colour indices; called by ``backend.tiles.raster``.

A raster is one row after the other, (size * size,); ``places`` turns a pixel's code into its place
there (``backend.tiles.frames.places_of``).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

#: Indices of colours: nothing, no value, the value zero, the first of the ramp.
NOTHING, NO_VALUE, ZERO, RAMP = 0, 1, 2, 3
#: Least rank of a category, and what is added to that of a wanted one.
KNOWN, WANTED = 1 << 50, 1 << 48


@numba.njit(cache=True, nogil=True)
def _place(places: Any, pixel: Any) -> Any:
    low, middle, high = (
        pixel & np.uint64(255),
        (pixel >> np.uint64(8)) & np.uint64(255),
        pixel >> np.uint64(16),
    )
    return places[low] + (places[middle] << 4) + (places[high] << 8)


@numba.njit(cache=True, nogil=True)
def _pixel(code: Any, base: Any, up: Any, down: Any) -> Any:
    return (base + (np.uint64(code) << up)) >> down


@numba.njit(cache=True, nogil=True)
def _run_end(codes: Any, i: int, pixel: Any, base: Any, up: Any, down: Any) -> Any:
    j = i + 1
    while j < len(codes) and _pixel(codes[j], base, up, down) == pixel:
        j += 1
    return j


@numba.njit(cache=True, nogil=True)
def _colour(value: Any, lo: Any, width: Any, steps: Any, zero: Any, log: Any) -> Any:
    if np.isinf(value):
        return NO_VALUE
    if zero and value == 0:
        return ZERO
    t = (value - lo) / width if width > 0 else (1.0 if value > lo else 0.0)
    t = min(1.0, max(0.0, t))
    if log:
        t = np.log1p(9.0 * t) / np.log(10.0)
    return RAMP + np.int64(t * (steps - 1) + 0.5)


@numba.njit(cache=True, nogil=True)
def add_counts(
    codes: Any, weights: Any, base: Any, up: Any, down: Any, places: Any, out: Any
) -> None:
    """Add the cells of each run to its pixel."""
    i = 0
    while i < len(codes):
        pixel = _pixel(codes[i], base, up, down)
        j = _run_end(codes, i, pixel, base, up, down)
        total = j - i
        if len(weights):
            total = 0
            for k in range(i, j):
                total += np.int64(weights[k])
        out[_place(places, pixel)] += total
        i = j


@numba.njit(cache=True, nogil=True)
def put_counts(
    counts: Any, area: float, lo: Any, width: Any, steps: Any, zero: Any, log: Any, out: Any
) -> None:
    """Colour the pixels that have a count."""
    for i in range(len(counts)):
        if counts[i] > 0:
            out[i] = _colour(np.float32(counts[i] / area), lo, width, steps, zero, log)


@numba.njit(cache=True, nogil=True)
def put_colour(
    codes: Any, base: Any, up: Any, down: Any, places: Any, colour: int, out: Any
) -> None:
    """Write one colour into the pixel of each code."""
    for i in range(len(codes)):
        out[_place(places, _pixel(codes[i], base, up, down))] = colour


@numba.njit(cache=True, nogil=True)
def put_firsts(
    codes: Any, top: Any, base: Any, up: Any, down: Any, places: Any, table: Any, out: Any
) -> None:
    """Write the colour of the first category of each code."""
    for i in range(len(codes)):
        place = _place(places, _pixel(codes[i], base, up, down))
        out[place] = table[np.int64(top[i, 0]) + 2]


@numba.njit(cache=True, nogil=True)
def put_majority(
    codes: Any,
    categories: Any,
    base: Any,
    up: Any,
    down: Any,
    places: Any,
    tally: Any,
    ranks: Any,
    table: Any,
    out: Any,
) -> None:
    """Write the colour of the commonest category of each run; ``ranks`` as ``category_ranks``."""
    i, n = 0, len(codes)
    pixel = _pixel(codes[0], base, up, down) if n else np.uint64(0)
    while i < n:
        best = np.int64(-1)
        j, following = i, pixel
        # No branch on what a cell is: neighbours are of many kinds, and none could be foreseen.
        while j < n:
            following = _pixel(codes[j], base, up, down)
            if following != pixel:
                break
            c = np.int64(categories[j]) + 1
            tally[c] += 1
            best = max(best, ranks[c] + (tally[c] << 16))
            j += 1
        for k in range(i, j):
            tally[np.int64(categories[k]) + 1] = 0
        found = np.int64(0xFFFF) - (best & 0xFFFF) if best >= KNOWN else np.int64(-1)
        out[_place(places, pixel)] = table[found + 2]
        i, pixel = j, following


@numba.njit(cache=True, nogil=True)
def put_means(
    codes: Any,
    values: Any,
    base: Any,
    up: Any,
    down: Any,
    places: Any,
    lo: Any,
    width: Any,
    steps: Any,
    zero: Any,
    log: Any,
    out: Any,
) -> None:
    """Write the colour of the mean of each run."""
    i, n = 0, len(codes)
    pixel = _pixel(codes[0], base, up, down) if n else np.uint64(0)
    while i < n:
        total, known = 0.0, 0
        j, following = i, pixel
        while j < n:
            following = _pixel(codes[j], base, up, down)
            if following != pixel:
                break
            if not np.isnan(values[j]):
                total += values[j]
                known += 1
            j += 1
        if known > 1:
            total /= known
        mean = np.float32(total) if known else np.float32(np.inf)
        out[_place(places, pixel)] = _colour(mean, lo, width, steps, zero, log)
        i, pixel = j, following


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(cells: Any, row: int, direction: Any) -> Any:
    total = np.float32(0)
    for k in range(len(direction)):
        total += np.float32(cells[row, k]) * direction[k]
    return total


@numba.njit(cache=True, nogil=True)
def put_imputed(
    codes: Any,
    cells: Any,
    direction: Any,
    offset: Any,
    base: Any,
    up: Any,
    down: Any,
    places: Any,
    lo: Any,
    width: Any,
    steps: Any,
    zero: Any,
    log: Any,
    out: Any,
) -> None:
    """Write the colour of the mean score of each run, clipped at zero."""
    i, n = 0, len(codes)
    pixel = _pixel(codes[0], base, up, down) if n else np.uint64(0)
    while i < n:
        total = 0.0
        j, following = i, pixel
        while j < n:
            following = _pixel(codes[j], base, up, down)
            if following != pixel:
                break
            total += _dot(cells, j, direction)
            j += 1
        value = np.float32(max(0.0, offset + total / (j - i)))
        out[_place(places, pixel)] = _colour(value, lo, width, steps, zero, log)
        i, pixel = j, following


@numba.njit(cache=True, nogil=True)
def imputed(cells: Any, rows: Any, direction: Any, offset: Any, out: Any) -> None:
    """Write the clipped score of each row."""
    for i in range(len(rows)):
        out[i] = max(np.float32(0), offset + _dot(cells, rows[i], direction))


@numba.njit(cache=True, nogil=True)
def index_numbers(
    values: Any, lo: Any, width: Any, steps: Any, zero: Any, log: Any, missing: int, out: Any
) -> None:
    """Write the colour of each value, ``missing`` for nan."""
    for i in range(len(values)):
        if np.isnan(values[i]):
            out[i] = missing
        else:
            out[i] = _colour(values[i], lo, width, steps, zero, log)


@numba.njit(cache=True, nogil=True)
def mean_of_bins(first: Any, values: Any, start: int, out: Any) -> None:
    """Write the mean of each bin."""
    for b in range(len(first)):
        end = first[b + 1] - start if b + 1 < len(first) else len(values)
        total, n = 0.0, 0
        for i in range(first[b] - start, end):
            if not np.isnan(values[i]):
                total += values[i]
                n += 1
        out[b] = total / n if n > 0 else np.nan
