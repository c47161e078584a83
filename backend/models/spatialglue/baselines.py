"""What the model has to beat: each modality alone, side by side, smoothed once, and WNN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.spatialglue.measures import Near, measure
from backend.models.spatialglue.mixture import fit_mixture, shared_gaussians
from backend.models.spatialglue.wnn import joint_embedding

#: Names of the baselines that join modalities, as shown to people.
CONCATENATED = "components side by side"
SMOOTHED = "components side by side, smoothed once"
WNN = "weighted nearest neighbours"
ALONE = "{} alone"
#: Starts tried per baseline: as many as the model has over its seeds and starts.
TRIES = 20
#: Spots of which the neighbour graph of WNN is built; the rest follow by their components.
WNN_SPOTS = 5000


def run_baselines(
    components: dict[str, NDArray[np.float32]],
    near: Near,
    present: NDArray[np.bool_],
    spatial: csr_matrix,
    ring: csr_matrix,
    k: int,
    truth: NDArray[np.integer] | None,
    ctx: RunContext,
) -> tuple[dict[str, dict[str, Any]], dict[str, NDArray[np.int64]]]:
    """Return measures and partitions of every baseline with the same number of domains.

    Parameters
    ----------
    components : mapping of modality to (n, d) float32
        Zero rows where a spot lacks the modality.
    near : Near
        Of the same components.
    present : (n, M) bool
    spatial : (n, n)
        Normalised spatial graph.
    ring : (n, n)
        Average over spatial neighbours, for Moran's I.
    k : int
    truth : (n,) int or None
    ctx : RunContext
        Its seed starts the mixtures.
    """
    whole = np.concatenate(list(components.values()), axis=1)
    spaces = {ALONE.format(name): x for name, x in components.items()}
    if len(components) > 1:
        spaces |= {CONCATENATED: whole, WNN: whole}
    spaces[SMOOTHED] = np.asarray(spatial @ whole)
    measures, labels = {}, {}
    for i, (name, x) in enumerate(spaces.items()):
        ctx.step(i / len(spaces), f"Baseline: {name}")
        rng = np.random.default_rng(ctx.seed)
        have = present[:, i] if i < len(components) else np.ones(len(x), np.bool_)
        if name == WNN:
            labels[name], x = _wnn(list(components.values()), whole, k, rng)
        else:
            labels[name] = np.full(len(x), -1, np.int64)
            found = fit_mixture(x[have], k, rng, TRIES)
            labels[name][have] = found.log_joint(x[have]).argmax(axis=1)
        measures[name] = measure(labels[name], x, near, ring, truth)
    return measures, labels


def _wnn(
    components: list[NDArray[np.float32]],
    whole: NDArray[np.float32],
    k: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Partition and space; spots beyond the sample follow the Gaussians of their components."""
    n = len(whole)
    rows = np.sort(rng.permutation(n)[:WNN_SPOTS])
    space = joint_embedding([x[rows] for x in components], k, rng)
    own = fit_mixture(space, k, rng, TRIES).posterior(space)
    if len(rows) == n:
        return own.argmax(axis=1), space
    labels = shared_gaussians(whole[rows], own).posterior(whole).argmax(axis=1)
    labels[rows] = own.argmax(axis=1)
    return labels, whole
