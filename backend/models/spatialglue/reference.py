"""Parity mode on a section: the reference's preprocessing, graphs, network and schedule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.data import Modality
from backend.core.errors import BadFile, BadRequest, Fault
from backend.core.job import RunContext
from backend.models.spatialglue.ensemble import Ensemble
from backend.models.spatialglue.graphs import feature_graph, normalised, spatial_graph
from backend.models.spatialglue.inputs import Joined
from backend.models.spatialglue.network import Weights, forward
from backend.models.spatialglue.prep import apply_recipe, fit_recipe
from backend.models.spatialglue.technologies import Technology
from backend.models.spatialglue.train_reference import Trained, sparse_tensor, train

#: Components where no panel of proteins decides.
COMPONENTS = 50
#: Components of the embedding that domains are drawn from.
EMBEDDING = 20


def run_reference(
    joined: Joined,
    technology: Technology,
    seeds: Sequence[int],
    components: int | None,
    ctx: RunContext,
) -> tuple[Ensemble, dict[str, NDArray[np.float32]]]:
    """Return what networks of the reference make of the spots, and the features they saw.

    Parameters
    ----------
    joined : Joined
        At least two modalities, none missing anywhere.
    technology : Technology
    seeds : sequence of int
    components : int, optional
        Per modality; the number of proteins less one, or 50, where not given.
    ctx : RunContext

    Raises
    ------
    BadRequest, BadFile, Diverged, Cancelled
    """
    _refuse_unlike(joined)
    ctx.step(0.0, "Preparing as the reference does")
    features = _features(joined.modalities, technology, components, ctx.seed)
    space = normalised(spatial_graph(joined.xy, technology.neighbours, joined.group))
    spatial = [space] * len(features)
    feature = [normalised(feature_graph(f, correlation=True)) for f in features]
    weights = term_weights(technology, len(features))
    parts: list[Ensemble] = []
    for i, seed in enumerate(seeds):
        part = ctx.part(0.1 + 0.9 * i / len(seeds), 0.1 + 0.9 * (i + 1) / len(seeds))
        part.seed = seed
        trained = train(features, spatial, feature, weights, technology.epochs, part)
        parts.append(_ensemble(trained, features, spatial, feature))
    named = {m.name: f for m, f in zip(joined.modalities, features, strict=True)}
    return _together(parts), named


def term_weights(technology: Technology, modalities: int) -> list[float]:
    """Return the weights of the losses; all 1 for other than two modalities, as published."""
    if modalities == 2:
        return [*technology.reconstruction, *technology.correspondence]
    return [1.0] * (modalities + len(list(permutations(range(modalities), 2))))


def _refuse_unlike(joined: Joined) -> None:
    if len(joined.modalities) < 2:
        raise BadRequest(
            "Parity mode needs two modalities or more; there is one.",
            "Use --mode default, which gives plain spatial domains for one modality.",
        )
    lacking = [m.name for m in joined.modalities if not m.present.all()]
    if lacking:
        raise BadRequest(
            f"Parity mode cannot handle spots that lack a modality ({', '.join(lacking)}).",
            "Use --mode default, or --align name to keep the spots that have all.",
        )


def _features(
    modalities: Sequence[Modality], technology: Technology, components: int | None, seed: int
) -> list[NDArray[np.float32]]:
    panel = next((len(m.features) for m in modalities if m.kind == "protein"), None)
    asked = components or (panel - 1 if panel else COMPONENTS)
    out, faults = [], []
    for m in modalities:
        recipe = fit_recipe(
            m, asked, seed,
            scaled=technology.scaled,
            least_spots=technology.least_spots_protein or 1 if m.kind == "protein" else 10,
            reference_lsi=True,
        )  # fmt: skip
        if recipe.width < asked:
            faults.append(
                Fault(f"{len(recipe.features)} usable features give {recipe.width} components, "
                      f"fewer than the {asked} that parity mode takes", m.name,
                      f"more than {asked} features", f"Pass --components {recipe.width}.")
            )  # fmt: skip
        out.append(apply_recipe(recipe, m))
    if faults:
        raise BadFile("The modalities", faults)
    return out


def _ensemble(
    trained: Trained,
    features: Sequence[NDArray[np.float32]],
    spatial: Sequence[csr_matrix],
    feature: Sequence[csr_matrix],
) -> Ensemble:
    """Return what one network says: its embedding at length 1, first 20 components."""
    out = trained.last
    within = torch.stack([a[:, 0] for a in out.alpha_within], dim=1).numpy()
    unit = _unit(out.joint.numpy())
    centre = unit.mean(axis=0)
    _, _, v = np.linalg.svd(unit - centre, full_matrices=False)
    turn = v[: min(EMBEDDING, unit.shape[1])].T
    lost = [
        _changed(trained.weights, features, spatial, feature, m, unit) for m in range(len(features))
    ]
    return Ensemble(
        [((unit - centre) @ turn).astype(np.float32)],
        within[None],
        out.alpha.numpy()[None],
        np.stack(lost, axis=1)[None].astype(np.float32),
        within.mean(axis=0)[None],
    )


def _changed(
    weights: Weights,
    features: Sequence[NDArray[np.float32]],
    spatial: Sequence[csr_matrix],
    feature: Sequence[csr_matrix],
    lost: int,
    unit: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Squared change of the embedding when one modality is taken away, (n,)."""
    xs = [torch.from_numpy(f) for f in features]
    xs[lost] = torch.zeros_like(xs[lost])
    ss, ks = ([sparse_tensor(g) for g in graphs] for graphs in (spatial, feature))
    with torch.no_grad():
        moved = forward(xs, ss, ks, weights).joint.numpy()
    return np.asarray(((_unit(moved) - unit) ** 2).sum(axis=1), np.float32)


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.maximum(norm, 1e-12)


def _together(parts: Sequence[Ensemble]) -> Ensemble:
    return Ensemble(
        [e for p in parts for e in p.embeddings],
        np.concatenate([p.within for p in parts]),
        np.concatenate([p.across for p in parts]),
        np.concatenate([p.ablation for p in parts]),
        np.concatenate([p.levels for p in parts]),
    )
