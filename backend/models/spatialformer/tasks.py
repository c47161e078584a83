"""The verbs of the default mode: who lies beside whom, and which gene pairs go together there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from backend.core.data import Column, Label, Matrix, Provenance, SectionData, TaskResult
from backend.core.errors import BadRequest, TooFewCells, did_you_mean
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.models.common.prep import normalised
from backend.models.spatialformer.card import CARD, HOW_TO_READ, SHORT
from backend.models.spatialformer.composition import (
    Composition,
    composition_figures,
    fit_composition,
    predict_composition,
    real_composition,
)
from backend.models.spatialformer.genepairs import GenePairs, find_contacts, gene_pair_tests
from backend.models.spatialformer.held_out import EXTRA, MODEL, Judged, judge, stripes
from backend.models.spatialformer.measures import jensen_shannon
from backend.models.spatialformer.niches import Niches
from backend.models.spatialformer.pair_features import Described
from backend.models.spatialformer.pairs import cell_graph
from backend.models.spatialformer.partners import PairModel, fit_pairs, make_training
from backend.models.spatialformer.profiles import describe
from backend.models.spatialformer.spill import Spill, spill_suspects, spill_test

#: Radii at which the model is tested, beside the chosen one.
RADII = (10.0, 30.0, 60.0)
#: Chosen cells that are scored against all others, at most.
MOST_CHOSEN = 200
#: Pairs of cells whose mean logit fills one field of the matrix.
DRAWN = 200
#: Types of a matrix at most: the commonest.
MOST_TYPES = 40
#: Rows of gene pairs that are listed; those of every gene pair would fill a page's memory.
LISTED = 4000
#: Partners listed.
PARTNERS = 50
RATE = 0.05


@dataclass(frozen=True, slots=True)
class ColocaliseParams:
    """What to learn: the radius of a neighbour, whether another embedding may be taken."""

    radius_um: float = 30.0
    extra: bool = True


@dataclass(frozen=True, slots=True)
class PerturbParams:
    """What to test: two types by name, the radius of a contact, the false discovery rate."""

    a: str = ""
    b: str = ""
    radius_um: float = 30.0
    rate: float = RATE


def colocalise(
    section: SectionData,
    label: Label,
    chosen: NDArray[np.int64],
    params: ColocaliseParams,
    ctx: RunContext,
    extra: NDArray[np.floating] | None = None,
    query: SectionData | None = None,
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

    Returns
    -------
    TaskResult
        Columns ``score:partner`` (where cells are chosen), ``score:niche divergence`` and
        ``weight:niche TYPE``; for ``figures`` see ``backend.runs.partners``.

    Raises
    ------
    BadRequest, NoSharedGenes, TooFewCells, Cancelled
    """
    _refuse(section)
    started = time.perf_counter()
    use = extra if params.extra and query is None else None
    radii = sorted({*RADII, params.radius_um})
    judged = judge(section, radii, ctx.part(0.0, 0.7), params.radius_um, use)
    ctx.step(0.7, "Learning from the whole section")
    taken = use if judged.takes_extra else None
    training = make_training(
        [section], ctx.seed, params.radius_um, None if taken is None else [taken]
    )
    model = fit_pairs(training, judged.penalty)
    cells = training.cells[0]
    types = _types(label)
    codes = np.asarray(label.codes, dtype=np.int64)
    divergence = _divergence(section, codes, len(label.categories), params, ctx)
    ctx.step(0.85, "Scoring partners")
    own = model.describe(query) if query is not None else cells.rows(chosen[:MOST_CHOSEN])
    columns, partners = _partners(section, model, cells, own, chosen, query is not None, ctx)
    fitted = fit_composition([cells.h], [section.xy], [codes], training.niches,
                             len(label.categories), params.radius_um)  # fmt: skip
    columns += _niche_columns(section, cells, codes, training.niches, fitted, label, params)
    ctx.step(0.95, "Comparing types")
    matrix, observed = type_matrix(section, model, cells, codes, types, params.radius_um, ctx.seed)
    figures = {
        "n_cells": section.n_cells,
        "radius_um": params.radius_um,
        "types": [{"name": label.categories[t].name, "colour": label.categories[t].colour}
                  for t in types],
        "matrix": matrix,
        "observed": observed,
        "matrix_r": _agreement(matrix, observed),
        **_niche_figures(section, label, codes, own, fitted, training.niches, chosen,
                         query is not None, params),
        "query": {"said": _said(section, chosen, query), "n_cells": len(own.h)},
        "partners": partners,
        "auc": judged.auc[f"{params.radius_um:g}"],
        "auc_by_radius": judged.auc,
        "composition_jsd": divergence,
        "penalty": judged.penalty,
        "takes_embedding": judged.takes_extra,
        "tested_on": "Two stripes of this section, each unseen once, cells within 75 um of the cut "
        "left out; one neighbour, one hard and one easy negative per cell.",
        "warnings": _warnings(judged, divergence, params.radius_um),
        "how_to_read": HOW_TO_READ,
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    made = Provenance(CARD.name, CARD.version, asdict(params), ctx.seed, (section.id,))
    matrices = (Matrix(section.id, "profile:whitened", cells.h.astype(np.float32),
                       tuple(f"component {i + 1}" for i in range(cells.h.shape[1]))),)  # fmt: skip
    return TaskResult(tuple(columns), matrices, (), _plain(figures), made)


def type_matrix(
    section: SectionData,
    model: PairModel,
    cells: Described,
    codes: NDArray[np.int64],
    types: Sequence[int],
    radius: float,
    seed: int,
) -> tuple[list[list[float]], list[list[float]]]:
    """Return predicted and observed log odds that cells of two types are neighbours, (t, t) each.

    Predicted: mean logit of random pairs of cells of the two types, less that of all. Observed: log
    of the contacts over those expected of as many cells placed at random.
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(codes == t) for t in types]
    i, j = np.triu_indices(len(types))
    a = np.concatenate([random.choice(members[x], DRAWN) for x in i])
    b = np.concatenate([random.choice(members[y], DRAWN) for y in j])
    means = model.logits(cells.rows(a), cells.rows(b)).reshape(len(i), DRAWN).mean(axis=1)
    count = np.array([len(m) for m in members], dtype=np.float64)
    share = np.outer(count, count)
    graph = cell_graph(section.xy, radius).tocoo()
    place = np.full(int(codes.max(initial=-1)) + 2, -1)
    place[list(types)] = np.arange(len(types))
    ends = place[codes[graph.row]], place[codes[graph.col]]
    known = (ends[0] >= 0) & (ends[1] >= 0)
    contacts = np.zeros((len(types), len(types)))
    np.add.at(contacts, (ends[0][known], ends[1][known]), 1.0)
    expected = share * contacts.sum() / share.sum()
    predicted = np.zeros_like(contacts)
    predicted[i, j] = means
    predicted[j, i] = means
    predicted -= (predicted * share).sum() / share.sum()
    return predicted.tolist(), np.log((contacts + 1) / (expected + 1)).tolist()


def perturb(
    section: SectionData,
    label: Label,
    inside: NDArray[np.bool_],
    params: PerturbParams,
    ctx: RunContext,
    is_pair: Callable[[str, str], bool] | None = None,
) -> TaskResult:
    """Return the test of every gene pair of two types where their cells touch.

    Parameters
    ----------
    section : SectionData
    label : Label
        Types of its cells.
    inside : (n,) bool
        Cells of the region.
    params : PerturbParams
    ctx : RunContext
    is_pair : callable (str, str) -> bool, optional
        Whether two genes are a ligand and its receptor, in either order.

    Raises
    ------
    BadRequest
        If a type is missing; all faults at once.
    TooFewCells
        Saying how many contacts there are and how many are needed.
    """
    _refuse(section)
    codes = np.asarray(label.codes, dtype=np.int64)
    a, b = _codes_of(label, codes[inside], (params.a, params.b))
    started = time.perf_counter()
    ctx.step(0.1, "Finding contacts")
    rows_a, rows_b = (np.flatnonzero(inside & (codes == c)) for c in (a, b))
    contacts = find_contacts(section.xy, inside & (codes == a), inside & (codes == b),
                             params.radius_um)  # fmt: skip
    values = normalised(section.counts, section.is_counts)
    ctx.step(0.3, "Testing gene pairs")
    clock = time.perf_counter()
    found = gene_pair_tests(values, contacts, rows_a, same_type=a == b)
    took = time.perf_counter() - clock
    spill = spill_test(values, section.xy, inside & (codes == a), inside & (codes == b))
    suspects = spill_suspects(values, found, rows_a, rows_b)
    ctx.step(0.8, "Listing gene pairs")
    rows, n_pairs = _rows(section.genes, found, suspects, is_pair, params.rate)
    called = found.q < params.rate
    figures = {
        "a": label.categories[a].name,
        "b": label.categories[b].name,
        "radius_um": params.radius_um,
        "n_contacts": contacts.count,
        "n_cells_a": len(contacts.a),
        "n_cells_b": int(len(np.unique(contacts.near.indices))),
        "n_tested": int(found.z.size),
        "n_called": int(called.sum()),
        "n_called_clean": int((called & ~suspects).sum()),
        "n_ligand_receptor": n_pairs,
        "rate": params.rate,
        "rows": rows,
        "network": [r for r in rows if r["q"] < params.rate],
        "spill": {
            **(spill._asdict() if spill else {}),
            "tested": spill is not None,
            "warns": spill is not None and spill.warns,
            "said": _spill_words(spill),
        },
        "warnings": _pair_warnings(spill, found),
        "how_to_read": {k: HOW_TO_READ[k] for k in ("effect", "q")},
        "seconds": {"test": round(took, 3), "all": round(time.perf_counter() - started, 3)},
    }
    made = Provenance(CARD.name, CARD.version, asdict(params), ctx.seed, (section.id,))
    return TaskResult(figures=_plain(figures), provenance=made)


def _rows(
    genes: tuple[str, ...],
    found: GenePairs,
    suspects: NDArray[np.bool_],
    is_pair: Callable[[str, str], bool] | None,
    rate: float,
) -> tuple[list[dict[str, Any]], int]:
    """Return the listed gene pairs, the surest first, and how many pairs the table knows.

    Ligands and their receptors are all listed. ``q_ligand_receptor`` adjusts over those only.
    """
    order = np.argsort(found.p, axis=None, kind="stable")
    known = np.zeros(found.p.shape, bool)
    if is_pair is not None:
        for i, g in enumerate(found.genes_a):
            known[i] = [is_pair(genes[g], genes[h]) for h in found.genes_b]
    q_known = _adjusted_among(found.p, known)
    first = order[:LISTED]
    listed = np.concatenate([first, order[LISTED:][known.ravel()[order[LISTED:]]]])
    out = []
    for i, j in zip(*np.unravel_index(listed, found.p.shape), strict=True):
        g, h = found.genes_a[i], found.genes_b[j]
        out.append(
            {
                "gene_a": genes[g], "gene_b": genes[h],
                "u": found.u[i, j], "expected": found.expected[i, j], "z": found.z[i, j],
                "p": found.p[i, j], "q": found.q[i, j], "effect": found.effect[i, j],
                "risk_ratio": found.ratio[i, j], "is_same": bool(g == h),
                "is_spill": bool(suspects[i, j]), "is_ligand_receptor": bool(known[i, j]),
                "q_ligand_receptor": q_known[i, j] if known[i, j] else None,
                "called": bool(found.q[i, j] < rate),
            }
        )  # fmt: skip
    return out, int(known.sum())


def _adjusted_among(p: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.float64]:
    out = np.full(p.shape, np.nan)
    if among.any():
        out[among] = false_discovery_control(p[among])
    return out


def _codes_of(label: Label, inside: NDArray[np.int64], names: tuple[str, str]) -> tuple[int, int]:
    at = {c.name.casefold(): i for i, c in enumerate(label.categories)}
    have = set(inside[inside >= 0].tolist())
    faults = []
    for name in dict.fromkeys(names):
        if name.casefold() not in at:
            known = [c.name for c in label.categories]
            hint = did_you_mean(name[:60], known) or f"Types are {', '.join(known[:8])}, ..."
            faults.append(f"There is no type '{name[:60]}'. {hint}")
        elif at[name.casefold()] not in have:
            faults.append(f"No cell of the region is of type '{name[:60]}'.")
    if faults:
        raise BadRequest("Two types are needed for gene pairs.", *faults)
    return at[names[0].casefold()], at[names[1].casefold()]


def _refuse(section: SectionData) -> None:
    """Refuse a section without places, units or expression, all of it at once."""
    faults = []
    if not section.has_places:
        lost = int((~np.isfinite(section.xy)).any(axis=1).sum())
        faults.append(
            f"{lost:,} of {section.n_cells:,} cells have no coordinates: co-localisation is learnt "
            "from cells with places; dissociated cells can be the query."
        )
    if section.xy_unit != "um":
        faults.append(f"Positions are in {section.xy_unit}, not um: give the scale when reading.")
    if not len(section.genes) or not section.counts.nnz:
        faults.append("It has no expression.")
    if faults:
        raise BadRequest(f"Section '{section.title}' cannot be used.", *faults)


def _types(label: Label) -> list[int]:
    codes = np.asarray(label.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(label.categories))
    order = np.argsort(-counts, kind="stable")
    types = sorted(int(t) for t in order[:MOST_TYPES] if counts[t] >= 2)
    if len(types) < 2:
        raise TooFewCells("Fewer than two types have cells here.", "Choose another label.")
    return types


def _divergence(
    section: SectionData, codes: NDArray[np.int64], k: int, params: ColocaliseParams,
    ctx: RunContext,
) -> dict[str, float]:  # fmt: skip
    """Return the divergence of predicted compositions on unseen stripes, by method."""
    found = []
    for split in stripes(section):
        training = make_training([split.train], ctx.seed, params.radius_um)
        model = fit_composition([c.h for c in training.cells], [split.train.xy],
                                [codes[split.train_rows]], training.niches, k,
                                params.radius_um)  # fmt: skip
        h = describe(split.test, training.profiles)
        found.append(composition_figures(h, split.test.xy, codes[split.test_rows],
                                         training.niches, model, params.radius_um))  # fmt: skip
    return {name: float(np.mean([f[name] for f in found])) for name in found[0]}


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


def _niche_columns(
    section: SectionData, cells: Described, codes: NDArray[np.int64], niches: Niches,
    model: Composition, label: Label, params: ColocaliseParams,
) -> list[Column]:  # fmt: skip
    """Return predicted shares of types around every cell, and how far they are from the real."""
    predicted = predict_composition(cells.h, niches, model)
    rows, real = real_composition(section.xy, codes, len(label.categories), params.radius_um)
    apart = np.full(section.n_cells, np.nan, np.float32)
    apart[rows] = jensen_shannon(predicted[rows], real)
    out = [Column(section.id, LayerKey("score", "niche divergence"), apart, unit="nats")]
    for code in _types(label):
        key = LayerKey("weight", f"niche {label.categories[code].name}")
        values = predicted[:, code].astype(np.float32)
        out.append(Column(section.id, key, values, unit="share of neighbours, predicted"))
    return out


def _niche_figures(
    section: SectionData, label: Label, codes: NDArray[np.int64], own: Described,
    model: Composition, niches: Niches, chosen: NDArray[np.int64], is_query: bool,
    params: ColocaliseParams,
) -> dict[str, Any]:  # fmt: skip
    """Return the predicted and, where the cells have places, real niche of the chosen cells."""
    if not len(own.h):
        return {"niche": [], "jsd": None}
    k = len(label.categories)
    predicted = predict_composition(own.h, niches, model).mean(axis=0)
    observed = None
    if not is_query:
        rows, real = real_composition(section.xy, codes, k, params.radius_um)
        mine = real[np.isin(rows, chosen)]
        observed = mine.mean(axis=0) if len(mine) else None
    shown = [i for i in range(k) if predicted[i] > 0 or (observed is not None and observed[i] > 0)]
    niche = [
        {"name": label.categories[i].name, "predicted": float(predicted[i]),
         "observed": None if observed is None else float(observed[i])}
        for i in sorted(shown, key=lambda i: -predicted[i])
    ]  # fmt: skip
    if observed is None:
        return {"niche": niche, "jsd": None}
    return {"niche": niche, "jsd": float(jensen_shannon(predicted[None], observed[None])[0])}


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


def _agreement(matrix: list[list[float]], observed: list[list[float]]) -> float:
    """Return the correlation of predicted and observed log odds over pairs of types."""
    i = np.triu_indices(len(matrix))
    return float(np.corrcoef(np.array(matrix)[i], np.array(observed)[i])[0, 1])


def _warnings(judged: Judged, divergence: dict[str, float], radius: float) -> list[str]:
    found = dict(judged.auc[f"{radius:g}"])
    used = found.pop(next(iter(found)))
    out = [
        f"{name} is as good here (hard AUC {own['hard']:.3f} against {used['hard']:.3f})."
        for name, own in found.items()
        if name not in (MODEL, EXTRA) and own["hard"] >= used["hard"] - 0.005
    ]
    best = min(divergence, key=lambda name: divergence[name])
    ridge = next(iter(divergence))
    if best != ridge:
        out.append(f"Niches: '{best}' is nearer to the real ones than the prediction "
                   f"({divergence[best]:.3f} against {divergence[ridge]:.3f}).")  # fmt: skip
    return [*out, SHORT]


def _spill_words(spill: Spill | None) -> str:
    if spill is None:
        return "Too few cells of the two types adjoin (15 um) to test for spilled transcripts."
    if not spill.warns:
        return f"No sign of spilled transcripts (p {spill.p:.2g}, {spill.n} genes on both sides)."
    return (
        f"Between adjacent cells pairs of one gene go together more than others (mean z "
        f"{spill.same:.1f} against "
        f"{spill.other:.1f}, p {spill.p:.1g}): transcripts may have spilled over between "
        "neighbours, which permutation does not remove. Check the segmentation."
    )


def _pair_warnings(spill: Spill | None, found: GenePairs) -> list[str]:
    out = [_spill_words(spill)] if spill is None or spill.warns else []
    if found.z.size > LISTED:
        out.append(f"Of {found.z.size:,} gene pairs the {LISTED:,} with the least p are listed.")
    return out


def _plain(value: Any) -> Any:
    """Return figures as JSON holds them: no arrays, no nan."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
