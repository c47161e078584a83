"""Writing the overview levels of an atlas, array by array, wherever the caller creates them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.store import pyramid, schema

#: Creates an array under its logical name and returns it, writable.
Create = Callable[[str, tuple[int, ...], Any], NDArray[Any]]
#: First row of each bin by level, from coarse to fine.
Firsts = Mapping[int, NDArray[np.int64]]


def write_bins(create: Create, codes: NDArray[np.uint64], levels: Sequence[int]) -> Firsts:
    """Write code, first row and count of the bins of each level; return the first rows."""
    found = pyramid.levels_of(codes, levels)
    for level, (code, first, count) in found.items():
        write(create, schema.pyramid_array(level, "code"), code)
        write(create, schema.pyramid_array(level, "first"), first)
        write(create, schema.pyramid_array(level, "count"), count)
    return {level: first for level, (_, first, _) in found.items()}


def write_tops(
    create: Create, label: str, codes: NDArray[np.int16], n_categories: int, firsts: Firsts
) -> None:
    """Write the commonest categories of every bin of a label, and the bins of each category."""
    short = schema.label_array(label).removeprefix("cells/")
    for level, first in firsts.items():
        top, count = pyramid.top_categories(codes, first, n_categories)
        write(create, schema.pyramid_array(level, f"{short}/top"), top)
        write(create, schema.pyramid_array(level, f"{short}/count"), count)
        holders = pyramid.holders_of(codes, first, n_categories)
        for name, values in holders._asdict().items():
            write(create, schema.pyramid_array(level, f"{short}/bins/{name}"), values)


def write_means(create: Create, cells: NDArray[np.int8], firsts: Firsts) -> None:
    """Write the mean embedding of every bin; the embeddings are read once."""
    means = pyramid.mean_embedding(cells, list(firsts.values()))
    for level, values in zip(firsts, means, strict=True):
        write(create, schema.pyramid_array(level, "embedding"), values)


def write(create: Create, logical: str, values: NDArray[Any]) -> None:
    """Create an array and fill it."""
    create(logical, values.shape, values.dtype)[...] = values
