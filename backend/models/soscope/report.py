"""What a run says of itself, as JSON: gain, gate, kernels, genes, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.soscope.card import HOW_TO_READ
from backend.models.soscope.enhance import Enhanced
from backend.models.soscope.gate import Gate
from backend.models.soscope.layouts import Layout
from backend.models.soscope.settings import GATE

#: Change of deviance above which little was added.
LITTLE = -0.02
#: Names of the figures of controls, and their kinds.
KINDS = {"shuffled": "shuffled", "rotated": "turned", "mirrored": "mirrored", "moved": "moved"}


def figures_of(
    layout: Layout,
    totals: csr_matrix,
    genes: Sequence[str],
    found: Enhanced,
    titles: Sequence[str],
    n_domains: int,
) -> dict[str, Any]:
    """Return the figures of a run; ``backend.runs.enhance`` says what each is."""
    return {
        "mode": "default",
        "sections": list(titles),
        "spots": layout.n_spots,
        "subspots": layout.n_subspots,
        "genes_enhanced": len(genes),
        "shapes": list(layout.shapes),
        "pitches": layout.pitches.tolist(),
        "method": found.method,
        "gain": _gain(found),
        "gate": _gate(found),
        "methods": found.merge.methods if found.merge else [],
        "calibration": _calibration(found),
        "kernel": _kernel(found),
        "kappa_median": float(np.median(found.kappa)),
        "uncertainty_median": float(np.median(found.uncertainty)),
        "split_error": _split_error(layout, totals, found.split),
        "genes": _genes(layout, totals, genes, found),
        "domains": n_domains,
        "tiles": found.tiles,
        "warnings": _warnings(layout, found),
        "how_to_read": HOW_TO_READ,
        "seconds": {name: round(s, 3) for name, s in found.seconds.items()},
    }


def _gain(found: Enhanced) -> dict[str, Any] | None:
    if found.merge is None:
        return None
    m = found.merge
    return {
        "expected": m.change,
        "little": m.change > LITTLE,
        "copy": m.copy / m.linear - 1 if m.linear > 0 else 0.0,
        "blocks": m.blocks,
    }


def _gate(found: Enhanced) -> dict[str, Any] | None:
    g = found.gate
    if not np.isfinite(g.image):
        return None
    return {
        "image": g.image,
        **{name: g.worst(kind) for name, kind in KINDS.items()},
        "threshold": GATE,
        "used": g.is_open,
        "chance": g.chance,
        "better": g.best.name if g.best else "",
        "fit": g.fit,
        "controls": [asdict(control) for control in g.controls],
    }


def _calibration(found: Enhanced) -> dict[str, float] | None:
    """Return by what sds were multiplied: the spread of standardised errors of merged spots."""
    if found.merge is None:
        return None
    spread = found.merge.spread[np.isfinite(found.merge.spread)]
    low, middle, high = (float(v) for v in np.quantile(spread, [0.1, 0.5, 0.9]))
    return {"low": low, "median": middle, "high": high}


def _kernel(found: Enhanced) -> dict[str, float]:
    """Return the kernel averaged over choices and factors, factors weighed by their size."""
    mass = found.weights @ found.factors.size / found.factors.size.sum()
    table = np.array([(p.length, p.share, p.noise) for p in found.points])
    length, share, noise = (float(v) for v in mass @ table)
    return {"length": length, "image_share": share, "noise": noise}


def _split_error(layout: Layout, totals: csr_matrix, split: NDArray[np.float32]) -> float:
    """Return how far the sums of ``split`` are from the counts, relative to the largest."""
    worst = 0.0
    for first in range(0, totals.shape[1], 256):
        genes = slice(first, first + 256)
        whole = np.asarray(totals[:, genes].todense(), np.float64)
        apart = np.abs(layout.sums() @ split[:, genes].astype(np.float64) - whole)
        worst = max(worst, float((apart / np.maximum(whole, 1)).max(initial=0.0)))
    return worst


def _genes(
    layout: Layout, totals: csr_matrix, genes: Sequence[str], found: Enhanced
) -> list[dict[str, Any]]:
    """Return one entry per gene, the most abundant first."""
    total = np.asarray(totals.sum(axis=0)).ravel()
    change = found.merge.by_gene if found.merge else np.zeros(len(genes))
    tried = np.isfinite(found.merge.spread) if found.merge else np.zeros(len(genes), bool)
    level = np.maximum(found.rate.mean(axis=0), 1e-9)
    error = found.sd.mean(axis=0) / level
    return [
        {
            "gene": genes[i],
            "mean": float(total[i] / layout.n_spots),
            "gain": float(change[i]) if tried[i] else None,
            "kappa": float(found.kappa[i]),
            "error": float(error[i]),
        }
        for i in np.argsort(-total, kind="stable")
    ]


def _about_image(gate: Gate) -> list[str]:
    """Return why an image was not used, and what to do about it."""
    if not np.isfinite(gate.image) or gate.is_open:
        return []
    if gate.best is not None and gate.image >= GATE:
        return [
            f"The image fits at least as well {gate.best.name}: it was not used. Check how it lies "
            "to the spots."
        ]
    return [
        f"The image does not help (evidence {gate.image:.2f}, {GATE} is needed): it was not used. "
        "Check that it is aligned with the spots."
    ]


def _warnings(layout: Layout, found: Enhanced) -> list[str]:
    out = []
    out += _about_image(found.gate)
    if found.merge is None:
        out.append("Too few spots to merge and recover: the gain is not known.")
    elif found.method in ("bilinear", "copy"):
        out.append(f"Merged spots are recovered better by {found.method}: that is what you see.")
    elif found.merge.change > LITTLE:
        out.append("Little detail was added over linear interpolation.")
    return out
