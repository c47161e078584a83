"""Genes of an upload: which column names them, how many the atlas knows, of which species."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import h5py

from backend.core.settings import Limits
from backend.intake.fields import Unreadable, index_of, is_text, length_of, texts
from backend.intake.findings import Finding

#: Fewer shared genes than this cannot place a cell at all; fewer than the second only roughly.
LEAST, FEW = 10, 50
_COLUMNS = 40
_VERSION = re.compile(r"^(ENS[A-Z]*G\d+)\.\d+$", re.IGNORECASE)


class GeneNames(Protocol):
    """Genes of an atlas: symbols, and Ensembl ids in the same order (or none)."""

    @property
    def symbol(self) -> Sequence[str]:
        """Symbols."""
        ...

    @property
    def ensembl(self) -> Sequence[str]:
        """Ensembl ids, or nothing."""
        ...


class Panel(NamedTuple):
    """The best naming column of an upload."""

    field: str
    names: list[str]
    matched: int


def lookup(genes: GeneNames) -> dict[str, int]:
    """Return the place of every lower-case symbol and Ensembl id."""
    found = {plain(e): i for i, e in enumerate(genes.ensembl) if e}
    found.update({s.lower(): i for i, s in enumerate(genes.symbol)})
    return found


def plain(name: str) -> str:
    """Return a gene's name as it is compared: lower case, Ensembl ids without their version."""
    hit = _VERSION.match(name)
    return (hit[1] if hit else name).lower()


def best_panel(var: h5py.Group, known: dict[str, int], limits: Limits) -> Panel | None:
    """Return the column of var that names most genes of the atlas; the index wins ties."""
    index = index_of(var)
    columns = [("var index", index)] if index is not None and is_text(index) else []
    n = length_of(index) if index is not None else 0
    others = [name for name in sorted(var) if is_text(var[name]) and length_of(var[name]) == n]
    columns += [(f"var/{name}", var[name]) for name in others[:_COLUMNS]]
    best: Panel | None = None
    for field, node in columns:
        try:
            names = texts(node, limits.text_length)
        except Unreadable:
            continue
        matched = len({known[p] for p in map(plain, names) if p in known})
        if best is None or matched > best.matched:
            best = Panel(field, names, matched)
    return best


def species_of(names: Iterable[str]) -> str:
    """Return "mouse", "human" or "" by how symbols or ids are spelt."""
    tally = Counter(_spelt(name) for name in names)
    tally.pop("", None)
    total = sum(tally.values())
    if not total:
        return ""
    kind, n = tally.most_common(1)[0]
    return kind if n >= 0.7 * total else ""


def _spelt(name: str) -> str:
    if name.startswith("ENSMUSG"):
        return "mouse"
    if re.match(r"ENSG\d", name):
        return "human"
    letters = [c for c in name if c.isalpha()]
    if len(letters) < 3:
        return ""
    if all(c.isupper() for c in letters):
        return "human"
    return "mouse" if letters[0].isupper() and letters[1].islower() else ""


def check_genes(panel: Panel | None, genes: GeneNames, n_genes: int) -> list[Finding]:
    """Return findings on the genes and their species."""
    if panel is None:
        text = "Gene symbols or Ensembl ids as the index of var."
        title = "Genes have no readable names"
        return [Finding("genes", "blocked", title, "", text, "adata.var_names = symbols", "var")]
    twice = sum(n - 1 for n in Counter(panel.names).values() if n > 1)
    findings = [_matched(panel, genes, n_genes)]
    if twice:
        title = "Gene names occur more than once"
        text = "Repeated genes are added up."
        value = f"{twice:,} repeats"
        findings.append(Finding("genes", "warning", title, value, text, "", panel.field))
    return [*findings, *_species(panel, genes)]


def _matched(panel: Panel, genes: GeneNames, n_genes: int) -> Finding:
    value = f"{panel.matched:,} of {n_genes:,}"
    where = panel.field
    if panel.matched < LEAST:
        theirs, ours = ", ".join(panel.names[:3]), ", ".join(genes.symbol[:3])
        return Finding(
            "genes",
            "blocked",
            "No shared genes" if panel.matched == 0 else "Almost no shared genes",
            value,
            f"Symbols or Ensembl ids such as {ours}; the file has {theirs}."[:300],
            "adata.var_names = adata.var['gene_symbols'], or the column that holds symbols.",
            where,
        )
    if panel.matched < FEW:
        text = "So few genes place broad classes only; read the confidence of each cell."
        return Finding("genes", "warning", "Few shared genes", value, text, "", where)
    text = f"Named by {panel.field}, compared without regard to case."
    return Finding("genes", "ok", "Shared genes", value, text, "", where)


def _species(panel: Panel, genes: GeneNames) -> list[Finding]:
    theirs, ours = species_of(panel.names), species_of(genes.symbol)
    if not theirs or not ours:
        return [Finding("species", "ok", "Species not told from the gene names")]
    if theirs == ours:
        return [Finding("species", "ok", "Gene names are spelt as in the atlas", theirs)]
    text = "Matched by spelling alone, not by orthologue; types of another species are a guess."
    fix = "Map genes to orthologues of the atlas's species, and send the file again."
    title = f"Gene names look {theirs}; the atlas is {ours}"
    return [Finding("species", "warning", title, theirs, text, fix, panel.field)]
