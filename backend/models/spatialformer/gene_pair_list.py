"""Gene pairs as rows of a result: the surest first, ligands and receptors all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from backend.models.spatialformer.genepairs import GenePairs

#: Rows that are listed; those of every gene pair would fill a page's memory.
LISTED = 4000


def listed_rows(
    genes: tuple[str, ...],
    found: GenePairs,
    suspects: NDArray[np.bool_],
    is_pair: Callable[[str, str], bool] | None,
    rate: float,
) -> tuple[list[dict[str, Any]], int]:
    """Return the listed gene pairs, the surest first, and how many pairs the table knows.

    Ligands and their receptors are all listed. ``q_ligand_receptor`` adjusts over those only.
    """
    order = np.argsort(found.p, axis=None, kind="stable")
    known = np.zeros(found.p.shape, bool)
    if is_pair is not None:
        for i, g in enumerate(found.genes_a):
            known[i] = [is_pair(genes[g], genes[h]) for h in found.genes_b]
    q_known = _adjusted_among(found.p, known)
    first = order[:LISTED]
    listed = np.concatenate([first, order[LISTED:][known.ravel()[order[LISTED:]]]])
    out = []
    for i, j in zip(*np.unravel_index(listed, found.p.shape), strict=True):
        g, h = found.genes_a[i], found.genes_b[j]
        out.append(
            {
                "gene_a": genes[g], "gene_b": genes[h],
                "u": found.u[i, j], "expected": found.expected[i, j], "z": found.z[i, j],
                "p": found.p[i, j], "q": found.q[i, j], "effect": found.effect[i, j],
                "risk_ratio": found.ratio[i, j], "is_same": bool(g == h),
                "is_spill": bool(suspects[i, j]), "is_ligand_receptor": bool(known[i, j]),
                "q_ligand_receptor": q_known[i, j] if known[i, j] else None,
                "called": bool(found.q[i, j] < rate),
            }
        )  # fmt: skip
    return out, int(known.sum())


def _adjusted_among(p: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    out = np.full(p.shape, np.nan)
    if among.any():
        out[among] = false_discovery_control(p[among])
    return out
