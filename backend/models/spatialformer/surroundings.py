"""Predicted surroundings: shares of types around every cell and around the chosen ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Column, Label, SectionData
from backend.core.layers import LayerKey
from backend.models.spatialformer.asked import commonest_types
from backend.models.spatialformer.composition import (
    Composition,
    composition_figures,
    fit_composition,
    predict_composition,
    real_composition,
)
from backend.models.spatialformer.held_out import stripes
from backend.models.spatialformer.measures import jensen_shannon
from backend.models.spatialformer.niches import Niches
from backend.models.spatialformer.pair_features import Described
from backend.models.spatialformer.partners import make_training
from backend.models.spatialformer.profiles import describe


def held_out_divergence(
    section: SectionData, codes: NDArray[np.int64], k: int, radius: float, seed: int
) -> dict[str, float]:  # fmt: skip
    """Return the divergence of predicted compositions on unseen stripes, by method."""
    found = []
    for split in stripes(section):
        training = make_training([split.train], seed, radius)
        model = fit_composition([c.h for c in training.cells], [split.train.xy],
                                [codes[split.train_rows]], training.niches, k,
                                radius)  # fmt: skip
        h = describe(split.test, training.profiles)
        found.append(composition_figures(h, split.test.xy, codes[split.test_rows],
                                         training.niches, model, radius))  # fmt: skip
    return {name: float(np.mean([f[name] for f in found])) for name in found[0]}


def niche_columns(
    section: SectionData, cells: Described, codes: NDArray[np.int64], niches: Niches,
    model: Composition, label: Label, radius: float,
) -> list[Column]:  # fmt: skip
    """Return predicted shares of types around every cell, and how far they are from the real."""
    predicted = predict_composition(cells.h, niches, model)
    rows, real = real_composition(section.xy, codes, len(label.categories), radius)
    apart = np.full(section.n_cells, np.nan, np.float32)
    apart[rows] = jensen_shannon(predicted[rows], real)
    out = [Column(section.id, LayerKey("score", "niche divergence"), apart, unit="nats")]
    for code in commonest_types(label):
        key = LayerKey("weight", f"niche {label.categories[code].name}")
        values = predicted[:, code].astype(np.float32)
        out.append(Column(section.id, key, values, unit="share of neighbours, predicted"))
    return out


def niche_figures(
    section: SectionData, label: Label, codes: NDArray[np.int64], own: Described,
    model: Composition, niches: Niches, chosen: NDArray[np.int64], is_query: bool,
    radius: float,
) -> dict[str, Any]:  # fmt: skip
    """Return the predicted and, where the cells have places, real niche of the chosen cells."""
    if not len(own.h):
        return {"niche": [], "jsd": None}
    k = len(label.categories)
    predicted = predict_composition(own.h, niches, model).mean(axis=0)
    observed = None
    if not is_query:
        rows, real = real_composition(section.xy, codes, k, radius)
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
