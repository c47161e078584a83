"""Runs of genes that are worked on at once, so that no table of all of them is ever dense."""

from __future__ import annotations

from collections.abc import Iterator

#: Values of subspots x genes that are worked on at once.
MOST_VALUES = 4_000_000


def gene_blocks(n_subspots: int, n_genes: int) -> Iterator[slice]:
    """Yield runs of genes that fill about four million values each."""
    step = max(MOST_VALUES // max(n_subspots, 1), 1)
    for first in range(0, n_genes, step):
        yield slice(first, min(first + step, n_genes))
