"""What a run of factors found, and the figures that are told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionData
from backend.models.inspire.baselines import embeddings
from backend.models.inspire.count import Choice
from backend.models.inspire.domains import find_domains, labels_of, some_of
from backend.models.inspire.em import Floats, Settings, State
from backend.models.inspire.heldout import compositions
from backend.models.inspire.hidden import hidden_genes
from backend.models.inspire.inputs import Joined
from backend.models.inspire.measures import LEAST, better, measure, measure_labels
from backend.models.inspire.model import Fitted
from backend.models.inspire.programs import coherence, diversity, overlaps, top_genes
from backend.models.inspire.readout import groups, of_places, presence, usage
from backend.models.inspire.search import Found

#: Colours of factors and domains, tellable apart without red and green.
COLOURS = (
    "#3377be", "#f07b26", "#157a63", "#c94f7c", "#7a5bb5", "#b8860b", "#5ab4e5", "#8c4a2f",
    "#6b8e23", "#d4a0c7", "#2f4f6f", "#e8b04a", "#4d9f8e", "#a33b3b", "#9aa5e0", "#777777",
    "#c2d66b", "#5c3566", "#e58f7b", "#1f9ab8",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """All that a run found."""

    data: Joined
    state: State
    whole: Joined
    whole_state: State
    found: Found
    choice: Choice | None
    settings: Settings
    stability: Floats
    fitted: Fitted
    figures: dict[str, Any]
    baseline_labels: dict[str, list[NDArray[np.int16]]]


def figures_of(
    few: Sequence[SectionData], small: Joined, little: State,
    truth: Sequence[NDArray[np.int64]] | None, short: Settings, seed: int,
    checks: bool, domains: int,
) -> tuple[dict[str, Any], dict[str, list[NDArray[np.int16]]]]:  # fmt: skip
    """Return measures of the model and of plain methods, and domains of the latter.

    Parameters
    ----------
    few, small, little
        The cells that are looked at: as sections, as joined, as fitted.
    truth : codes per section or None
    short : Settings
        Of the fits that are made for the figures.
    seed : int
    checks : bool
        Whether plain methods, held-out counts and hidden genes are computed.
    domains : int
        Number of domains; as many as factors where 0.
    """
    proportions = little.proportions()
    places = of_places(small, proportions)
    model = {"cells": measure(proportions, truth, seed), "places": measure(places, truth, seed)}
    if truth is not None:
        model["domains"] = domains_beside(small, little, truth, seed)
    figures: dict[str, Any] = {"model": model, "baselines": {}, "held_out": {}, "hidden_genes": {}}
    labels: dict[str, list[NDArray[np.int16]]] = {}
    figures["better_baselines"] = []
    if checks:
        plain = embeddings(few, small, little.k, seed)
        figures["baselines"] = {n: measure(z, truth, seed) for n, z in plain.items()}
        figures["better_baselines"] = better(_shown(model), figures["baselines"])
        figures["held_out"] = compositions(few, small, little, short, seed)
        figures["hidden_genes"] = hidden_genes(few, small, little, short, seed)
        k = domains or little.k
        labels = {n: groups(z, k, seed) for n, z in plain.items()}
    figures["programs"] = {"diversity": diversity(little.programs), **_coherence(small, little)}
    return figures, labels


def _shown(model: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what plain methods are held against: the labels of domains, the better shares."""
    silhouettes = [m.get("silhouette") for m in model.values()]
    best = max((v for v in silhouettes if v is not None), default=None)
    domains = model.get("domains", {})
    return {"ari": domains.get("ari"), "nmi": domains.get("nmi"), "silhouette": best}


def domains_beside(
    data: Joined, state: State, truth: Sequence[NDArray[np.int64]], seed: int
) -> dict[str, Any]:
    """Return agreement of domains with labels, found as plain methods are judged.

    At the true number, in the sections that have labels.
    """
    known = [s for s, codes in enumerate(truth) if (codes >= 0).sum() >= LEAST]
    if not known:
        return {}
    codes = np.concatenate([truth[s] for s in known])
    k = max(2, len(np.unique(codes[codes >= 0])))
    found = find_domains(*some_of(data, state, known), k, seed)
    agreement = measure_labels(labels_of(found.likely), [truth[s] for s in known])
    return {**agreement, "how": found.as_json()}


def _coherence(small: Joined, state: State) -> dict[str, float]:
    """Return coherence over the genes that all sections have, where there are enough."""
    from scipy.sparse import vstack

    shared = np.flatnonzero(small.measured.all(axis=0))
    if len(shared) < 20:
        return {}
    parts = [c.counts[:, np.searchsorted(c.genes, shared)] for c in small.sections
             if np.all(np.diff(c.genes) > 0)]  # fmt: skip
    if len(parts) < len(small.sections):
        return {}
    return {"coherence": coherence(state.programs[:, shared], vstack(parts))}


def _counts(data: Joined) -> Floats:
    total = np.zeros(len(data.genes))
    for cells in data.sections:
        total[cells.genes] += np.asarray(cells.counts.sum(axis=0), dtype=np.float64).ravel()
    return total


def overlaps_of(
    state: State, data: Joined, sets: Mapping[str, Sequence[str]] | None, names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return, per factor, the gene sets that its program overlaps most; empty without sets."""
    if not sets:
        return {}
    rows = overlaps(state.programs, data.genes, _counts(data), sets)
    return {name: [asdict(r) for r in own[:20]] for name, own in zip(names, rows, strict=True)}


def tables_of(
    sections: Sequence[SectionData], found: Run, names: Sequence[str],
    domains: Sequence[NDArray[np.int16]], k: int,
) -> dict[str, Any]:  # fmt: skip
    """Return what is said of every factor, section and domain."""
    proportions = found.state.proportions()
    used, there = usage(proportions), presence(proportions)
    genes = top_genes(found.whole_state.programs, found.whole.genes, _counts(found.whole))
    all_p, all_d = np.vstack(proportions), np.concatenate(domains)
    size = np.bincount(all_d, minlength=k)
    sums = np.stack([np.bincount(all_d, p, k) for p in all_p.T], axis=1)
    by_domain = sums / np.maximum(size, 1)[:, None]
    most = float(np.quantile(all_p, 0.995))
    factors = [
        {
            "name": name, "colour": COLOURS[j % len(COLOURS)], "share": float(used[:, j].mean()),
            "usage": used[:, j].tolist(), "present": there[:, j].tolist(),
            "is_shared": bool(there[:, j].all()), "stability": float(found.stability[j]),
            "is_stable": bool(found.stability[j] > 0.8), "by_domain": by_domain[:, j].tolist(),
            "most": float(np.quantile(all_p[:, j], 0.995)), **genes[j],
        }
        for j, name in enumerate(names)
    ]  # fmt: skip
    listed = [
        {
            "id": s.id, "title": s.title, "cells": s.n_cells, "genes": len(s.genes),
            "dataset": s.dataset, "technology": s.technology,
            "domains": (np.bincount(d, minlength=k) / max(len(d), 1)).tolist(),
            "scales": _scales(found, i),
        }
        for i, (s, d) in enumerate(zip(sections, domains, strict=True))
    ]  # fmt: skip
    with np.errstate(invalid="ignore"):
        between = np.nan_to_num(np.corrcoef(all_p.T))
    kinds = [{"name": f"Domain {i + 1}", "colour": COLOURS[i % len(COLOURS)], "cells": int(size[i])}
             for i in range(k)]  # fmt: skip
    return {
        "factors": factors,
        "sections": listed,
        "domains": kinds,
        "range": [0.0, most],
        "r_between": between.round(3).tolist(),
    }


def _scales(found: Run, s: int, most: int = 5) -> list[dict[str, Any]]:
    """Return the genes that a section shows most beyond, or below, its programs."""
    cells = found.data.sections[s]
    logs = np.log2(found.state.scales[s, cells.genes])
    order = np.argsort(-np.abs(logs), kind="stable")[:most]
    return [{"gene": found.data.genes[cells.genes[j]], "log2_scale": float(logs[j])} for j in order]


def warnings_of(figures: Mapping[str, Any], found: Run) -> list[str]:
    """Return sentences that a person should read before the maps."""
    out = []
    weak = [f["name"] for f in figures["factors"] if not f["is_stable"]]
    if weak:
        out.append(
            f"Factors {', '.join(weak)} do not come again in half of the counts; they are drawn "
            "faded, and fewer factors may be safer."
        )
    own = [f["name"] for f in figures["factors"] if not f["is_shared"]]
    if own:
        out.append(
            f"Factors {', '.join(own)} are absent from some sections; without replicates this may "
            "be handling rather than biology."
        )
    if figures["noise"]["overdispersed"]:
        out.append(
            f"Counts vary more than Poisson's (shape {figures['noise']['shape']:.1f}); the fit "
            "allows for it."
        )
    for b in figures["better_baselines"]:
        out.append(
            f"'{b['baseline']}' is better here by {b['measure']}: {b['baseline_figure']:.3f} "
            f"against {b['model_figure']:.3f}."
        )
    held = figures["held_out"]
    for name in held:
        if name != "factors" and held[name] > held["factors"]:
            out.append(
                f"'{name}' predicts held-out counts better: {held[name]:.4f} against "
                f"{held['factors']:.4f} nats per count."
            )
    hidden = figures["hidden_genes"]
    names = {"knn_r": "Nearest neighbours impute", "fusemap_r": "FuseMap's factor analysis imputes"}
    for key, name in names.items():
        if hidden and hidden[key] > hidden["r"]:
            out.append(
                f"{name} hidden genes better (r {hidden[key]:.3f} against {hidden['r']:.3f})."
            )
    return out
