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
from backend.models.fusemap.core import core_columns
from backend.models.fusemap.factors import (
    NOISE_FLOOR,
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
    """A training section as the fits see it.

    prepared : all its genes
    core : (p,) columns of ``prepared`` that the fit sees
    moments : of the core; its genes are places in ``fitted``
    fitted : (c,) places in the union of all genes that the fit sees, the same for all sections
    """

    id: str
    dataset: str
    prepared: Prepared
    core: NDArray[np.int64]
    moments: Moments
    fitted: NDArray[np.int64]
    graph: csr_matrix

    @property
    def seen(self) -> NDArray[np.int64]:
        """Places in the union of the genes of this section that the fit sees, (p,)."""
        return self.prepared.genes[self.core]


def make_references(
    names: Sequence[tuple[str, str]],
    prepared: Sequence[Prepared],
    xy: Sequence[NDArray[np.float32]],
    n_genes: int,
    device: str = "cpu",
    samples: Sequence[NDArray[np.int64] | None] | None = None,
) -> list[Reference]:
    """Return sections ready to be fitted together.

    Parameters
    ----------
    names : sequence of (section id, data set)
    prepared : sequence of Prepared
    xy : sequence of (n, 2) float32
    n_genes : int
        Size of the union.
    device : str
    samples : sequence of (m,) int64 or None
        Rows that the moments of a section are taken of; all where None.
    """
    columns = core_columns(prepared, n_genes)
    seen = [p.genes[c] for p, c in zip(prepared, columns, strict=True)]
    fitted = np.unique(np.concatenate(seen))
    out = []
    for i, (id_, dataset) in enumerate(names):
        part = prepared[i].columns(columns[i])
        rows = samples[i] if samples else None
        if rows is not None:
            part = Prepared(csr_matrix(part.x[rows]), part.genes, part.mean, part.sd)
        moments = moments_of(part, device, np.searchsorted(fitted, part.genes))
        graph = delaunay_graph(xy[i])
        out.append(Reference(id_, dataset, prepared[i], columns[i], moments, fitted, graph))
    return out


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
    fitted = references[0].fitted
    moments = [r.moments for r in references]
    done = fit(moments, len(fitted), weights, settings, ctx, state)
    measured = np.zeros(n_genes, dtype=bool)
    for r in references:
        measured[r.seen] = True
    embedding = np.zeros((n_genes, settings.k))
    embedding[fitted] = done.embedding.cpu().numpy()
    embedding[~measured] = 0.0
    noises = [n.cpu().numpy() for n in done.noise]
    return _completed(references, embedding, noises, weights, settings.ridge)


def _completed(
    references: Sequence[Reference],
    embedding: NDArray[np.float64],
    noises: Sequence[NDArray[np.float64]],
    weights: NDArray[np.float64],
    ridge: float,
) -> Space:
    """Give the genes outside the core their embedding and noise: one M-step for them alone."""
    k = embedding.shape[1]
    left = np.zeros((len(embedding), k, k))
    right = np.zeros((len(embedding), k))
    wide = []
    for r, noise, a in zip(references, noises, weights, strict=True):
        rest = np.setdiff1d(np.arange(len(r.prepared.genes)), r.core)
        if not len(rest):
            continue
        core = r.prepared.columns(r.core)
        post = posterior(torch.from_numpy(embedding[core.genes]), torch.from_numpy(noise))
        z = read_cells(core, post)
        second = z.T @ z / len(z) + post.covariance.numpy()
        part = r.prepared.columns(rest)
        yz = (part.x.T @ z - np.outer(part.mean, z.sum(axis=0))) / part.sd[:, None] / len(z)
        left[part.genes] += a * second
        right[part.genes] += a * yz
        wide.append((r.id, rest, part.genes, second, yz))
    new = np.flatnonzero(left.any(axis=(1, 2)) & ~embedding.any(axis=1))
    eye = ridge * np.eye(k)
    if len(new):
        embedding[new] = np.linalg.solve(left[new] + eye, right[new][..., None])[..., 0]
    full = {r.id: np.ones(len(r.prepared.genes)) for r in references}
    for r, noise in zip(references, noises, strict=True):
        full[r.id][r.core] = noise
    for id_, rest, genes, second, yz in wide:
        e = embedding[genes]
        residual = 1 - 2 * (e * yz).sum(axis=1) + ((e @ second) * e).sum(axis=1)
        full[id_][rest] = np.maximum(residual, NOISE_FLOOR)
    return Space(embedding, full)


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
        part = prepared.columns(np.flatnonzero(shared))
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
