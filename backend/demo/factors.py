"""The simulation's own latent factors, so that a large demo can be imputed without training.

log rate = base + type effect + region effect + s . loadings (see ``backend.demo.genes``) is linear
in a few factors: the N_FACTORS places of a cell, exact, and the leading singular directions of the
effects of types and regions. They make a cell's embedding; on the scale of imputed values,
log(1 + normalised counts), each gene is linear in them around its mean over all types.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadRequest
from backend.demo.expression import Cells, gradients
from backend.demo.genes import N_FACTORS, GeneModel

#: Dimensions of the embedding, as of the corpus that the paper describes; and the fewest.
WIDTH, LEAST_WIDTH = 64, N_FACTORS + 2
#: Counts of a normalised cell.
TOTAL = 10_000.0
#: Largest size of a function of the place (``backend.demo.section.place_factors``).
MOST_PLACE = 2.0
NOTE = "simulated factors, not trained"
_STEPS = 127


class Factors(NamedTuple):
    """Factors of types and regions, and how genes depend on the factors of a cell.

    Parameters
    ----------
    of_type : (types + 1, d - N_FACTORS) float32
    of_region : (parents, d - N_FACTORS) float32
    scale : (d,) float32
        An embedding is its int8 value times this.
    genes : (g, d) float32
    offset : (g,) float32
    """

    of_type: NDArray[np.float32]
    of_region: NDArray[np.float32]
    scale: NDArray[np.float32]
    genes: NDArray[np.float32]
    offset: NDArray[np.float32]


def factors_of(model: GeneModel, dims: int = WIDTH) -> Factors:
    """Return the factors of a simulation, in ``dims`` dimensions.

    Raises
    ------
    BadRequest
        If there are fewer dimensions than ``LEAST_WIDTH``.
    """
    if dims < LEAST_WIDTH:
        raise BadRequest(f"{dims} dimensions hold no factors.", f"Use {LEAST_WIDTH} or more.")
    effects = np.concatenate([model.of_type, model.of_region]).astype(np.float64)
    power, basis = np.linalg.eigh(effects @ effects.T)
    rank = min(dims - N_FACTORS, len(effects))
    left = np.zeros((len(effects), dims - N_FACTORS))
    left[:, :rank] = basis[:, ::-1][:, :rank]
    # A vector's sign is arbitrary; the same on every machine when its largest entry is positive.
    largest = np.abs(left).argmax(axis=0)
    left *= np.where(left[largest, np.arange(left.shape[1])] < 0, -1.0, 1.0)
    directions = np.concatenate([left.T @ effects, model.loadings]).T
    types = len(model.of_type)
    most = np.abs(left[:types]).max(axis=0) + np.abs(left[types:]).max(axis=0)
    places = np.full(N_FACTORS, MOST_PLACE * max(float(gradients().max()), 1e-3))
    scale = np.maximum(np.concatenate([most, places]), 1e-6) / _STEPS
    mean = model.base + model.of_type[:-1].mean(axis=0) + model.of_region.mean(axis=0)
    mean = mean + np.log(TOTAL / np.exp(mean.astype(np.float64)).sum())
    slope = 1.0 / (1.0 + np.exp(-mean))
    genes = directions * slope[:, None]
    centre = left[: types - 1].mean(axis=0) + left[types:].mean(axis=0)
    offset = np.log1p(np.exp(mean)) - genes[:, : len(centre)] @ centre
    return Factors(
        left[:types].astype(np.float32),
        left[types:].astype(np.float32),
        scale.astype(np.float32),
        genes.astype(np.float32),
        offset.astype(np.float32),
    )


def embed(factors: Factors, cells: Cells) -> NDArray[np.int8]:
    """Return the embeddings of observations, (n, d) int8; of a spot the mean of its cells."""
    places = cells.factors * gradients()[cells.kind][:, None]
    own = np.concatenate(
        [factors.of_type[cells.kind] + factors.of_region[cells.parent], places], axis=1
    )
    if len(own) != cells.n:
        own = np.add.reduceat(own, cells.start[:-1], axis=0) / np.diff(cells.start)[:, None]
    return np.clip(np.rint(own / factors.scale), -_STEPS, _STEPS).astype(np.int8)
