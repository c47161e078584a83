"""One table of methods on subspots whose counts are known: overall, within spots, deviance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.models.soscope.layouts import Layout
from backend.models.soscope.measures import correlations, within_correlations

Values = NDArray[np.float64]
#: Genes compared: those that vary most smoothly in space.
SPATIAL = 60
#: The honest baseline.
HONEST = "bilinear, rescaled"


def spatial_genes(layout: Layout, truth: Values, most: int = SPATIAL) -> NDArray[np.int64]:
    """Return the genes with the largest Moran's I of root counts among subspots.

    Parameters
    ----------
    layout : Layout
    truth : (n, g)
    most : int
    """
    return np.argsort(-moran(layout, truth), kind="stable")[:most]


def moran(layout: Layout, truth: Values) -> NDArray[np.float64]:
    """Return Moran's I of root counts of each gene, summed over subspots, (g,).

    Notes
    -----
    Neighbours are the four nearest subspots of the section.
    """
    roots = np.sqrt(truth)
    score = np.zeros(truth.shape[1])
    section = layout.subspot_section
    for s in np.unique(section):
        own = np.flatnonzero(section == s)
        if len(own) < 5:
            continue
        near = cKDTree(layout.xy[own]).query(layout.xy[own], k=5)[1][:, 1:]
        part = roots[own] - roots[own].mean(axis=0)
        around = part[near].mean(axis=1)
        variance = (part**2).mean(axis=0)
        likeness = (part * around).mean(axis=0) / np.where(variance > 0, variance, 1.0)
        score += len(own) * np.where(variance > 0, likeness, 0.0)
    return score


def deviance(truth: Values, made: Values) -> Values:
    """Return the Poisson deviance of each gene, (g,)."""
    return np.asarray(deviances(truth, made).sum(axis=0))


def deviances(truth: Values, made: Values) -> Values:
    """Return the Poisson deviance of every value, (n, g)."""
    held = np.maximum(made, 1e-9)
    ratio = np.where(truth > 0, truth, 1.0) / np.where(truth > 0, held, 1.0)
    return np.asarray(2 * (truth * np.log(ratio) - (truth - held)))


def method_table(
    layout: Layout,
    truth: Values,
    made: Mapping[str, Values],
    genes: NDArray[np.int64] | slice = slice(None),
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return r, within-spot r and deviance of chosen genes for every method, each (genes,)."""
    chosen = truth[:, genes]
    return {
        name: {
            "r": correlations(values[:, genes], chosen),
            "within": within_correlations(values[:, genes], chosen, layout.parent),
            "deviance": deviance(chosen, np.asarray(values[:, genes], np.float64)),
        }
        for name, values in made.items()
    }


def summarised(
    tables: Sequence[Mapping[str, Mapping[str, NDArray[np.float64]]]],
) -> list[dict[str, Any]]:
    """Return one entry per method over tables of one or several tilings, the best r first.

    Each is {name, r, within, gain_r (median paired difference from the honest baseline), wins
    (share of genes above it), deviance (change against it), tilings}; means over tilings of medians
    over genes.
    """
    out = []
    for name in tables[0]:
        have = [t for t in tables if name in t]
        gains = [t[name]["r"] - t[HONEST]["r"] for t in have]
        own = sum(float(t[name]["deviance"].sum()) for t in have)
        honest = sum(float(t[HONEST]["deviance"].sum()) for t in have)
        out.append(
            {
                "name": name,
                "r": float(np.mean([np.median(t[name]["r"]) for t in have])),
                "within": float(np.mean([np.median(t[name]["within"]) for t in have])),
                "gain_r": float(np.mean([np.median(g) for g in gains])),
                "worst_gain_r": float(np.min([np.median(g) for g in gains])),
                "wins": float(np.mean([(g > 0).mean() for g in gains])),
                "tilings": len(have),
                "deviance": own / honest - 1 if honest > 0 else 0.0,
            }
        )
    return sorted(out, key=lambda row: -row["r"])
