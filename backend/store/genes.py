"""The genes of an atlas: symbols, Ensembl ids, and what a checkpoint knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.core.errors import BadRequest, UnknownGene, did_you_mean
from backend.store import schema


class GeneTable:
    """Genes by place, symbol or Ensembl id; look-ups ignore case.

    Parameters
    ----------
    symbol, ensembl : sequences of str
        One entry per gene; ``ensembl`` may hold empty strings.
    embedding : (G, d) float32 or None
    offset : (G,) float32 or None
    trust : (G, 3) float32 or None
        Held-out r, r of the plain baseline, and 1 where the gene is predicted; nan where unknown.
    """

    def __init__(
        self,
        symbol: Sequence[str],
        ensembl: Sequence[str],
        embedding: NDArray[np.float32] | None = None,
        offset: NDArray[np.float32] | None = None,
        trust: NDArray[np.float32] | None = None,
        atlas: str = "this atlas",
    ) -> None:
        self.symbol = tuple(symbol)
        self.ensembl = tuple(ensembl)
        self.embedding = embedding
        self.offset = offset
        self.trust = trust
        self._atlas = atlas

    def __len__(self) -> int:
        """Return the number of genes."""
        return len(self.symbol)

    def __contains__(self, name: object) -> bool:
        """Return whether a symbol or id is known."""
        return isinstance(name, str) and name.casefold() in self._places

    @cached_property
    def _places(self) -> dict[str, int]:
        ids = {e.split(".")[0].casefold(): i for i, e in enumerate(self.ensembl) if e}
        full = {e.casefold(): i for i, e in enumerate(self.ensembl) if e}
        return {**ids, **full, **{s.casefold(): i for i, s in enumerate(self.symbol)}}

    def index(self, name: str) -> int:
        """Return the place of a gene.

        Raises
        ------
        UnknownGene
            With the nearest symbols as a hint.
        """
        place = self._places.get(name.casefold())
        if place is None:
            raise UnknownGene(
                f"Gene '{name[:60]}' is not in atlas '{self._atlas}'.",
                *filter(None, [did_you_mean(name[:60], self.symbol)]),
            )
        return place

    @property
    def has_imputation(self) -> bool:
        """Whether values can be imputed from embeddings."""
        return self.embedding is not None and self.offset is not None


def gene_tables(
    n: int, embedding: ArrayLike, offset: ArrayLike, trust: ArrayLike
) -> dict[str, NDArray[np.float32]]:
    """Return the tables of a checkpoint under their names in the store.

    Raises
    ------
    BadRequest
        If a table does not have one row per gene of the atlas.
    """
    given = (embedding, offset, trust)
    tables = [np.asarray(table, np.float32) for table in given]
    if any(len(table) != n for table in tables):
        raise BadRequest(
            f"Gene tables have {[len(t) for t in tables]} rows, the atlas {n} genes.",
            "Give one row per gene of the atlas.",
        )
    return dict(zip(schema.GENE_TABLES, tables, strict=True))
