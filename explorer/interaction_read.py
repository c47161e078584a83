"""Results of co-localisation and of gene-pair tests as the view takes them.

``colocalise`` -> ``types``, ``matrix``, ``observed``, ``niche``, ``jsd``, ``query``, ``model``,
``methods``, ``measures``, ``tested_on``, ``transformer``, ``warnings``. ``perturb`` -> ``a``,
``b``, ``rows``, ``rate``, ``n_contacts``, ``n_tested``, ``forward``, ``warnings``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Words of the flags of a gene pair.
SPILL, SAME = "May be spilled transcripts", "Same gene on both sides"
#: Measures of the pair model on unseen cells.
MEASURES = (
    ("hard", "AUC, 80–150 µm apart"),
    ("easy", "AUC, over 150 µm apart"),
    ("within", "AUC within pairs of types"),
)


def read_partners(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a co-localisation, or None of anything else."""
    if "matrix" not in found or "auc" not in found:
        return None
    types = [t["name"] if isinstance(t, Mapping) else str(t) for t in found["types"]]
    methods = {str(name): dict(figures) for name, figures in found["auc"].items()}
    return {
        "types": types,
        "matrix": found["matrix"],
        "observed": found.get("observed"),
        "niche": list(found.get("niche") or ()),
        "jsd": found.get("jsd"),
        "query": found.get("query") or {},
        "n_cells": found["n_cells"],
        "radius_um": found["radius_um"],
        "model": next(iter(methods)),
        "methods": methods,
        "measures": MEASURES,
        "tested_on": found.get("tested_on", ""),
        "transformer": _spelt(found.get("transformer")),
        "warnings": _spelt(found.get("warnings")),
    }


def read_gene_pairs(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a test of gene pairs, or None of anything else."""
    if "rows" not in found or "n_tested" not in found:
        return None
    rows = []
    for row in found["rows"]:
        flags = [SAME] if row.get("is_same") else []
        flags += [SPILL] if row.get("is_spill") else []
        kept = {key: row[key] for key in ("gene_a", "gene_b", "effect", "z", "q")}
        kept |= {key: row.get(key) for key in ("forward_z", "forward_q")}
        rows.append({**kept, "flags": flags,
                     "is_ligand_receptor": bool(row.get("is_ligand_receptor"))})  # fmt: skip
    spill = found.get("spill") or {}
    warnings = _spelt(found.get("warnings"))
    said = _spelt([spill.get("said") or ""])
    if spill.get("warns") and said[0] not in warnings:
        warnings = said + warnings
    return {
        "a": str(found["a"]),
        "b": str(found["b"]),
        "rows": rows,
        "rate": float(found.get("rate", 0.05)),
        "n_contacts": found["n_contacts"],
        "n_tested": found["n_tested"],
        "forward": _forward(found.get("forward")),
        "warnings": warnings,
    }


def _forward(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {**found, "said": _spelt([found["said"]])[0]}


def _spelt(lines: Sequence[str] | None) -> list[str]:
    """Return sentences of a result, which spells micrometres in letters, as the screen does."""
    return [str(line).replace(" um", " µm") for line in lines or ()]
