"""Forward perturbation as figures of a result: beside the closed form, and how far to trust it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from backend.core.data import SectionData
from backend.core.job import RunContext
from backend.models.spatialformer.forward import TRUSTED, Forward, forward_tests
from backend.models.spatialformer.learnt import meta_of, unseen_words
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.transformer.score import read_cells
from backend.models.spatialformer.transformer.sketch import pretrained_on
from backend.models.spatialformer.type_contacts import Contacts

#: Gene pairs of the transformer that are listed, the surest first.
LISTED = 500
#: Pairs without which two lists are not compared.
COMPARED = 10


def forward_figures(
    section: SectionData,
    contacts: Contacts,
    rows: list[dict[str, Any]],
    pretrained: Pretrained,
    ctx: RunContext,
) -> dict[str, Any]:
    """Return the forward perturbation of two types that touch; put its figures into ``rows``.

    Parameters
    ----------
    section : SectionData
    contacts : Contacts
    rows : list of dict
        Gene pairs of the closed form; they get ``forward_effect``, ``forward_z`` and ``forward_q``,
        None where the transformer was not asked.
    pretrained : Pretrained
    ctx : RunContext

    Raises
    ------
    NoSharedGenes, TooFewCells
    """
    read = read_cells(pretrained, section.counts, section.genes, meta_of(section))
    found = forward_tests(pretrained, read, contacts, ctx)
    ids = pretrained.vocabulary.gene_ids(section.genes)
    names = {int(i): g for i, g in zip(ids, section.genes, strict=True) if i >= 0}
    own = _rows(found, names)
    by_pair = {(r["gene_a"], r["gene_b"]): r for r in own}
    for row in rows:
        other = by_pair.get((row["gene_a"], row["gene_b"]))
        row |= {f"forward_{k}": other[k] if other else None for k in ("effect", "z", "q")}
    agreement = _agreement(rows)
    known_as = pretrained_on(pretrained.card, read.cells)
    return {
        "rows": own[:LISTED],
        "n_tested": len(own),
        "n_called": sum(r["q"] < 0.05 for r in own),
        "n_contacts": found.contacts,
        "n_cells": found.cells,
        "auc": found.auc,
        "trusted": found.trusted and not known_as,
        "agreement": agreement,
        "said": _said(found, agreement, known_as, unseen_words(pretrained.card)),
        "seconds": round(found.seconds, 1),
    }


def _rows(found: Forward, names: dict[int, str]) -> list[dict[str, Any]]:
    """Return the tested pairs, the surest first."""
    i, j = np.nonzero(np.isfinite(found.z))
    order = np.argsort(found.p[i, j], kind="stable")
    return [
        {
            "gene_a": names[int(found.genes_a[a])], "gene_b": names[int(found.genes_b[b])],
            "effect": float(found.effect[a, b]), "both": float(found.both[a, b]),
            "support": int(found.support[a, b]), "z": float(found.z[a, b]),
            "p": float(found.p[a, b]), "q": float(found.q[a, b]),
        }
        for a, b in zip(i[order], j[order], strict=True)
    ]  # fmt: skip


def _agreement(rows: list[dict[str, Any]]) -> float | None:
    """Return the rank correlation of both z over the pairs that both tested."""
    both = [(r["z"], r["forward_z"]) for r in rows if r["forward_z"] is not None]
    if len(both) < COMPARED:
        return None
    return float(spearmanr(*np.array(both).T).statistic)


def _said(found: Forward, agreement: float | None, known_as: str, unseen: str) -> str:
    tells = (
        f"On {found.contacts:,} contacts of these types the transformer's score has AUC "
        f"{found.auc:.2f} against cells of the same types 80-150 µm apart."
    )
    trust = (
        "It tells them apart."
        if found.trusted
        else (f"Below {TRUSTED:g} it hardly tells them: too weak to trust, read the closed form.")
    )
    seen = (
        f" It was pretrained on this very tissue ({known_as}), which flatters it." if known_as
        else ""
    )  # fmt: skip
    same = (
        ""
        if agreement is None
        else (f" Its z and that of the closed form correlate by {agreement:.2f} (ranks).")
    )
    return f"{tells} {trust}{seen} {unseen}{same}"
