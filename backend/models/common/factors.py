"""A factor model of many panels with one gene embedding, fitted by EM.

y_ig = z_i . e_g + noise,  z_i ~ N(0, I_k),  noise ~ N(0, psi_sg),  y standardised per section and
gene, one e_g per gene of the union. With the measured panel p and W = diag(1/psi) the posterior is
exact for any panel: V = (I + E_p' W E_p)^-1, z_i = V E_p' W y_i. The M-step solves k x k ridge
systems per gene over the sections that measure it; sections are weighted so that every data set
counts the same.

Deviations from He et al., "Towards a universal spatial molecular atlas of the mouse brain", bioRxiv
2024.05.27.594872: no encoder network, no adversary; the decoder (imputed = z . e_g) is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.common.moments import CorrelationMoments, Moments
from backend.models.common.prep import Prepared, weighted_product

#: Least noise variance of a standardised gene.
NOISE_FLOOR = 0.05
#: Least noise variance at the start, before anything is explained.
NOISE_START = 0.3
#: Ridge on the gene embedding.
RIDGE = 1.0
#: Unions up to this size start from the dense matrix of correlations (at most 300 MB).
DENSE_START = 6_000
#: Matrices up to this size are decomposed fully, larger ones by Lanczos.
FULL_DECOMPOSITION = 1_500


@dataclass(frozen=True, slots=True)
class FactorState:
    """Where a fit stands after ``iteration`` iterations.

    embedding : (g, k) float64, one row per gene of the union
    noise : one (p,) float64 per section
    """

    embedding: torch.Tensor
    noise: tuple[torch.Tensor, ...]
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class Posterior:
    """The exact posterior for one panel: z = y @ reader, covariance V for every cell."""

    reader: torch.Tensor
    covariance: torch.Tensor


@dataclass(frozen=True, slots=True)
class FactorFit:
    """What a fit is told besides the data.

    batch : cells of a wide section that one iteration sees, drawn by ``seed``; all where 0
    """

    k: int
    iterations: int = 100
    ridge: float = RIDGE
    save_every: int = 0
    batch: int = 0
    seed: int = 0
    save: Callable[[FactorState], None] = field(default=lambda _: None)


def balance_weights(n_cells: Sequence[int], datasets: Sequence[str]) -> NDArray[np.float64]:
    """Return the effective number of cells per section, the same in total for every data set.

    Cells of one data set share its weight equally; the total over all is the number of cells.
    """
    n = np.asarray(n_cells, dtype=np.float64)
    names, code = np.unique(np.asarray(datasets), return_inverse=True)
    per_dataset = np.bincount(code, weights=n)
    return np.asarray(n.sum() / len(names) * n / per_dataset[code])


def posterior(embedding: torch.Tensor, noise: torch.Tensor) -> Posterior:
    """Return the posterior for a panel.

    Parameters
    ----------
    embedding : (p, k) float64
        Rows of the panel.
    noise : (p,) float64
    """
    weighted = embedding / noise[:, None]
    eye = torch.eye(embedding.shape[1], dtype=embedding.dtype, device=embedding.device)
    covariance = torch.linalg.inv(eye + embedding.T @ weighted)
    covariance = (covariance + covariance.T) / 2
    return Posterior(weighted @ covariance, covariance)


def fit(
    sections: Sequence[Moments],
    n_genes: int,
    weights: NDArray[np.float64],
    settings: FactorFit,
    ctx: RunContext,
    state: FactorState | None = None,
) -> FactorState:
    """Return the fitted factors.

    Parameters
    ----------
    sections : sequence of Moments
    n_genes : int
        Size of the union.
    weights : (s,) float64
        Effective number of cells per section, see ``balance_weights``.
    settings : FactorFit
    ctx : RunContext
        Told after every iteration.
    state : FactorState or None
        Where to go on from; the spectral start where None. The result does not depend on it.

    Raises
    ------
    Diverged
        If a value of the embedding is not finite after the first iteration; later on the fit
        stops, and the last good state is kept.
    """
    state = state or spectral_start(sections, n_genes, weights, settings.k)
    for i in range(state.iteration, settings.iterations):
        new = _finite_step(sections, weights, state, settings.ridge)
        if new is None:
            if i:
                ctx.step(1.0, f"The fit diverged at iteration {i + 1}; keeping the last good state")
                return state
            raise Diverged(
                "The factor fit is not finite from the start.",
                "Check for genes or cells with extreme values, or use fewer factors.",
            )
        state = new
        ctx.step(
            (i + 1) / settings.iterations, f"Fitting factors, {i + 1} of {settings.iterations}"
        )
        if settings.save_every and (i + 1) % settings.save_every == 0:
            settings.save(state)
    return state


def _finite_step(
    sections: Sequence[Moments], weights: NDArray[np.float64], state: FactorState, ridge: float
) -> FactorState | None:
    """Return the state after one iteration, None where it is not finite."""
    try:
        new = em_step(sections, weights, state, ridge)
    except torch.linalg.LinAlgError:
        return None
    return new if torch.isfinite(new.embedding).all() else None


def em_step(
    sections: Sequence[Moments],
    weights: NDArray[np.float64],
    state: FactorState,
    ridge: float = RIDGE,
) -> FactorState:
    """Return the state after one E-step, one M-step and the rescaling of the latent."""
    return maximised(sections, weights, state, expected(sections, state), ridge)[0]


@dataclass(frozen=True, slots=True)
class Expected:
    """What an E-step finds, per section: second moment of z (k, k), Y'Z/n (p, k)."""

    second: tuple[torch.Tensor, ...]
    cross: tuple[torch.Tensor, ...]


def expected(sections: Sequence[Moments], state: FactorState) -> Expected:
    """Return the E-step."""
    second, cross = [], []
    for section, noise in zip(sections, state.noise, strict=True):
        post = posterior(state.embedding[section.genes], noise)
        zz, yz = section.of(post.reader)
        second.append(zz + post.covariance)
        cross.append(yz)
    return Expected(tuple(second), tuple(cross))


def maximised(
    sections: Sequence[Moments],
    weights: NDArray[np.float64],
    state: FactorState,
    found: Expected,
    ridge: float = RIDGE,
) -> tuple[FactorState, torch.Tensor]:
    """Return the M-step, and the root (k, k) by which the latent was rescaled.

    Notes
    -----
    With the root L, embeddings e were multiplied by L from the right, so z is L^-1 times what it
    was.
    """
    e = state.embedding
    g, k = e.shape
    precision = torch.zeros(g, len(sections), dtype=e.dtype, device=e.device)
    right = torch.zeros_like(e)
    for s, (section, noise, a) in enumerate(zip(sections, state.noise, weights, strict=True)):
        own = float(a) / noise
        precision[section.genes, s] = own
        right.index_add_(0, section.genes, own[:, None] * found.cross[s])
    # sum over sections of precision times second moment, for all genes in one product
    left = (precision @ torch.stack(found.second).reshape(-1, k * k)).reshape(g, k, k)
    left.diagonal(dim1=1, dim2=2).add_(ridge)
    new = torch.cholesky_solve(right[..., None], torch.linalg.cholesky(left))[..., 0]
    noises = tuple(
        _noise(new[s.genes], second, yz)
        for s, second, yz in zip(sections, found.second, found.cross, strict=True)
    )
    pooled = sum(float(a) * c for a, c in zip(weights, found.second, strict=True)) / weights.sum()
    root = torch.linalg.cholesky(pooled)
    return FactorState(new @ root, noises, state.iteration + 1), root


def _noise(e: torch.Tensor, second: torch.Tensor, yz: torch.Tensor) -> torch.Tensor:
    """Residual variance per gene that the posterior expects, not below the floor."""
    residual = 1 - 2 * (e * yz).sum(dim=1) + ((e @ second) * e).sum(dim=1)
    return residual.clamp_min(NOISE_FLOOR)


def start_noise(e: torch.Tensor) -> torch.Tensor:
    """Noise variance of standardised genes that ``e`` explains fully."""
    return (1 - (e**2).sum(dim=1)).clamp_min(NOISE_START)


def spectral_start(
    sections: Sequence[Moments], n_genes: int, weights: NDArray[np.float64], k: int
) -> FactorState:
    """Return the top eigenpairs of the correlations of genes measured together (diagonal 0)."""
    if n_genes <= DENSE_START and all(isinstance(s, CorrelationMoments) for s in sections):
        values, vectors = _dense_top(sections, n_genes, weights, k)
    else:
        values, vectors = _lanczos_top(sections, n_genes, weights, k)
    sign = torch.sign(vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)))
    e = vectors * sign * values.clamp_min(0).sqrt()
    return FactorState(e, tuple(start_noise(e[s.genes]) for s in sections))


def _dense_top(
    sections: Sequence[Moments], n_genes: int, weights: NDArray[np.float64], k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Top k eigenpairs of the pairwise-measured correlation matrix."""
    device = sections[0].genes.device
    total = torch.zeros(n_genes, n_genes, dtype=torch.float64, device=device)
    weight = torch.zeros_like(total)
    for section, a in zip(sections, weights, strict=True):
        assert isinstance(section, CorrelationMoments)
        grid = torch.meshgrid(section.genes, section.genes, indexing="ij")
        total[grid] += float(a) * section.r
        weight[grid] += float(a)
    mean = total / weight.clamp_min(1e-12)
    mean.fill_diagonal_(0)
    if n_genes <= FULL_DECOMPOSITION:
        values, vectors = torch.linalg.eigh(mean)
        return values.flip(0)[:k], vectors.flip(1)[:, :k]
    return _top_pairs(mean.cpu().numpy(), n_genes, k, device)


def _lanczos_top(
    sections: Sequence[Moments], n_genes: int, weights: NDArray[np.float64], k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Top k eigenpairs of the weighted sum of correlations, never made dense."""
    share = weights / weights.sum()
    device = sections[0].genes.device

    def times(v: NDArray[np.float64]) -> NDArray[np.float64]:
        column = torch.from_numpy(np.ascontiguousarray(v.reshape(-1, 1))).to(device)
        out = torch.zeros_like(column)
        for section, a in zip(sections, share, strict=True):
            part = column[section.genes]
            out.index_add_(0, section.genes, float(a) * (section.correlation_with(part) - part))
        return out.cpu().numpy().ravel()

    operator = LinearOperator((n_genes, n_genes), matvec=times, dtype=np.float64)
    return _top_pairs(operator, n_genes, k, device)


def _top_pairs(
    operator: LinearOperator | NDArray[np.float64], n_genes: int, k: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Top k eigenpairs by Lanczos from a fixed start."""
    start = np.full(n_genes, n_genes**-0.5)
    values, vectors = eigsh(operator, k=k, which="LA", v0=start, tol=1e-6)
    order = np.argsort(-values)
    return (
        torch.from_numpy(values[order]).to(device),
        torch.from_numpy(np.ascontiguousarray(vectors[:, order])).to(device),
    )


def adapt_noise(section: Moments, embedding: torch.Tensor, alternations: int = 15) -> torch.Tensor:
    """Return the noise of a query's panel with the gene embedding frozen.

    Parameters
    ----------
    section : Moments
    embedding : (p, k) float64
        Rows of the query's panel.
    alternations : int
        Of posterior and noise; the start is max(1 - |e|^2, 0.3).
    """
    noise = start_noise(embedding)
    for _ in range(alternations):
        post = posterior(embedding, noise)
        zz, yz = section.of(post.reader)
        noise = _noise(embedding, zz + post.covariance, yz)
    return noise


def read_cells(prepared: Prepared, post: Posterior) -> NDArray[np.float64]:
    """Return z (n, k) of the cells of a section."""
    return weighted_product(prepared.x, prepared.mean, prepared.sd, post.reader.cpu().numpy())


def misfit(
    prepared: Prepared,
    embedding: NDArray[np.float64],
    noise: NDArray[np.float64],
    z: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the mean squared residual over noise variance, per cell (n,).

    About 1 for a cell that the model describes as well as the others of its section.
    """
    x, mean, sd = prepared.x, prepared.mean, prepared.sd
    precision = 1.0 / noise
    scaled = precision / sd**2
    square = x.multiply(x) @ scaled - 2 * (x @ (scaled * mean)) + (scaled * mean**2).sum()
    weighted = embedding * precision[:, None]
    cross = (weighted_product(x, mean, sd, weighted) * z).sum(axis=1)
    quadratic = ((z @ (embedding.T @ weighted)) * z).sum(axis=1)
    return np.asarray((square - 2 * cross + quadratic) / len(noise))
