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
from backend.models.common.factors import (
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
from backend.models.common.moments import Moments, moments_of
from backend.models.common.online import fit_online
from backend.models.common.prep import Prepared, weighted_product
from backend.models.fusemap.mixture import Mixture
from backend.models.fusemap.references import Reference
from backend.models.fusemap.refine import Refiner, refined

#: A section with fewer genes in common with a space is not mapped into it.
LEAST_SHARED_GENES = 10
#: Rounds of neighbours of a niche, unless others are chosen.
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Space:
    """A gene embedding and the noise of the sections that it was fitted to.

    embedding : (g, k) float64; rows of genes that no section of it measures are zero
    noise : section id to (p,) float64, in the order of the section's panel; (m, p) where members
    members : gene embeddings (g, k_i) of several fits whose scores are averaged; see ``average``
    mix : (sum of k_i, k) float64, from the members' z side by side to z
    refiner : what moves z after the posterior, or None
    mixture : classes that z is drawn towards at last, or None
    rounds : of neighbours that a niche has
    """

    embedding: NDArray[np.float64]
    noise: dict[str, NDArray[np.float64]]
    members: tuple[NDArray[np.float64], ...] = ()
    mix: NDArray[np.float64] | None = None
    refiner: Refiner | None = None
    mixture: Mixture | None = None
    rounds: int = ROUNDS

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which genes of the union it knows, (g,)."""
        return np.asarray((self.embedding != 0).any(axis=1))

    def reader(
        self, genes: NDArray[np.int64], noise: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float]:
        """Return the linear map from a panel to z, (p, k), and how vague it leaves z, 0..1.

        Parameters
        ----------
        genes : (p,) int64
        noise : (p,) or (m, p) float64

        Notes
        -----
        Vagueness is the mean posterior variance of z, 1 for a panel that says nothing.
        """
        parts, vague = [], []
        for own, psi in zip(self.members or (self.embedding,), np.atleast_2d(noise), strict=True):
            post = posterior(torch.from_numpy(own[genes]), torch.from_numpy(psi))
            parts.append(post.reader.numpy())
            vague.append(float(post.covariance.trace()) / own.shape[1])
        found = np.concatenate(parts, axis=1)
        return found if self.mix is None else found @ self.mix, float(np.mean(vague))

    def adapted(
        self, genes: NDArray[np.int64], moments: Moments, device: str = "cpu"
    ) -> NDArray[np.float64]:
        """Return the noise of a panel that the space was not fitted to, as ``noise`` holds it."""
        each = self.members or (self.embedding,)
        rows = [torch.from_numpy(own[genes]).to(device) for own in each]
        found = np.stack([adapt_noise(moments, r).cpu().numpy() for r in rows])
        return found if self.members else found[0]


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
    way = fit_online if settings.batch else fit
    done = way(moments, len(fitted), weights, settings, ctx, state)
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
    noise : (p,) or (m, p) float64, or None
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
        noise, moments = (noise[..., shared] if noise is not None else None), None
    if noise is None:
        noise = space.adapted(part.genes, moments or moments_of(part, device), device)
    reader, vague = space.reader(part.genes, noise)
    z = weighted_product(part.x, part.mean, part.sd, reader)
    if space.refiner is not None:
        z = refined(space.refiner, z, graph, vague)
    error = misfit(part, space.embedding[part.genes], np.atleast_2d(noise).mean(axis=0), z)
    # Niches keep what makes cells of one class differ by place.
    niche = niche_mean(z, graph, space.rounds)
    drawn = z if space.mixture is None else space.mixture.drawn(z)
    return Mapped(drawn, niche, error, len(part.genes))


def niche_mean(
    z: NDArray[np.float64], graph: csr_matrix, rounds: int = ROUNDS
) -> NDArray[np.float64]:
    """Return the mean of z, Nz, NNz, ... for the row-normalised neighbours N."""
    near, total = z, z
    for _ in range(rounds):
        near = graph @ near
        total = total + near
    return np.asarray(total / (rounds + 1))


def _refuse_few(shared: int, panel: int) -> None:
    """Raise NoSharedGenes below the minimum."""
    if shared < LEAST_SHARED_GENES:
        raise NoSharedGenes(
            f"Only {shared} of the {panel} usable genes are known to the checkpoint; "
            f"{LEAST_SHARED_GENES} are needed.",
            "Use gene symbols of the species of the atlas (such as Slc17a7), or an atlas whose "
            "panels overlap this one.",
        )
