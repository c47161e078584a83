"""The verb ``colocalise``: who lies beside whom, and how far that can be trusted."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Label, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import NoSharedGenes
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.models.spatialformer.asked import commonest_types, plain, refuse_unusable
from backend.models.spatialformer.card import CARD, HOW_TO_READ, SHORT
from backend.models.spatialformer.composition import fit_composition
from backend.models.spatialformer.held_out import (
    EXTRA,
    GAIN,
    MODEL,
    TRANSFORMER,
    WITH_TRANSFORMER,
    Judged,
    judge,
)
from backend.models.spatialformer.learnt import Learnt, learn_section, unseen_words
from backend.models.spatialformer.pair_features import Described
from backend.models.spatialformer.partners import PairModel, fit_pairs, make_training
from backend.models.spatialformer.surroundings import (
    held_out_divergence,
    niche_columns,
    niche_figures,
)
from backend.models.spatialformer.transformer.keep import Pretrained
from backend.models.spatialformer.type_matrix import agreement, type_matrix

#: Radii at which the model is tested, beside the chosen one.
RADII = (10.0, 30.0, 60.0)
#: Chosen cells that are scored against all others, at most.
MOST_CHOSEN = 200
#: Partners listed.
PARTNERS = 50


@dataclass(frozen=True, slots=True)
class ColocaliseParams:
    """What to learn: the radius of a neighbour, whether another embedding may be taken.

    ``transformer`` says whether the pretrained transformer is asked too; it takes seconds more.
    """

    radius_um: float = 30.0
    extra: bool = True
    transformer: bool = True


def colocalise(
    section: SectionData,
    label: Label,
    chosen: NDArray[np.int64],
    params: ColocaliseParams,
    ctx: RunContext,
    extra: NDArray[np.floating] | None = None,
    query: SectionData | None = None,
    pretrained: Pretrained | None = None,
) -> TaskResult:
    """Return predicted partners of the chosen cells, types by types, and held-out figures.

    Parameters
    ----------
    section : SectionData
        With places in micrometres and expression.
    label : Label
        Types of its cells; a name may be missing.
    chosen : (c,) int64
        Rows whose partners are asked for; none where empty.
    params : ColocaliseParams
    ctx : RunContext
    extra : (n, e) array, optional
        Another embedding of the cells. It is used only where it wins on held-out stripes.
    query : SectionData, optional
        Cells of another section, or dissociated ones, asked for instead of ``chosen``.
    pretrained : Pretrained, optional
        A transformer: its score is shown beside the others, and what it sees of cells becomes
        further features where that wins on held-out stripes and it was not pretrained on them.

    Returns
    -------
    TaskResult
        Columns ``score:partner`` (where cells are chosen), ``score:niche divergence`` and
        ``weight:niche TYPE``; for ``figures`` see ``backend.runs.partners``.

    Raises
    ------
    BadRequest, NoSharedGenes, TooFewCells, Cancelled
    """
    refuse_unusable(section)
    started = time.perf_counter()
    radii = sorted({*RADII, params.radius_um})
    learnt, left_out = _learnt(section, pretrained, ctx.part(0.0, 0.3))
    offered = _offered(extra if params.extra else None, learnt)
    also = {TRANSFORMER: learnt.scores} if learnt is not None else {}
    judged = judge(section, radii, ctx.part(0.3, 0.7), params.radius_um, offered, also)
    ctx.step(0.7, "Learning from the whole section")
    # A query has no such embedding of its own.
    taken = offered[judged.takes] if judged.takes and query is None else None
    training = make_training(
        [section], ctx.seed, params.radius_um, None if taken is None else [taken]
    )
    model = fit_pairs(training, judged.penalty)
    cells = training.cells[0]
    types = commonest_types(label)
    codes = np.asarray(label.codes, dtype=np.int64)
    divergence = held_out_divergence(
        section, codes, len(label.categories), params.radius_um, ctx.seed
    )
    ctx.step(0.85, "Scoring partners")
    own = model.describe(query) if query is not None else cells.rows(chosen[:MOST_CHOSEN])
    columns, partners = _partners(section, model, cells, own, chosen, query is not None, ctx)
    fitted = fit_composition([cells.h], [section.xy], [codes], training.niches,
                             len(label.categories), params.radius_um)  # fmt: skip
    columns += niche_columns(
        section, cells, codes, training.niches, fitted, label, params.radius_um
    )
    ctx.step(0.95, "Comparing types")
    matrix, observed = type_matrix(section, model, cells, codes, types, params.radius_um, ctx.seed)
    figures = {
        "n_cells": section.n_cells,
        "radius_um": params.radius_um,
        "types": [{"name": label.categories[t].name, "colour": label.categories[t].colour}
                  for t in types],
        "matrix": matrix,
        "observed": observed,
        "matrix_r": agreement(matrix, observed),
        **niche_figures(section, label, codes, own, fitted, training.niches, chosen,
                         query is not None, params.radius_um),
        "query": {"said": _said(section, chosen, query), "n_cells": len(own.h)},
        "partners": partners,
        "auc": judged.auc[f"{params.radius_um:g}"],
        "auc_by_radius": judged.auc,
        "composition_jsd": divergence,
        "penalty": judged.penalty,
        "takes": "" if taken is None else judged.takes,
        "tested_on": "Two stripes of this section, each unseen once, cells within 75 µm of the cut "
        "left out; one neighbour, one hard and one easy negative per cell.",
        "transformer": transformer_words(judged, learnt, params.radius_um, left_out),
        "warnings": _warnings(judged, divergence, params.radius_um),
        "how_to_read": HOW_TO_READ,
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    made = Provenance(CARD.name, CARD.version, asdict(params), ctx.seed, (section.id,))
    matrices = (Matrix(section.id, "profile:whitened", cells.h.astype(np.float32),
                       tuple(f"component {i + 1}" for i in range(cells.h.shape[1]))),)  # fmt: skip
    return TaskResult(tuple(columns), matrices, (), plain(figures), made)


def _learnt(
    section: SectionData, pretrained: Pretrained | None, ctx: RunContext
) -> tuple[Learnt | None, str]:
    """Return a section as the transformer sees it, or None, and why not where one was given."""
    if pretrained is None:
        return None, ""
    try:
        return learn_section(pretrained, section, ctx)
    except NoSharedGenes as error:
        return None, f"The transformer was left out: {error}"


def _offered(
    extra: NDArray[np.floating] | None, learnt: Learnt | None
) -> dict[str, NDArray[np.floating]]:
    """Return the embeddings that may become features: none of cells that were pretrained on."""
    out: dict[str, NDArray[np.floating]] = {} if extra is None else {EXTRA: extra}
    if learnt is not None and not learnt.known_as:
        out[WITH_TRANSFORMER] = learnt.states
    return out


def transformer_words(
    judged: Judged, learnt: Learnt | None, radius: float, left_out: str
) -> list[str]:
    """Return what is to be said of the transformer: figures, whether it is used, and why."""
    if learnt is None:
        return [left_out] if left_out else []
    found = judged.auc[f"{radius:g}"]
    if learnt.known_as:
        seen = (
            f"It was pretrained on this very tissue ({learnt.known_as}): its figures here flatter."
        )
        return [f"{seen} It is shown, and not used.", unseen_words(learnt.pretrained.card)]
    own, plain = found[WITH_TRANSFORMER], found[MODEL]
    why = {
        WITH_TRANSFORMER: "It is used: that is a mean gain above",
        EXTRA: "It is not used: the FuseMap embedding gains more; asked is a mean gain above",
    }.get(judged.takes, "It is not used: that is no mean gain above")
    return [
        f"The pair model with the transformer's embedding: hard {own['hard']:.3f}, easy "
        f"{own['easy']:.3f}; without: {plain['hard']:.3f}, {plain['easy']:.3f}. {why} {GAIN:g}.",
        unseen_words(learnt.pretrained.card),
    ]


def _partners(
    section: SectionData, model: PairModel, cells: Described, own: Described,
    chosen: NDArray[np.int64], is_query: bool, ctx: RunContext,
) -> tuple[list[Column], list[dict[str, Any]]]:  # fmt: skip
    """Return the mean score of every cell with the chosen ones, and the likeliest partners."""
    if not len(own.h):
        return [], []
    own = own.rows(np.arange(min(len(own.h), MOST_CHOSEN)))
    total = np.zeros(section.n_cells)
    for i in range(len(own.h)):
        ctx.step(0.85 + 0.08 * i / len(own.h), "Scoring partners")
        total += model.probability(own.rows(np.array([i])), cells)
    score = (total / len(own.h)).astype(np.float32)
    others = np.setdiff1d(np.arange(section.n_cells), [] if is_query else chosen)
    best = others[np.argsort(-score[others], kind="stable")[:PARTNERS]]
    listed = [
        {"row": int(r), "name": str(section.names[r]), "score": float(score[r]),
         "x": float(section.xy[r, 0]), "y": float(section.xy[r, 1])}
        for r in best
    ]  # fmt: skip
    return [Column(section.id, LayerKey("score", "partner"), score, unit="probability")], listed


def _said(section: SectionData, chosen: NDArray[np.int64], query: SectionData | None) -> str:
    if query is not None:
        places = "with" if query.has_places else "without"
        return f"{query.n_cells:,} cells of {query.title}, {places} places"
    if not len(chosen):
        return "no cell was chosen"
    if len(chosen) == 1:
        return f"cell {section.names[chosen[0]]}"
    more = f", {MOST_CHOSEN} of them scored" if len(chosen) > MOST_CHOSEN else ""
    return f"{len(chosen):,} chosen cells{more}"


def _warnings(judged: Judged, divergence: dict[str, float], radius: float) -> list[str]:
    found = dict(judged.auc[f"{radius:g}"])
    used = found.pop(next(iter(found)))
    out = [
        f"{name} is as good here (hard AUC {own['hard']:.3f} against {used['hard']:.3f})."
        for name, own in found.items()
        if name not in (MODEL, EXTRA, WITH_TRANSFORMER) and own["hard"] >= used["hard"] - 0.005
    ]
    best = min(divergence, key=lambda name: divergence[name])
    ridge = next(iter(divergence))
    if best != ridge:
        out.append(f"Niches: '{best}' is nearer to the real ones than the prediction "
                   f"({divergence[best]:.3f} against {divergence[ridge]:.3f}).")  # fmt: skip
    return [*out, SHORT]
