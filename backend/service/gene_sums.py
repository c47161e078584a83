"""Sums of one gene per section and class, measured or imputed, and which may be averaged."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, UnknownLayer
from backend.core.layers import MISSING, LayerKey
from backend.core.trust import IMPUTED_UNIT
from backend.service.class_tables import NO_LABEL, ClassTable, class_tables
from backend.store.atlas import Atlas

#: Genes whose measured sums are kept.
KEPT = 64


class Sums(NamedTuple):
    """Cells and summed values of groups; a group without cells has no mean."""

    n: NDArray[np.int64]
    total: NDArray[np.float64]


class GeneSums:
    """Sums of genes over one edition of an atlas; safe to use from several threads.

    Parameters
    ----------
    atlas : Atlas
    folder : Path or None
        Where tables are kept on disk; None to keep none.
    """

    def __init__(self, atlas: Atlas, folder: Path | None) -> None:
        self.atlas = atlas
        self._folder = folder
        self._tables: dict[str, ClassTable] = {}
        self._lock = threading.Lock()
        self._measured = lru_cache(maxsize=KEPT)(self._sum_measured)
        self._measuring = lru_cache(maxsize=KEPT)(self._find_measuring)

    def table(self, label: str) -> ClassTable:
        """Return the table of a label; the first call may read the whole atlas once."""
        with self._lock:
            if not self._tables:
                self._tables = class_tables(self.atlas, self._folder)
        return self._tables[label]

    def gene(self, key: LayerKey) -> int:
        """Return the place of a gene."""
        return self.atlas.genes.index(key.name)

    def key_of(self, gene: str, kind: str, need: bool = True) -> LayerKey:
        """Return the layer of a gene as the atlas spells it; measured if it can be, by default.

        Raises
        ------
        UnknownGene, BadRequest
        UnknownLayer
            If no section has such values and ``need`` is set.
        """
        if kind not in ("", "measured", "imputed"):
            raise BadRequest(f"'{kind[:40]}' is no kind of value.", "Use measured or imputed.")
        place = self.atlas.genes.index(gene)
        symbol, table = self.atlas.genes.symbol[place], self.atlas.genes.embedding
        measured = kind != "imputed" and bool(self._measuring(place))
        can = bool(self.embedded()) and table is not None and bool(np.any(table[place]))
        as_measured = kind == "measured" or (not kind and measured)
        found = LayerKey("measured" if as_measured else "imputed", symbol)
        if need and not (measured if as_measured else can):
            other = "imputed" if as_measured else "measured"
            was = "was not measured" if as_measured else "cannot be imputed"
            raise UnknownLayer(f"{symbol} {was} in this atlas.", f"Ask for kind={other}.")
        return found

    def unit(self, key: LayerKey, places: Iterable[int]) -> str:
        """Return the unit of a gene in some sections; it says whether it is measured."""
        if key.kind == "imputed":
            return IMPUTED_UNIT
        sections = self.atlas.sections()
        return "/".join(sorted({f"log1p {sections[p].unit}, measured" for p in places}))

    def of(self, key: LayerKey, label: str) -> Sums:
        """Return cells with a value and summed values for each row of a label's table."""
        gene = self.gene(key)
        table = self.table(label)
        if key.kind == "measured":
            return self._measured(gene, label)
        embedding, genes = self.atlas.embedding("cell"), self.atlas.genes
        n = np.where(np.isin(table.section, self.embedded()), table.count, 0)
        if embedding is None or genes.embedding is None:
            return Sums(np.zeros_like(n), np.zeros(len(n)))
        direction = genes.embedding[gene].astype(np.float64) * embedding.scale
        return Sums(n, np.where(n > 0, table.total @ direction, 0.0))

    def _sum_measured(self, gene: int, label: str) -> Sums:
        table = self.table(label)
        n, total = np.zeros(len(table.count), np.int64), np.zeros(len(table.count))
        sections = self.atlas.sections()
        for place in self._measuring(gene):
            info, rows = sections[place], table.rows_of(place)
            expression = self.atlas.expression(info.id)
            if expression is None:
                continue
            cells, values = expression.column(gene)
            n[rows] = table.count[rows]
            place_of = np.searchsorted(table.code[rows], self._codes(label, info, cells))
            total[rows] = np.bincount(
                place_of, np.log1p(values, dtype=np.float64), minlength=rows.stop - rows.start
            )
        return Sums(n, total)

    def _codes(self, label: str, info: SectionInfo, cells: NDArray[np.uint32]) -> NDArray[np.int16]:
        if label == NO_LABEL:
            return np.full(len(cells), MISSING, np.int16)
        return np.asarray(self.atlas.label(label).codes[info.rows])[cells]

    def means(self, key: LayerKey, sums: Sums) -> NDArray[np.float64]:
        """Return means; the floor at zero of an imputed gene is applied to the mean."""
        mean: NDArray[np.float64] = np.full(len(sums.n), np.nan)
        np.divide(sums.total, sums.n, out=mean, where=sums.n > 0)
        offset = self.atlas.genes.offset
        if key.kind == "measured" or offset is None:
            return mean
        return np.asarray(np.maximum(0.0, float(offset[self.gene(key)]) + mean))

    def pooled(self, key: LayerKey) -> list[int]:
        """Return the sections whose values may be averaged together: of one unit."""
        if key.kind == "imputed":
            return self.embedded()
        main, sections = self.main_unit(key), self.atlas.sections()
        return [p for p in self._measuring(self.gene(key)) if sections[p].unit == main]

    def main_unit(self, key: LayerKey) -> str:
        """Return the unit in which most cells were measured."""
        cells: dict[str, int] = {}
        for place in self._measuring(self.gene(key)) if key.kind == "measured" else ():
            info = self.atlas.sections()[place]
            cells[info.unit] = cells.get(info.unit, 0) + info.n_cells
        return max(cells, key=lambda unit: cells[unit], default="")

    def left_out(self, key: LayerKey, pooled: list[int]) -> list[dict[str, Any]]:
        """Return how many sections do not enter a mean, and why."""
        sections = self.atlas.sections()
        have = set(pooled)
        reasons: dict[str, int] = {}
        measuring = set(self._measuring(self.gene(key))) if key.kind == "measured" else set()
        for place, info in enumerate(sections):
            if place in have:
                continue
            why = f"measured in another unit ({info.unit})" if place in measuring else ""
            why = why or ("not measured" if key.kind == "measured" else "not embedded")
            reasons[why] = reasons.get(why, 0) + 1
        return [{"why": why, "n_sections": n} for why, n in reasons.items()]

    def _find_measuring(self, gene: int) -> tuple[int, ...]:
        """Return the sections whose panel holds a gene."""
        return tuple(
            place
            for place, info in enumerate(self.atlas.sections())
            if (e := self.atlas.expression(info.id)) is not None and e.has(gene)
        )

    def embedded(self) -> list[int]:
        """Return the sections whose cells have an embedding."""
        embedding = self.atlas.embedding("cell")
        have = frozenset() if embedding is None else embedding.sections
        return [place for place, info in enumerate(self.atlas.sections()) if info.id in have]


def grouped(groups: NDArray[Any], sums: Sums, chosen: NDArray[np.bool_], n_groups: int) -> Sums:
    """Return sums per group; ``groups`` are of the chosen rows, -1 is in none."""
    known = groups >= 0
    at = groups[known]
    n = np.zeros(n_groups, np.int64)
    np.add.at(n, at, sums.n[chosen][known])
    total = np.bincount(at, sums.total[chosen][known], minlength=n_groups)
    return Sums(n, total.astype(np.float64))
