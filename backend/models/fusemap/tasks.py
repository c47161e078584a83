"""The verbs: embed, annotate and impute a section with a trained checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import UnknownGene, UnknownLayer, did_you_mean
from backend.core.job import RunContext
from backend.core.trust import IMPUTED_UNIT, GeneTrust
from backend.models.common.checkpoint import Checkpoint
from backend.models.common.prep import gene_index
from backend.models.fusemap.annotating import Asked, annotate_section
from backend.models.fusemap.card import CARD
from backend.models.fusemap.conformal import COVERAGE
from backend.models.fusemap.model import Model, from_checkpoint
from backend.models.fusemap.nearest import Near
from backend.models.fusemap.query import Query, nearest_sections, new_genes, open_query
from backend.models.fusemap.space import Mapped
from backend.models.fusemap.switch import Prefer, References

#: Column of the spread of a gene in the table of trust.
SPREAD = GeneTrust._fields.index("spread")
#: Sections listed as most similar.
LISTED = 10


@dataclass(frozen=True, slots=True)
class AnnotateParams:
    """What to annotate, and how strictly.

    Parameters
    ----------
    labels : tuple of str or None
        All labels of the checkpoint where None.
    taxonomy : mapping of label to str, or None
        Taxonomy (or a data set or section of it) per label; that of the most similar atlas section
        where it is not given.
    error : float or None
        Share of wrong labels to allow among cells that keep theirs; what the checkpoint was
        trained for where None.
    prefer : {"auto", "model", "knn"}
        ``auto`` takes, label by label, nearest neighbours in shared genes where they were right
        more often than the model on held-out cells, by more than a margin.
    """

    labels: tuple[str, ...] | None = None
    taxonomy: Mapping[str, str] | None = None
    error: float | None = None
    prefer: Prefer = "auto"


@dataclass(frozen=True, slots=True)
class Embedded:
    """A section in the common space: z and z_niche (n, k) float32, misfit (n,) float32.

    z and z_niche are times the section's slope, so that offset + z . embedding is on the scale of
    measured values. certainty : (n,) float32 in 0..1, or None where the model could not test it.
    """

    z: NDArray[np.float32]
    z_niche: NDArray[np.float32]
    misfit: NDArray[np.float32]
    certainty: NDArray[np.float32] | None = None


def embed(
    section: SectionData, checkpoint: Checkpoint | Model, ctx: RunContext | None = None
) -> Embedded:
    """Return the cells of ``section`` in the common space.

    Raises
    ------
    TooFewCells, NoSharedGenes, BadCheckpoint
    """
    ctx = ctx or RunContext()
    model = _model(checkpoint)
    query = open_query(section, model, ctx.device)
    return _embedded(query, query.into(model, 0), model)


def annotate(
    sections: Sequence[SectionData],
    params: AnnotateParams,
    checkpoint: Checkpoint | Model,
    ctx: RunContext,
    references: References | None = None,
) -> TaskResult:
    """Return labels with calibrated confidence for every cell of ``sections``.

    Parameters
    ----------
    sections : sequence of SectionData
    params : AnnotateParams
    checkpoint : Checkpoint or Model
    ctx : RunContext
    references : callable, optional
        Gives labelled sections of the atlas by their ids; without it the model labels everything.

    Returns
    -------
    TaskResult
        Columns ``label:<x>`` (codes in the atlas's categories, -1 = unassigned),
        ``confidence:<x>`` and ``score:novelty`` of cells and niches; matrices ``probability:<x>``
        (n, classes), ``levels:<x>`` (n, ``LEVEL_COLUMNS``), ``embedding:cell`` and
        ``embedding:niche`` (n, k), ``gene:new`` (genes that the checkpoint does not know: their
        embedding and, in the last column, offset); figures per section id.

    Raises
    ------
    TooFewCells, NoSharedGenes, UnknownLayer, BadCheckpoint
    """
    model = _model(checkpoint)
    labels = _labels(params, model)
    asked = Asked(_taxonomy(params, model), params.error, params.prefer, references)
    columns: list[Column] = []
    matrices: list[Matrix] = []
    figures: dict[str, Any] = {}
    for i, section in enumerate(sections):
        part = ctx.part(i / len(sections), (i + 1) / len(sections))
        part.step(0.05, f"Mapping {section.title}")
        query = open_query(section, model, ctx.device)
        mapped = query.into(model, 0)
        ranked = nearest_sections(query, mapped, model)
        matrices += _space_matrices(section, query, mapped, model)
        part.step(0.3, f"Annotating {section.title}")
        found = annotate_section(query, mapped, ranked, model, labels, asked)
        columns += found.columns
        matrices += found.matrices
        figures[section.id] = {
            "nearest": [_near_json(n) for n in ranked[:LISTED]],
            "genes": _gene_figures(section, mapped, model),
            "borrowed_statistics_of": query.source.id if query.source else None,
            "has_places": section.has_places,
            "pair_agreement": found.pair_agreement,
            "foreign": found.foreign,
            "labels": found.figures,
        }
    ctx.step(1.0, "Annotated")
    return TaskResult(
        tuple(columns), tuple(matrices), (), figures, _provenance(params, sections, model)
    )


def impute(
    section: SectionData,
    genes: Sequence[str],
    checkpoint: Checkpoint | Model,
    ctx: RunContext,
) -> TaskResult:
    """Return a matrix ``imputed`` (n, len(genes)), log1p of counts per median depth.

    Where the model has tested it, also ``half width`` (n, len(genes)) of 90 % intervals on the same
    scale and ``certainty`` (n, 1).

    Raises
    ------
    UnknownGene
        If the checkpoint does not know a gene.
    TooFewCells, NoSharedGenes, BadCheckpoint
    """
    model = _model(checkpoint)
    rows = [_gene_row(gene, model) for gene in genes]
    ctx.step(0.1, f"Mapping {section.title}")
    found = embed(section, model, ctx)
    values = np.maximum(found.z @ model.gene_embedding[rows].T + model.gene_offset[rows], 0)
    names = tuple(model.genes[row] for row in rows)
    trust = {n: _trust_json(model.gene_trust[row]) for n, row in zip(names, rows, strict=True)}
    matrices = [Matrix(section.id, "imputed", values.astype(np.float32), names)]
    if found.certainty is not None and model.cells is not None:
        width = model.cells.half_width(found.certainty)[:, None] * model.gene_trust[rows, SPREAD]
        matrices.append(Matrix(section.id, "half width", width.astype(np.float32), names))
        certainty = found.certainty[:, None]
        matrices.append(Matrix(section.id, "certainty", certainty, ("certainty",)))
    ctx.step(1.0, "Imputed")
    return TaskResult(
        matrices=tuple(matrices),
        figures={"trust": trust, "unit": IMPUTED_UNIT, "interval": _interval_json(model)},
        provenance=_provenance({"genes": list(names)}, [section], model),
    )


def _model(checkpoint: Checkpoint | Model) -> Model:
    """Read the model, once for callers that use it often."""
    return checkpoint if isinstance(checkpoint, Model) else from_checkpoint(checkpoint)


def _embedded(query: Query, mapped: Mapped, model: Model) -> Embedded:
    """Ready for imputation, single precision."""
    made = query.for_imputation(model, mapped)
    return Embedded(
        made.z.astype(np.float32),
        made.niche.astype(np.float32),
        mapped.misfit.astype(np.float32),
        made.certainty,
    )


def _labels(params: AnnotateParams, model: Model) -> tuple[str, ...]:
    """Labels to annotate."""
    known = tuple(dict.fromkeys(h.label for h in model.heads))
    for label in params.labels or ():
        if label not in known:
            raise UnknownLayer(
                f"The checkpoint cannot annotate '{label}'.",
                *filter(None, [f"It knows {', '.join(known)}.", did_you_mean(label, known)]),
            )
    return params.labels or known


def _taxonomy(params: AnnotateParams, model: Model) -> Mapping[str, str]:
    """Taxonomy per label as asked for.

    Raises
    ------
    UnknownLayer
        Where the checkpoint does not have it.
    """
    for label, asked in (params.taxonomy or {}).items():
        heads = [h for h in model.heads if h.label == label]
        known = sorted({h.taxonomy for h in heads})
        named = {n for h in heads for n in (*h.taxonomy.split(" + "), *h.sections)}
        if asked not in {*known, *named}:
            raise UnknownLayer(
                f"The checkpoint has no taxonomy '{asked[:80]}' of label '{label[:80]}'.",
                f"It has {'; '.join(known) or 'none'}.",
                *filter(None, [did_you_mean(asked[:80], named)]),
            )
    return params.taxonomy or {}


def _space_matrices(
    section: SectionData, query: Query, mapped: Mapped, model: Model
) -> list[Matrix]:
    """Make tables of the embedding of a section, and of genes that the checkpoint does not know."""
    names = tuple(f"factor {i + 1}" for i in range(mapped.z.shape[1]))
    own = _embedded(query, mapped, model)
    out = [
        Matrix(section.id, "embedding:cell", own.z, names),
        Matrix(section.id, "embedding:niche", own.z_niche, names),
    ]
    symbols, embedding, offset = new_genes(query, own.z.astype(np.float64), model)
    if symbols:
        table = np.concatenate([embedding, offset[:, None]], axis=1)
        out.append(Matrix(section.id, "gene:new", table.T.copy(), symbols))
    return out


def _gene_figures(section: SectionData, mapped: Mapped, model: Model) -> dict[str, Any]:
    """How the panel fits the checkpoint."""
    index = gene_index(model.genes)
    unknown = [g for g in section.genes if g.upper() not in index]
    return {
        "in_section": len(section.genes),
        "matched": len(section.genes) - len(unknown),
        "used": mapped.n_genes,
        "unknown": unknown[:50],
        "imputable": len(model.genes),
    }


def _near_json(near: Near) -> dict[str, Any]:
    """Plain values, without nan."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(near).items()
    }


def _trust_json(row: NDArray[np.float32]) -> dict[str, float | None]:
    """Say what is known of how well a gene is imputed, without nan."""
    return {
        name: None if np.isnan(v) else float(v)
        for name, v in zip(GeneTrust._fields, row, strict=False)
    }


def _interval_json(model: Model) -> dict[str, float | None] | None:
    """Say how far intervals of single values can be trusted."""
    if model.cells is None:
        return None
    known = not math.isnan(model.cells.coverage)
    return {
        "nominal": COVERAGE,
        "coverage_on_fresh_genes": model.cells.coverage if known else None,
    }


def _gene_row(gene: str, model: Model) -> int:
    """Place of a gene in the model."""
    row = gene_index(model.genes).get(gene.upper())
    if row is None:
        raise UnknownGene(
            f"Gene '{gene[:80]}' is not known to the checkpoint.",
            *filter(None, [did_you_mean(gene[:80], model.genes)]),
        )
    return row


def _provenance(
    params: AnnotateParams | Mapping[str, Any], sections: Sequence[SectionData], model: Model
) -> Provenance:
    """Where the result comes from."""
    given = asdict(params) if isinstance(params, AnnotateParams) else dict(params)
    return Provenance(
        CARD.name, CARD.version, given, int(model.about["seed"]), tuple(s.id for s in sections)
    )
