"""Bring a section into the spaces of a trained model, with its gene embeddings frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.core.errors import NoSharedGenes, TooFewCells
from backend.models.common.graphs import delaunay_graph
from backend.models.common.prep import (
    Prepared,
    gene_index,
    gene_statistics,
    normalised,
    prepare_like,
)
from backend.models.fusemap.checks import refuse_species
from backend.models.fusemap.inputs import like_scale, prepare_on
from backend.models.fusemap.model import LabelHead, Model, SectionRecord
from backend.models.fusemap.nearest import Near, profile, rank_sections
from backend.models.fusemap.space import LEAST_SHARED_GENES, Mapped, map_cells

#: Below this a section is refused; below the second it borrows a reference section's statistics.
LEAST_CELLS, OWN_STATISTICS = 10, 200
#: Ridge for genes that the model does not know.
NEW_GENE_RIDGE = 10.0


@dataclass(frozen=True, slots=True)
class Imputable:
    """Cells as the imputation table reads them: z, niche (n, k), certainty (n,) in 0..1 or None."""

    z: NDArray[np.float64]
    niche: NDArray[np.float64]
    certainty: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Query:
    """A section ready to be mapped.

    places : row-normalised neighbours, None without coordinates
    source : the reference section whose statistics it borrows, or None
    own : its record, where the model was trained on this very section
    """

    section: SectionData
    prepared: Prepared
    places: csr_matrix | None
    source: SectionRecord | None
    own: SectionRecord | None
    device: str = "cpu"

    @property
    def graph(self) -> csr_matrix:
        """Return the neighbours; without coordinates nobody has any."""
        n = self.section.n_cells
        return csr_matrix((n, n), dtype=np.float32) if self.places is None else self.places

    def into(self, model: Model, space: int) -> Mapped:
        """Return its cells in a space of the model.

        Raises
        ------
        NoSharedGenes
        """
        known = self.own or self.source
        noise = model.spaces[space].noise.get(known.id) if known else None
        prepared = self.prepared
        if self.source is not None and known is not None and noise is not None:
            noise = noise[..., np.searchsorted(known.genes, prepared.genes)]
        return map_cells(model.spaces[space], prepared, self.graph, noise, None, self.device)

    def for_imputation(self, model: Model, mapped: Mapped) -> Imputable:
        """Return what values of genes are made of: z and niche times the section's slope."""
        slope = model.slopes.get(self.own.id, model.slope) if self.own else model.slope
        certainty = None
        if model.cells is not None:
            detected = self.prepared.x.getnnz(axis=1).astype(np.float64)
            certainty = model.cells.certainty(mapped.misfit, detected)
        return Imputable(slope * mapped.z, slope * mapped.niche, certainty)


def open_query(section: SectionData, model: Model, device: str = "cpu") -> Query:
    """Return ``section`` ready to be mapped.

    Raises
    ------
    TooFewCells
        With fewer than ``LEAST_CELLS`` cells.
    NoSharedGenes
        With fewer than ``LEAST_SHARED_GENES`` genes that the model knows.
    BadRequest
        If it is of another species.
    """
    if section.n_cells < LEAST_CELLS:
        raise TooFewCells(
            f"'{section.title}' has {section.n_cells} cells; at least {LEAST_CELLS} are needed.",
            "Use a whole section: niches and gene statistics come from many cells.",
        )
    refuse_species(section, model.about.get("species", ()))
    index = gene_index(model.genes)
    known = sum(gene.upper() in index for gene in section.genes)
    if known < LEAST_SHARED_GENES:
        raise NoSharedGenes(
            f"Only {known} of the {len(section.genes)} genes of '{section.title}' are known to "
            f"the checkpoint; {LEAST_SHARED_GENES} are needed.",
            f"Use gene symbols as the atlas does, for example {', '.join(model.genes[:3])}.",
        )
    graph = delaunay_graph(section.xy) if section.has_places else None
    if section.n_cells < OWN_STATISTICS:
        source = _source(section, model, index)
        arrays = source.genes, source.mean, source.sd, source.level
        small = like_scale(prepare_like(section, index, *arrays), model.scale)
        return Query(section, small, graph, source, None, device)
    prepared = prepare_on(section, index, model.scale)
    own = model.record(section.id)
    if own is not None and not _is_same(own, section, prepared):
        own = None
    return Query(section, prepared, graph, None, own, device)


def _is_same(record: SectionRecord, section: SectionData, prepared: Prepared) -> bool:
    """Whether a section is the one that the model was trained on."""
    return (
        record.n_cells == section.n_cells
        and np.array_equal(record.genes, prepared.genes)
        and np.allclose(record.mean, prepared.mean)
    )


def _source(section: SectionData, model: Model, index: dict[str, int]) -> SectionRecord:
    """Choose the reference section of the same kind of values that shares most genes."""
    own = {index[g.upper()] for g in section.genes if g.upper() in index}

    def shared(record: SectionRecord) -> tuple[bool, int]:
        same_kind = ("counts" in record.unit) == section.is_counts
        return same_kind, len(own.intersection(record.genes.tolist()))

    return max(model.sections, key=shared)


def nearest_sections(query: Query, mapped: Mapped, model: Model) -> list[Near]:
    """Return the atlas sections, the most similar first; the query itself is left out."""
    mean, _ = gene_statistics(query.prepared.x)
    others = [s for s in model.sections if query.own is None or s.id != query.own.id]
    return rank_sections(
        profile(mapped.niche, model.niche_centres),
        dict(zip(query.prepared.genes.tolist(), mean.tolist(), strict=True)),
        {s.id: s.profile for s in others},
        {s.id: (s.genes, s.mean) for s in others},
    )


def head_for(
    label: str, model: Model, ranked: Sequence[Near], taxonomy: str | None
) -> LabelHead | None:
    """Return the head of a label to use: of a named taxonomy, or of the most similar section.

    Parameters
    ----------
    label : str
    model : Model
    ranked : sequence of Near
    taxonomy : str or None
        A taxonomy, one of its data sets, or one of its sections.
    """
    heads = [h for h in model.heads if h.label == label]
    exact = next((h for h in heads if h.taxonomy == taxonomy), None)
    if exact is not None:
        return exact
    if taxonomy is not None:
        named = [
            h
            for h in heads
            if taxonomy == h.taxonomy or taxonomy in h.taxonomy.split(" + ") + list(h.sections)
        ]
        heads = named or heads
    alike = [near for near in ranked if near.is_alike]
    for near in (*alike, *ranked):
        having = [h for h in heads if near.section in h.sections]
        if having:
            # One data set speaks best for a query like it, all together for a stranger.
            order = sorted(having, key=lambda h: len(h.taxonomy.split(" + ")))
            return order[0] if near.is_alike else order[-1]
    return heads[0] if heads else None


def new_genes(
    query: Query, z: NDArray[np.float64], model: Model
) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float32]]:
    """Return genes of the query that the model does not know, by one ridge solve on z (n, k).

    Returns
    -------
    symbols, embedding (m, k) float32, offset (m,) float32
        On the scale of the query, so that max(0, offset + z . embedding) predicts them.
    """
    index = gene_index(model.genes)
    columns = [j for j, g in enumerate(query.section.genes) if g.upper() not in index]
    k = z.shape[1]
    if not columns:
        return (), np.zeros((0, k), np.float32), np.zeros(0, np.float32)
    x = csr_matrix(normalised(query.section.counts, query.section.is_counts)[:, columns])
    mean, _ = gene_statistics(x)
    centred = z - z.mean(axis=0)
    right = np.asarray(x.T @ centred)
    left = centred.T @ centred + NEW_GENE_RIDGE * np.eye(k)
    embedding = np.linalg.solve(left, right.T).T
    offset = mean - embedding @ z.mean(axis=0)
    symbols = tuple(query.section.genes[j] for j in columns)
    return symbols, embedding.astype(np.float32), offset.astype(np.float32)
