"""Questions about a whole atlas: where a gene is high, what a class expresses, what sections hold.

Imputed means are exact: they come from sums of embeddings per section and class. Measured means
read the gene's values above zero, in the sections that measured it. The two are never mixed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, UnknownLayer
from backend.core.layers import MISSING, LayerKey
from backend.core.trust import IMPUTED_UNIT
from backend.service.class_tables import NO_LABEL, ClassTable
from backend.service.gene_sums import GeneSums, Sums, grouped
from backend.service.layers import TITLES, trust_of
from backend.service.summary import require_label
from backend.store.atlas import Atlas

#: Classes and sections with fewer cells than this are listed last: their mean is mostly chance.
FEW = 20


class Answers:
    """Answers about one edition of an atlas; safe to use from several threads.

    Parameters
    ----------
    atlas : Atlas
    folder : Path or None
        Where tables are kept on disk; None to keep none.
    """

    def __init__(self, atlas: Atlas, folder: Path | None) -> None:
        self.atlas = atlas
        self.sums = GeneSums(atlas, folder)

    # -- a gene -----------------------------------------------------------------------------

    def gene_means(self, gene: str, kind: str = "", by: str = "section") -> dict[str, Any]:
        """Return the mean of a gene per section or per class of a label, highest first.

        Parameters
        ----------
        gene : str
            Symbol or id.
        kind : "measured", "imputed" or ""
            Measured where any section measured the gene, if empty.
        by : str
            "section", or a label such as "label:region".

        Raises
        ------
        UnknownGene, UnknownLayer, BadRequest
        """
        label = self._label_of(by)
        key = self.sums.key_of(gene, kind)
        pooled = self.sums.pooled(key)
        table, sums = self.sums.table(label), self.sums.of(key, label)
        chosen = np.isin(table.section, pooled)
        groups = self._by_section(key, table, sums) if by == "section" else []
        if by != "section":
            found = grouped(table.code[chosen], sums, chosen, len(self._categories(label)))
            groups = self._class_entries(label, key, found)
        whole = Sums(sums.n[chosen].sum(keepdims=True), sums.total[chosen].sum(keepdims=True))
        trust = trust_of(self.atlas, self.sums.gene(key)) if key.kind == "imputed" else None
        return {
            "gene": key.name,
            "kind": key.kind,
            "by": by,
            "title": f"{key.name}, {key.kind}",
            "unit": self.sums.unit(key, pooled),
            "mean": _first(self.sums.means(key, whole)),
            "n": int(whole.n[0]),
            "n_sections": len(pooled),
            "left_out": self.sums.left_out(key, pooled),
            "few": FEW,
            "trust": None if trust is None else {**trust._asdict(), "grade": trust.grade},
            "entries": groups,
        }

    def class_means(self, key: LayerKey, label: str, section: str | None) -> list[dict[str, Any]]:
        """Return the mean of a gene per class, highest first, in one section or in the atlas."""
        key = self.sums.key_of(key.name, key.kind, need=section is None)
        table, sums = self.sums.table(label), self.sums.of(key, label)
        if section is None:
            chosen = np.isin(table.section, self.sums.pooled(key))
        else:
            place = self.atlas.sections().index(self.atlas.section(section))
            chosen = table.section == place
        found = grouped(table.code[chosen], sums, chosen, len(self._categories(label)))
        return self._class_entries(label, key, found)

    # -- a class ----------------------------------------------------------------------------

    def top_genes(self, key: LayerKey, code: int, limit: int = 20) -> dict[str, Any]:
        """Return the genes whose imputed mean in a class is farthest above that of the atlas.

        Raises
        ------
        UnknownLayer
            If the atlas has no such label, or no imputation.
        BadRequest
            If the label has no such class, or it has no embedded cells.
        """
        require_label(self.atlas, key)
        categories = self._categories(key.name)
        if not 0 <= code < len(categories):
            raise BadRequest(
                f"{key} has no class {code}.", f"Classes are 0 to {len(categories) - 1}."
            )
        genes = self.atlas.genes
        embedding = self.atlas.embedding("cell")
        if embedding is None or genes.embedding is None or genes.offset is None:
            raise UnknownLayer(
                "This atlas has no trained embedding.", "Write one: python -m backend embed."
            )
        table = self.sums.table(key.name)
        known = np.isin(table.section, self.sums.embedded())
        own = known & (table.code == code)
        n = int(table.count[own].sum())
        if n == 0:
            raise BadRequest(
                f"No embedded cell is of '{categories[code].name}'.", "Choose another class."
            )
        scale = embedding.scale.astype(np.float64)
        here = table.total[own].sum(axis=0) / n * scale
        everywhere = table.total[known].sum(axis=0) / table.count[known].sum() * scale
        inside = np.maximum(0.0, genes.offset + genes.embedding @ here)
        outside = np.maximum(0.0, genes.offset + genes.embedding @ everywhere)
        above = np.where(np.any(genes.embedding, axis=1), inside - outside, -np.inf)
        order = np.argsort(-above, kind="stable")[:limit]
        return {
            "layer": str(key),
            "code": code,
            "name": categories[code].name,
            "colour": categories[code].colour,
            "kind": "imputed",
            "unit": IMPUTED_UNIT,
            "n": n,
            "n_sections": len(np.unique(table.section[own])),
            "n_genes": int(np.isfinite(above).sum()),
            "against": "mean of all embedded cells of the atlas",
            "genes": [
                {
                    "gene": genes.symbol[g],
                    "mean": float(inside[g]),
                    "atlas_mean": float(outside[g]),
                    "difference": float(above[g]),
                    "trust": _trusted(genes.trust, g),
                }
                for g in order.tolist()
                if above[g] > 0
            ],
        }

    # -- sections ---------------------------------------------------------------------------

    def compositions(self, key: LayerKey) -> dict[str, Any]:
        """Return the cells of each class of a label in each section.

        Raises
        ------
        UnknownLayer
        """
        require_label(self.atlas, key)
        table = self.sums.table(key.name)
        categories = self._categories(key.name)
        known = table.code != MISSING
        whole = np.zeros(len(categories), np.int64)
        np.add.at(whole, table.code[known], table.count[known])
        label = self.atlas.label(key.name)
        return {
            "layer": str(key),
            "title": label.title or TITLES.get(key.name, key.name.capitalize()),
            "unit": "cells",
            "classes": [
                {"code": code, **c._asdict(), "count": int(whole[code])}
                for code, c in enumerate(categories)
            ],
            "sections": [
                self._composition(table, place, info)
                for place, info in enumerate(self.atlas.sections())
            ],
        }

    def _composition(self, table: ClassTable, place: int, info: SectionInfo) -> dict[str, Any]:
        rows = table.rows_of(place)
        code, count = table.code[rows], table.count[rows]
        known = code != MISSING
        return {
            **_section_entry(info),
            "n": info.n_cells,
            "missing": int(count[~known].sum()),
            "codes": code[known].tolist(),
            "counts": count[known].tolist(),
        }

    # -- entries ----------------------------------------------------------------------------

    def _class_entries(self, label: str, key: LayerKey, sums: Sums) -> list[dict[str, Any]]:
        means = self.sums.means(key, sums)
        entries = [
            {"code": code, **category._asdict(), "mean": float(means[code]), "n": int(sums.n[code])}
            for code, category in enumerate(self._categories(label))
            if sums.n[code] > 0
        ]
        return sorted(entries, key=_rank)

    def _by_section(self, key: LayerKey, table: ClassTable, sums: Sums) -> list[dict[str, Any]]:
        sections = self.atlas.sections()
        every = np.ones(len(table.section), bool)
        found = grouped(table.section, sums, every, len(sections))
        means = self.sums.means(key, found)
        main = self.sums.main_unit(key)
        entries = [
            {
                **_section_entry(info),
                "unit": self.sums.unit(key, [place]),
                "comparable": key.kind == "imputed" or info.unit == main,
                "mean": float(means[place]),
                "n": int(found.n[place]),
            }
            for place, info in enumerate(sections)
            if found.n[place] > 0
        ]
        return sorted(entries, key=lambda e: (not e["comparable"], *_rank(e)))

    def _label_of(self, by: str) -> str:
        if by == "section":
            return (self.atlas.labels() or (NO_LABEL,))[0]
        key = LayerKey.parse(by)
        require_label(self.atlas, key)
        return key.name

    def _categories(self, label: str) -> Any:
        return () if label == NO_LABEL else self.atlas.label(label).categories


def _rank(entry: dict[str, Any]) -> tuple[bool, float]:
    return entry["n"] < FEW, -entry["mean"]


def _first(values: NDArray[np.float64]) -> float | None:
    return float(values[0]) if np.isfinite(values[0]) else None


def _trusted(trust: NDArray[np.float32] | None, gene: int) -> float | None:
    return None if trust is None or not np.isfinite(trust[gene, 0]) else float(trust[gene, 0])


def _section_entry(info: SectionInfo) -> dict[str, Any]:
    return {"id": info.id, "name": info.title, "dataset": info.dataset, "position": info.position}
