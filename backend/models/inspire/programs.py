"""Gene programs: their top genes by size and by specificity, and overlap with gene sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom

from backend.core.errors import BadRequest

Floats = NDArray[np.float64]

#: Genes of a program that are listed.
LISTED = 20
#: Genes of a program that are held against a gene set, and the smallest set that is tested.
TOP, SMALLEST_SET = 50, 3
#: Counts below which a gene says nothing of its program.
FEWEST_COUNTS = 20.0


@dataclass(frozen=True, slots=True)
class Overlap:
    """A gene set beside a program: genes in both, chance of as many, adjusted over all tests."""

    name: str
    size: int
    shared: tuple[str, ...]
    p: float
    q: float


def specificity(programs: Floats) -> Floats:
    """Return how much more a program has of a gene than the mean of the others, as log2, (K, G).

    Parameters
    ----------
    programs : (K, G) rows sum to 1
    """
    k = len(programs)
    if k == 1:
        return np.zeros_like(programs)
    others = (programs.sum(axis=0) - programs) / (k - 1)
    floor = 0.1 / programs.shape[1]
    return np.asarray(np.log2((programs + floor) / (others + floor)))


def top_genes(
    programs: Floats, names: Sequence[str], counts: Floats, most: int = LISTED
) -> list[dict[str, list[dict[str, Any]]]]:
    """Return, per program, its genes by size and by specificity.

    Parameters
    ----------
    programs : (K, G)
    names : sequence of G str
    counts : (G,)
        Counts of every gene in all sections; genes below ``FEWEST_COUNTS`` are not specific.

    Returns
    -------
    list of {"large", "specific"}, each a list of {gene, loading, log2_specificity}
    """
    special = specificity(programs)
    enough = counts >= FEWEST_COUNTS
    out = []
    for w, s in zip(programs, special, strict=True):
        large = np.argsort(-w, kind="stable")[:most]
        # Size times log ratio: a gene must be both there and told apart (a divergence's term).
        specific = np.argsort(-np.where(enough, w * s, -np.inf), kind="stable")[:most]
        out.append({
            "large": [_entry(names, w, s, g) for g in large],
            "specific": [_entry(names, w, s, g) for g in specific if s[g] > 0 and enough[g]],
        })  # fmt: skip
    return out


def _entry(names: Sequence[str], w: Floats, s: Floats, g: int) -> dict[str, Any]:
    return {"gene": names[g], "loading": float(w[g]), "log2_specificity": float(s[g])}


def overlaps(
    programs: Floats,
    names: Sequence[str],
    counts: Floats,
    sets: Mapping[str, Sequence[str]],
    top: int = TOP,
) -> list[list[Overlap]]:
    """Return, per program, the gene sets by how surprising their overlap is.

    The ``top`` most specific genes of a program are held against every set by the hypergeometric
    test, the genes in use being the universe; adjusted by Benjamini and Hochberg over all tests.

    Parameters
    ----------
    programs : (K, G)
    names : sequence of G str
    counts : (G,)
    sets : mapping of name to genes; case is not told apart

    Raises
    ------
    BadRequest
        If no set has ``SMALLEST_SET`` of the genes.
    """
    universe = {n.upper(): n for n in names}
    known = {
        name: sorted({g.upper() for g in genes} & universe.keys()) for name, genes in sets.items()
    }
    known = {name: genes for name, genes in known.items() if len(genes) >= SMALLEST_SET}
    if not known:
        raise BadRequest(
            f"None of {len(sets):,} gene sets has {SMALLEST_SET} genes of these sections.",
            "Give sets of gene symbols of the same species.",
        )
    chosen = [
        {e["gene"].upper() for e in found["specific"]}
        for found in top_genes(programs, names, counts, top)
    ]
    tests = [
        (len(names), len(own & set(genes)), len(genes), len(own))
        for own in chosen
        for genes in known.values()
    ]
    # Chance of at least as many in common.
    p = np.array([hypergeom.sf(x - 1, total, size, drawn) for total, x, size, drawn in tests])
    q = false_discovery_control(np.clip(p, 0, 1)).reshape(len(chosen), len(known))
    out = []
    for own, ps, qs in zip(chosen, p.reshape(len(chosen), -1), q, strict=True):
        rows = [
            Overlap(name, len(g), tuple(universe[x] for x in g if x in own), float(a), float(b))
            for (name, g), a, b in zip(known.items(), ps, qs, strict=True)
        ]
        out.append(sorted(rows, key=lambda r: (r.p, r.name)))
    return out


def diversity(programs: Floats, top: int = 10) -> float:
    """Return the mean share of a program's top genes that are in no other program's top."""
    tops = [set(np.argsort(-w, kind="stable")[:top].tolist()) for w in programs]
    own = [
        len(t - set().union(*(o for j, o in enumerate(tops) if j != i))) / max(len(t), 1)
        for i, t in enumerate(tops)
    ]
    return float(np.mean(own))


def coherence(programs: Floats, seen: NDArray[np.bool_] | Any, top: int = 10) -> float:
    """Return the mean normalised pointwise mutual information of pairs of top genes.

    Parameters
    ----------
    programs : (K, G)
    seen : (n, G) sparse or dense, non-zero where a cell has the gene; a cell of every section that
        measures all genes in question
    """
    from scipy.sparse import csc_matrix

    found = csc_matrix(seen)
    found = csc_matrix((np.ones_like(found.data, dtype=np.float64), found.indices, found.indptr),
                       shape=found.shape)  # fmt: skip
    n = found.shape[0]
    means = []
    for w in programs:
        cols = found[:, np.argsort(-w, kind="stable")[:top]]
        joint = np.asarray((cols.T @ cols).todense()) / n
        single = np.diag(joint)
        i, j = np.triu_indices(len(single), 1)
        both, expected = joint[i, j], single[i] * single[j]
        ok = (both > 0) & (expected > 0) & (both < 1)
        npmi = np.where(ok, -np.log(np.where(ok, both / np.where(ok, expected, 1), 1))
                        / np.log(np.where(ok, both, 0.5)), 0.0)  # fmt: skip
        means.append(float(npmi.mean()) if len(npmi) else 0.0)
    return float(np.mean(means))
