"""A trained model as a value: what is needed to place new spots, saved as a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from backend.core.data import ModalityKind, SectionData
from backend.core.errors import BadCheckpoint
from backend.models.common.checkpoint import Checkpoint
from backend.models.spatialglue.axes import Axes
from backend.models.spatialglue.card import CARD
from backend.models.spatialglue.evidence import Subset
from backend.models.spatialglue.fit import Networks
from backend.models.spatialglue.mixture import Mixture
from backend.models.spatialglue.prep import Recipe

_RECIPE = ("mean", "sd", "loadings", "idf")
_AXES = ("directions", "centre", "moran")
_MIXTURE = ("share", "means", "covariance")
_NETWORKS = ("encoders", "decoders", "omega", "u")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Parameters
    ----------
    names : tuple of str
        Modalities, in order.
    recipes, axes : one per modality
    able : tuple of int
        Places of the modalities that have axes; the networks know these only.
    networks : Networks
        One per seed.
    levels : (R, M) float32
        Mean attention within each modality that has axes.
    mixtures : one per seed
        Components are the domains, in the same order in all.
    gaussians : mapping of subset of modalities to Mixture
        Domains in smoothed axes, for evidence.
    share : (k,) float64
        Share of the spots in each domain.
    about : mapping
        JSON values: seed, parameters, data, figures.
    """

    names: tuple[str, ...]
    recipes: tuple[Recipe, ...]
    axes: tuple[Axes, ...]
    able: tuple[int, ...]
    networks: Networks
    levels: NDArray[np.float32]
    mixtures: tuple[Mixture, ...]
    gaussians: dict[Subset, Mixture]
    share: NDArray[np.float64]
    about: dict[str, Any]


def to_checkpoint(fitted: Fitted, sections: Sequence[SectionData]) -> Checkpoint:
    """Return the model as a card and tensors."""
    tensors: dict[str, NDArray[Any]] = {"share": fitted.share, "levels": fitted.levels}
    for m, (recipe, axes) in enumerate(zip(fitted.recipes, fitted.axes, strict=True)):
        tensors |= {f"recipe{m}.{name}": getattr(recipe, name) for name in _RECIPE}
        tensors |= {f"axes{m}.{name}": getattr(axes, name) for name in _AXES}
    for name, group in zip(_NETWORKS, fitted.networks.groups(), strict=True):
        tensors |= {f"{name}{i}": t.detach().numpy() for i, t in enumerate(group)}
    for r, mixture in enumerate(fitted.mixtures):
        tensors |= {f"mixture{r}.{name}": getattr(mixture, name) for name in _MIXTURE}
    for subset, mixture in fitted.gaussians.items():
        key = "domains" + "-".join(map(str, subset))
        tensors |= {f"{key}.{name}": getattr(mixture, name) for name in _MIXTURE}
    card = {
        **fitted.about,
        "model": CARD.name,
        "version": CARD.version,
        "modalities": [
            {"name": n, "kind": r.kind, "features": list(r.features), "null": a.null}
            for n, r, a in zip(fitted.names, fitted.recipes, fitted.axes, strict=True)
        ],
        "able": list(fitted.able),
        "seeds": len(fitted.mixtures),
        "subsets": [list(s) for s in fitted.gaussians],
        "genes": sum(len(r.features) for r in fitted.recipes),
        "data": [s.id for s in sections],
        "licences": {},
    }
    return Checkpoint(card, tensors)


def from_checkpoint(checkpoint: Checkpoint) -> Fitted:
    """Return the model that a checkpoint holds.

    Raises
    ------
    BadCheckpoint
        If a tensor or an entry of the card is missing or does not fit.
    """
    try:
        fitted = _read(checkpoint)
        _check(fitted)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadCheckpoint(
            f"The checkpoint is not a complete SpatialGlue model ({str(error)[:100]}).",
            "Train it again: python -m backend weights DATA -o OUT.h5ad --checkpoint FOLDER",
        ) from error
    return fitted


def _read(checkpoint: Checkpoint) -> Fitted:
    card, tensors = checkpoint.card, checkpoint.tensors

    def part(key: str) -> NDArray[np.float64]:
        return np.asarray(tensors[key], np.float64)

    def mixture(prefix: str) -> Mixture:
        share, means, covariance = (part(f"{prefix}.{name}") for name in _MIXTURE)
        return Mixture(share, means, covariance, float("nan"))

    recipes, axes = [], []
    for m, about in enumerate(card["modalities"]):
        if about["kind"] not in get_args(ModalityKind):
            raise ValueError(f"kind '{about['kind']}' is not known")
        mean, sd, loadings, idf = (part(f"recipe{m}.{name}") for name in _RECIPE)
        recipes.append(Recipe(about["kind"], tuple(about["features"]), mean, sd, loadings, idf))
        directions, centre, moran = (part(f"axes{m}.{name}") for name in _AXES)
        axes.append(Axes(directions, centre, moran, float(about["null"])))
    able = tuple(int(m) for m in card["able"])
    sizes = (len(able), len(able), len(able) + 1, len(able) + 1)
    groups = [
        [torch.from_numpy(np.array(tensors[f"{name}{i}"], np.float32)) for i in range(size)]
        for name, size in zip(_NETWORKS, sizes, strict=True)
    ]
    subsets = [tuple(int(m) for m in s) for s in card["subsets"]]
    return Fitted(
        tuple(str(about["name"]) for about in card["modalities"]),
        tuple(recipes),
        tuple(axes),
        able,
        Networks(*groups),
        np.asarray(tensors["levels"], np.float32),
        tuple(mixture(f"mixture{r}") for r in range(int(card["seeds"]))),
        {s: mixture("domains" + "-".join(map(str, s))) for s in subsets},
        np.asarray(tensors["share"], np.float64),
        {name: card[name] for name in ("seed", "metrics", "parameters")},
    )


def _check(fitted: Fitted) -> None:
    """Raise ValueError where shapes do not fit one another."""
    k = len(fitted.share)
    width = sum(fitted.axes[m].count for m in fitted.able)
    for recipe, axes in zip(fitted.recipes, fitted.axes, strict=True):
        p = len(recipe.features)
        if recipe.mean.shape != (p,) or recipe.sd.shape != (p,) or recipe.loadings.shape[0] != p:
            raise ValueError("a recipe does not fit its features")
        if axes.directions.shape[0] != recipe.loadings.shape[1]:
            raise ValueError("axes do not fit their recipe")
    for mixture in fitted.mixtures:
        if mixture.means.shape != (k, width) or mixture.covariance.shape != (width, width):
            raise ValueError("a mixture does not fit the axes")
    if fitted.levels.shape != (len(fitted.mixtures), len(fitted.able)):
        raise ValueError("levels do not fit the networks")
    for m, encoder in zip(fitted.able, fitted.networks.encoders, strict=True):
        if encoder.shape[:2] != (len(fitted.mixtures), fitted.axes[m].count):
            raise ValueError("a network does not fit the axes")
