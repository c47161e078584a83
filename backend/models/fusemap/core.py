"""Which genes the fit sees: all of narrow panels, a core of wide ones.

EM needs the gene-gene correlation of every section. A whole-transcriptome section would make it
huge and crowd out the panels, so such a section takes part with the genes that narrow panels
measure and its most variable ones. All its other genes get their embedding afterwards, by one ridge
solve each on the fitted cells, which is the M-step for a gene.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.models.common.moments import WIDEST_CORRELATION
from backend.models.common.prep import Prepared


def core_columns(
    sections: Sequence[Prepared], n_genes: int, most: int = WIDEST_CORRELATION
) -> list[NDArray[np.int64]]:
    """Return the columns of every section that the fit sees, ascending.

    Parameters
    ----------
    sections : sequence of Prepared
    n_genes : int
        Size of the union.
    most : int
        Genes of one section at most.
    """
    in_narrow = np.zeros(n_genes, dtype=bool)
    spread = np.zeros(n_genes)
    for p in sections:
        if len(p.genes) <= most:
            in_narrow[p.genes] = True
        else:
            spread[p.genes] += p.sd
    # A gene of many wide sections joins more of them than a gene of one.
    rank = spread + 1e6 * in_narrow
    return [
        np.arange(len(p.genes))
        if len(p.genes) <= most
        else np.sort(np.argsort(-rank[p.genes], kind="stable")[:most])
        for p in sections
    ]
