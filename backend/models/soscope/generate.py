"""The generative mode behind the same outputs: offered, never the default where it loses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import TooLarge
from backend.core.job import RunContext
from backend.models.soscope import outputs
from backend.models.soscope.baselines import all_methods
from backend.models.soscope.compare import method_table, spatial_genes, summarised
from backend.models.soscope.enhance import Enhanced
from backend.models.soscope.generative.enhance import Generated, enhance_generative, shared_out
from backend.models.soscope.generative.inputs import Inputs, Modality
from backend.models.soscope.generative.likelihood import Law
from backend.models.soscope.image_features import image_components
from backend.models.soscope.layouts import Layout
from backend.models.soscope.selfmerge import GENES, LEAST_BLOCKS, MODEL, merged_all

#: What the generative mode is called in the table of methods, and the default mode beside it.
GENERATIVE, DEFAULT = "generative", "default mode"
#: Subspots times genes at most: the network is trained on all at once.
MOST_VALUES = 20_000_000


def generate_layout(
    layout: Layout,
    totals: csr_matrix,
    found: Enhanced,
    ctx: RunContext,
    *,
    features: NDArray[np.float32] | None,
    modality: NDArray[np.int64],
    law: Law,
    seeds: int,
) -> tuple[Enhanced, Generated]:
    """Return the subspots as the generative model has them, and what it says of itself.

    Parameters
    ----------
    layout : Layout
    totals : (N, g) csr_matrix
        Counts of the spots.
    found : Enhanced
        Of the default mode; its gate says whether the image is used, and the generative model
        joins its table of methods.
    ctx : RunContext
    features : (n, p) float32 or None
    modality : (g,) int64
        Modality of each feature; each has its own head.
    law : "nb" or "poisson"
        Of the counts.
    seeds : int
        Models that are averaged; their spread is the sd.

    Raises
    ------
    TooLarge
        If subspots x genes are too many to train on at once.
    Diverged, Cancelled
    """
    if layout.n_subspots * totals.shape[1] > MOST_VALUES:
        most = MOST_VALUES // layout.n_subspots
        raise TooLarge(
            f"The generative mode trains on all of {layout.n_subspots:,} subspots and "
            f"{totals.shape[1]:,} genes at once.",
            f"Ask for {most:,} genes at most, or use the default mode, which works in tiles.",
        )
    image = features if found.gate.is_open else None
    made = _generated(layout, totals, image, modality, law, seeds, ctx.part(0.0, 0.7))
    whole = np.asarray(totals.todense(), np.float64)
    rates = _in_order([r.astype(np.float64) for r in made.rates], modality)
    spread = _in_order([s.astype(np.float64) for s in made.spread], modality)
    rate, kappa = outputs.rate(layout, rates, rates, whole)
    scaled = spread * rate / np.maximum(rates, 1e-12)
    merge = found.merge
    if merge is not None:
        methods = _compared(layout, totals, image, modality, law, merge.methods, ctx.part(0.7, 1.0))
        merge = replace(merge, methods=methods)
    fine = replace(
        found,
        rate=rate.astype(np.float32),
        split=shared_out(rates, whole, layout.parent).astype(np.float32),
        sd=scaled.astype(np.float32),
        detail=np.sqrt(outputs.squared_detail(layout, rate) / rate.shape[1]).astype(np.float32),
        kappa=kappa,
        method=GENERATIVE,
        merge=merge,
    )
    return fine, made


def loses(methods: list[dict[str, object]]) -> bool:
    """Return whether the generative model is below the default mode in a table of methods."""
    gain = {str(m["name"]): float(str(m["gain_r"])) for m in methods}
    return GENERATIVE in gain and DEFAULT in gain and gain[GENERATIVE] < gain[DEFAULT]


def _generated(
    layout: Layout,
    totals: csr_matrix,
    features: NDArray[np.float32] | None,
    modality: NDArray[np.int64],
    law: Law,
    seeds: int,
    ctx: RunContext,
) -> Generated:
    pitch = layout.pitches[layout.section][:, None]
    # Sections are laid apart, so that no spot has a neighbour in another one.
    apart = np.column_stack([layout.section * 1e4, np.zeros(layout.n_spots)])
    image = np.zeros((layout.n_subspots, 0), np.float32)
    if features is not None:
        image = image_components(features, layout.subspot_section, layout.n_spots)
    parts = tuple(
        Modality(law, np.asarray(totals[:, modality == m].todense(), np.float32))
        for m in np.unique(modality)
    )
    inputs = Inputs(
        parts,
        layout.parent,
        layout.spots / pitch + apart,
        layout.xy / pitch[layout.parent] + apart[layout.parent],
        image,
    )
    return enhance_generative(inputs, ctx, n_seeds=seeds)


def _in_order(parts: list[NDArray[np.float64]], modality: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return tables of modalities as one, features in their first order."""
    out = np.empty((len(parts[0]), len(modality)))
    for m, part in zip(np.unique(modality), parts, strict=True):
        out[:, modality == m] = part
    return out


def _compared(
    layout: Layout,
    totals: csr_matrix,
    features: NDArray[np.float32] | None,
    modality: NDArray[np.int64],
    law: Law,
    methods: list[dict[str, object]],
    ctx: RunContext,
) -> list[dict[str, object]]:
    """Return the table of methods with a generative model that recovers merged spots, one seed."""
    upper, spots = merged_all(layout, 0)
    named = [{**m, "name": DEFAULT if m["name"] == MODEL else m["name"]} for m in methods]
    if upper is None or upper.n_spots < LEAST_BLOCKS:
        return named
    abundance = np.asarray(totals.sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-abundance, kind="stable")[:GENES])
    below = totals[spots][:, genes]
    above = csr_matrix(upper.sums() @ below)
    image = None
    if features is not None:
        image = np.asarray(layout.means() @ features, np.float32)[spots]
    made = _generated(upper, above, image, modality[genes], law, 1, ctx)
    rates = _in_order([r.astype(np.float64) for r in made.rates], modality[genes])
    shared = shared_out(rates, np.asarray(above.todense(), np.float64), upper.parent)
    tables = all_methods(upper, above, image, ctx.seed, {GENERATIVE: shared}, with_slow=False)
    truth = np.asarray(below.todense(), np.float64)
    table = method_table(upper, truth, tables, spatial_genes(upper, truth))
    row = next(m for m in summarised([table]) if m["name"] == GENERATIVE)
    return sorted([*named, row], key=lambda m: -float(str(m["gain_r"])))
