"""One search box: regions, cell types and genes that fit what was typed."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from backend.core.layers import LayerKey
from backend.service.cells import is_embedded
from backend.service.planes import MONTAGE, Plane
from backend.store.atlas import Atlas

#: Labels whose classes are listed as places; all others are listed as cell types.
PLACES = ("region", "domain", "layer", "area")


def search(
    plane: Plane, section: str, query: str, limit: int, count: Callable[[LayerKey], Iterable[int]]
) -> dict[str, Any]:
    """Return hits by group; where there are none, the nearest spellings.

    Parameters
    ----------
    count : callable (LayerKey) -> cells per class
        Cells of each class in the section.
    """
    text = query.strip().lower()
    if not text:
        return {"regions": [], "types": [], "genes": [], "nearest": []}
    atlas = plane.atlas
    regions: list[dict[str, Any]] = []
    types: list[dict[str, Any]] = []
    for name in atlas.labels():
        group = regions if name in PLACES else types
        group.extend(_classes(atlas, LayerKey("label", name), text, count))
    genes = gene_hits(atlas, section, text, limit)
    nearest = [] if regions or types or genes else _nearest(atlas, text)
    return {
        "regions": _best(regions, limit),
        "types": _best(types, limit),
        "genes": genes,
        "nearest": nearest,
    }


def _classes(
    atlas: Atlas, key: LayerKey, text: str, count: Callable[[LayerKey], Iterable[int]]
) -> list[dict[str, Any]]:
    categories = atlas.label(key.name).categories
    hits = [c for c, category in enumerate(categories) if text in category.name.lower()]
    if not hits:
        return []
    cells = list(count(key))
    return [
        {
            "name": categories[c].name,
            "parent": categories[c].parent,
            "colour": categories[c].colour,
            "layer": str(key),
            "code": c,
            "count": int(cells[c]),
        }
        for c in hits
    ]


def _best(hits: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    return sorted(hits, key=lambda h: (h["count"] == 0, -h["count"], h["name"]))[:limit]


def gene_hits(atlas: Atlas, section: str, text: str, limit: int) -> list[dict[str, Any]]:
    """Return genes whose symbol or id begins with or contains ``text``, exact hits first."""
    table = atlas.genes
    found = []
    for index, symbol in enumerate(table.symbol):
        lower = symbol.lower()
        if text in lower:
            found.append(((lower != text, not lower.startswith(text), len(lower), lower), index))
        elif table.ensembl and table.ensembl[index].lower() == text:
            found.append(((False, False, 0, lower), index))
    found.sort()
    return [gene_entry(atlas, section, index) for _, index in found[:limit]]


def gene_entry(atlas: Atlas, section: str, index: int) -> dict[str, Any]:
    """Return how a gene can be shown in a section, and how far its imputation was right."""
    table = atlas.genes
    return {
        "symbol": table.symbol[index],
        "ensembl": table.ensembl[index] if table.ensembl else "",
        "measured": is_measured(atlas, section, index),
        "imputed": is_imputable(atlas, section, index),
        "trust": _trust(atlas, index),
    }


def is_measured(atlas: Atlas, section: str, gene: int) -> bool:
    """Whether a section measured a gene; for the montage, whether any section did."""
    names = [s.id for s in atlas.sections()] if section == MONTAGE else [section]
    return any((e := atlas.expression(name)) is not None and e.has(gene) for name in names)


def is_imputable(atlas: Atlas, section: str, gene: int) -> bool:
    """Whether a gene has an embedding and the section's cells have one too."""
    table = atlas.genes
    if table.embedding is None or not bool(np.any(table.embedding[gene])):
        return False
    embedding = atlas.embedding("cell")
    if embedding is None:
        return False
    return bool(embedding.sections) if section == MONTAGE else is_embedded(atlas, section)


def _trust(atlas: Atlas, gene: int) -> float | None:
    trust = atlas.genes.trust
    if trust is None or not np.isfinite(trust[gene, 0]):
        return None
    return float(trust[gene, 0])


def _nearest(atlas: Atlas, text: str) -> list[str]:
    names = {symbol.lower(): symbol for symbol in atlas.genes.symbol}
    for label in atlas.labels():
        names.update({c.name.lower(): c.name for c in atlas.label(label).categories})
    close = difflib.get_close_matches(text, list(names), n=4, cutoff=0.55)
    return [names[c] for c in close]
