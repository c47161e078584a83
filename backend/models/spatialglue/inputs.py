"""From sections to what the networks see: components, axes, graphs, and missing parts filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from scipy.spatial import cKDTree

from backend.core.data import Modality, SectionData
from backend.core.errors import BadFile, Fault
from backend.core.job import RunContext
from backend.models.spatialglue.axes import Axes, spatial_axes
from backend.models.spatialglue.fit import Inputs
from backend.models.spatialglue.graphs import (
    FEATURE_NEIGHBOURS,
    feature_graph,
    normalised,
    ring_average,
    spatial_graph,
)
from backend.models.spatialglue.prep import Recipe, apply_recipe, fit_recipe

#: Components per modality in default mode, at most.
COMPONENTS = 20
#: Spatial neighbours per spot, and of the average that axes are ranked by.
NEIGHBOURS, RING = 3, 4


@dataclass(frozen=True, slots=True)
class Joined:
    """Sections put together: spots one after another, modalities by name.

    Parameters
    ----------
    modalities : tuple of Modality
        Of all spots; rows of sections that lack one are zero and not present.
    xy : (n, 2) float32
    group : (n,) int64
        Section of each spot.
    """

    modalities: tuple[Modality, ...]
    xy: NDArray[np.float32]
    group: NDArray[np.int64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which spots have which modality, (n, M)."""
        return np.stack([m.present for m in self.modalities], axis=1)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that comes before the networks.

    recipes, axes : one per modality
    components : modality name to (n, d) float32
    ring : (n, n), average over spatial neighbours
    inputs : Inputs
    """

    recipes: tuple[Recipe, ...]
    axes: tuple[Axes, ...]
    components: dict[str, NDArray[np.float32]]
    ring: csr_matrix
    inputs: Inputs


def join(sections: Sequence[SectionData]) -> Joined:
    """Return the spots of all sections together.

    A modality keeps the features that all sections with it have, matched by name.
    """
    names = list(dict.fromkeys(m.name for s in sections for m in s.modalities))
    group = np.concatenate([np.full(s.n_cells, i, np.int64) for i, s in enumerate(sections)])
    xy = np.concatenate([s.xy for s in sections])
    if len(sections) == 1:
        return Joined(sections[0].modalities, xy, group)
    return Joined(tuple(_joined(name, sections) for name in names), xy, group)


def _joined(name: str, sections: Sequence[SectionData]) -> Modality:
    own = [next((m for m in s.modalities if m.name == name), None) for s in sections]
    there = [m for m in own if m is not None]
    shared = set(there[0].features).intersection(*(m.features for m in there[1:]))
    features = tuple(f for f in there[0].features if f in shared)
    if not features:
        fault = Fault("its sections share no feature", name, "features of the same names", "")
        raise BadFile(sections[0].title, [fault])
    values, present = [], []
    for m, s in zip(own, sections, strict=True):
        if m is None:
            values.append(csr_matrix((s.n_cells, len(features)), dtype=np.float32))
            present.append(np.zeros(s.n_cells, np.bool_))
        else:
            place = {f: j for j, f in enumerate(m.features)}
            values.append(csr_matrix(m.values[:, [place[f] for f in features]]))
            present.append(m.present)
    return Modality(
        name, there[0].kind, csr_matrix(vstack(values)), features, np.concatenate(present)
    )


def prepare(
    joined: Joined,
    ctx: RunContext,
    *,
    components: int = COMPONENTS,
    recipes: Sequence[Recipe] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Prepared:
    """Return components, axes, graphs and smoothed axes of all spots.

    Parameters
    ----------
    joined : Joined
    ctx : RunContext
    components : int
        Per modality, at most.
    recipes, axes : sequences, optional
        Of a trained model; learned here where not given.

    Raises
    ------
    BadFile
        If spots that lack a modality cannot be placed because no spot has it beside another.
    """
    rng = np.random.default_rng(ctx.seed)
    present = joined.present
    scores, learned = [], []
    for i, modality in enumerate(joined.modalities):
        ctx.step(0.5 * i / len(joined.modalities), f"Preparing {modality.name}")
        recipe = recipes[i] if recipes else fit_recipe(modality, components, ctx.seed)
        learned.append(recipe)
        scores.append(_centred(apply_recipe(recipe, modality), modality.present, joined.group))
    ctx.step(0.5, "Joining neighbours in space")
    ring = ring_average(joined.xy, RING, joined.group)
    spatial = normalised(spatial_graph(joined.xy, NEIGHBOURS, joined.group))
    found = tuple(axes or [_axes(x, present[:, m], ring, rng) for m, x in enumerate(scores)])
    own = [a(x) * present[:, [m]] for m, (a, x) in enumerate(zip(found, scores, strict=True))]
    smooth = fill([average(spatial, x, present[:, m]) for m, x in enumerate(own)], joined)
    ctx.step(0.7, "Joining neighbours in features")
    like = [_like(s, x, present[:, m]) for m, (s, x) in enumerate(zip(smooth, own, strict=True))]
    named = {m.name: x for m, x in zip(joined.modalities, scores, strict=True)}
    inputs = Inputs(own, smooth, like, present, spatial, joined.xy)
    return Prepared(tuple(learned), found, named, ring, inputs)


def average(
    graph: csr_matrix, x: NDArray[np.float32], present: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return averages over the neighbours that have the modality; nan where none has."""
    if present.all():
        return np.asarray(graph @ x, np.float32)
    known = np.asarray(graph @ present.astype(np.float32))
    total = np.asarray(graph.sum(axis=1), np.float32).ravel()
    scale = np.divide(total, known, out=np.full_like(total, np.nan), where=known > 0)
    return np.asarray((graph @ (x * present[:, None])) * scale[:, None], np.float32)


def fill(smooth: list[NDArray[np.float32]], joined: Joined) -> list[NDArray[np.float32]]:
    """Return smoothed axes with rows that are nan taken from like spots that have the modality.

    Like spots are the nearest in the axes of the modalities that the spot has.
    """
    known = [~np.isnan(x).any(axis=1) for x in smooth]
    out = [x.copy() for x in smooth]
    table = np.stack(known, axis=1)
    patterns, which = np.unique(table, axis=0, return_inverse=True)
    for p, pattern in enumerate(patterns):
        rows = np.flatnonzero(which.ravel() == p)
        have = [m for m, has in enumerate(pattern) if has and smooth[m].shape[1]]
        for m in np.flatnonzero(~pattern):
            bridge = table[:, m] & table[:, have].all(axis=1)
            if not have or not bridge.any():
                raise BadFile(joined.modalities[m].name, [_no_bridge(joined, int(m), len(rows))])
            near = np.concatenate([smooth[h] for h in have], axis=1)
            k = min(FEATURE_NEIGHBOURS, int(bridge.sum()))
            _, found = cKDTree(near[bridge]).query(near[rows], k=[*range(1, k + 1)])
            out[m][rows] = smooth[m][bridge][found].mean(axis=1)
    return out


def _no_bridge(joined: Joined, m: int, count: int) -> Fault:
    name = joined.modalities[m].name
    return Fault(
        f"{count:,} spots lack it, and no spot has it beside what they have", name,
        "some spots with both", "Add a section that was measured with both, or run each alone.",
    )  # fmt: skip


def _like(
    smooth: NDArray[np.float32], x: NDArray[np.float32], present: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Averages over the spots most like each spot, (n, a).

    Likeness is judged half by the spot itself and half by its surroundings: by surroundings alone,
    spots at a border are like those across it.
    """
    if not x.shape[1]:
        return x
    seen = (smooth + np.where(present[:, None], x, smooth)) / 2
    found = average(normalised(feature_graph(seen)), x, present)
    return np.where(np.isnan(found), smooth, found)


def _centred(
    scores: NDArray[np.float32], present: NDArray[np.bool_], group: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Components with each section's mean and spread taken out, where there are several.

    A plain correction of batches; sections of very different composition need INSPIRE.
    """
    if group[-1] == 0:
        return scores
    out = scores.copy()
    overall = scores[present].std(axis=0)
    for g in np.unique(group):
        rows = (group == g) & present
        if rows.any():
            own = scores[rows]
            spread = own.std(axis=0)
            out[rows] = (own - own.mean(axis=0)) * np.where(spread > 0, overall / spread, 1.0)
    return out


def _axes(
    scores: NDArray[np.float32],
    present: NDArray[np.bool_],
    ring: csr_matrix,
    rng: np.random.Generator,
) -> Axes:
    """Axes learned on the spots that have the modality."""
    rows = np.flatnonzero(present)
    own = ring if len(rows) == len(scores) else ring[rows][:, rows]
    return spatial_axes(scores[rows], own, rng)
