"""A latent space: a frozen gene embedding into which any section with enough known genes maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import NoSharedGenes
from backend.core.job import RunContext
from backend.models.common.graphs import delaunay_graph
from backend.models.common.prep import Prepared
from backend.models.fusemap.factors import (
    FactorFit,
    FactorState,
    adapt_noise,
    balance_weights,
    fit,
    misfit,
    posterior,
    read_cells,
)
from backend.models.fusemap.moments import Moments, moments_of

#: A section with fewer genes in common with a space is not mapped into it.
LEAST_SHARED_GENES = 10


@dataclass(frozen=True, slots=True)
class Reference:
    """A training section as the fits see it."""

    id: str
    dataset: str
    prepared: Prepared
    moments: Moments
    graph: csr_matrix

    @classmethod
    def of(
        cls,
        id_: str,
        dataset: str,
        prepared: Prepared,
        xy: NDArray[np.float32],
        device: str = "cpu",
        sample: Prepared | None = None,
    ) -> Reference:
        """Return the reference of a prepared section, its moments from ``sample`` if given."""
        moments = moments_of(sample or prepared, device)
        return cls(id_, dataset, prepared, moments, delaunay_graph(xy))


@dataclass(frozen=True, slots=True)
class Space:
    """A gene embedding and the noise of the sections that it was fitted to.

    embedding : (g, k) float64; rows of genes that no section of it measures are zero
    noise : section id to (p,) float64, in the order of the section's panel
    """

    embedding: NDArray[np.float64]
    noise: dict[str, NDArray[np.float64]]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which genes of the union it knows, (g,)."""
        return np.asarray((self.embedding != 0).any(axis=1))


@dataclass(frozen=True, slots=True)
class Mapped:
    """Cells in a space: z and niche (n, k), misfit (n,), and how many genes were used."""

    z: NDArray[np.float64]
    niche: NDArray[np.float64]
    misfit: NDArray[np.float64]
    n_genes: int


def fit_space(
    references: Sequence[Reference],
    n_genes: int,
    settings: FactorFit,
    ctx: RunContext,
    state: FactorState | None = None,
) -> Space:
    """Return the space fitted to ``references``, every data set with the same weight."""
    weights = balance_weights(
        [r.prepared.n_cells for r in references], [r.dataset for r in references]
    )
    moments = [r.moments for r in references]
    done = fit(moments, n_genes, weights, settings, ctx, state)
    measured = np.zeros(n_genes, dtype=bool)
    for r in references:
        measured[r.prepared.genes] = True
    embedding = np.where(measured[:, None], done.embedding.cpu().numpy(), 0.0)
    noise = {r.id: noise.cpu().numpy() for r, noise in zip(references, done.noise, strict=True)}
    return Space(embedding, noise)


def map_cells(
    space: Space,
    prepared: Prepared,
    graph: csr_matrix,
    noise: NDArray[np.float64] | None = None,
    moments: Moments | None = None,
    device: str = "cpu",
) -> Mapped:
    """Return the cells of a section in ``space``, its gene embedding frozen.

    Parameters
    ----------
    space : Space
    prepared : Prepared
    graph : (n, n) csr_matrix
        Row-normalised neighbours.
    noise : (p,) float64 or None
        Noise of the section's panel where it is known; adapted to the cells where None.
    moments : Moments or None
        Of ``prepared``, where they are at hand.

    Raises
    ------
    NoSharedGenes
        With fewer than ``LEAST_SHARED_GENES`` genes in common.
    """
    shared = space.known[prepared.genes]
    _refuse_few(int(shared.sum()), len(prepared.genes))
    part = prepared
    if not shared.all():
        part = Prepared(
            csr_matrix(prepared.x[:, np.flatnonzero(shared)]),
            prepared.genes[shared],
            prepared.mean[shared],
            prepared.sd[shared],
        )
        noise, moments = (noise[shared] if noise is not None else None), None
    rows = torch.from_numpy(space.embedding[part.genes]).to(device)
    if noise is None:
        own = adapt_noise(moments or moments_of(part, device), rows)
    else:
        own = torch.from_numpy(noise).to(device)
    z = read_cells(part, posterior(rows, own))
    error = misfit(part, space.embedding[part.genes], own.cpu().numpy(), z)
    return Mapped(z, niche_mean(z, graph), error, len(part.genes))


def niche_mean(z: NDArray[np.float64], graph: csr_matrix) -> NDArray[np.float64]:
    """Return (z + Nz + NNz) / 3 for the row-normalised neighbours N."""
    near = graph @ z
    return np.asarray((z + near + graph @ near) / 3)


def _refuse_few(shared: int, panel: int) -> None:
    """Raise NoSharedGenes below the minimum."""
    if shared < LEAST_SHARED_GENES:
        raise NoSharedGenes(
            f"Only {shared} of the {panel} usable genes are known to the checkpoint; "
            f"{LEAST_SHARED_GENES} are needed.",
            "Use gene symbols of the species of the atlas (such as Slc17a7), or an atlas whose "
            "panels overlap this one.",
        )
