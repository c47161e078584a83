"""Poisson factors of many sections by expectation maximisation.

    y_ig ~ Poisson(c_sg sum_k t_ik w_kg u_ig),   sum_g w_kg = 1 over the union of genes,

with loadings t of cells (t_ik / sum_k t_ik are the proportions), programs w, scales c of genes in
sections, and u = 1, or gamma noise of mean 1 where counts are overdispersed. Genes that a section
does not measure drop out of all its sums.

Priors: proportions of a cell borrow ``borrow`` pseudo-counts from the mean of its neighbours;
programs are shrunken to the mean profile by ``shrink`` pseudo-counts; scales to 1 by ``hold``.

Deviations from Zhao et al., Nat Genet 58, 1138 (2026): no networks and no critics; the factor head
(their Poisson likelihood with section-by-gene offsets) is kept and fitted directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.inspire.inputs import Cells, Joined
from backend.models.inspire.kernels import allot, log_likelihood, spread, weigh_exposure

Floats = NDArray[np.float64]
Noise = tuple[Floats, Floats]

#: Iterations before scales of genes, and the graph prior, are switched on.
SCALES_FROM, GRAPH_FROM = 10, 20
#: Passes after which exposures under overdispersion are found anew.
AGAIN = 4
#: Cells from which sections are passed over side by side: threads cost more than fewer save.
MANY = 20_000
#: Pseudo-counts by which a scale is held to 1.
HOLD = 5.0
#: Least loading, so that a factor may return.
LEAST = 1e-10
#: Bounds of the shape of gamma noise; the upper is as good as Poisson.
SHAPES = (0.2, 1e6)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a fit is done.

    Parameters
    ----------
    iterations : int
    borrow : float
        Pseudo-counts that proportions borrow from neighbours, in parts of the median depth.
    shrink : float
        Pseudo-counts per gene and factor by which programs are held to the mean profile.
    hold : float
        Pseudo-counts by which a scale of a gene in a section is held to 1.
    overdispersed : bool
        Whether counts have gamma noise.
    with_scales : bool
        Whether genes have a scale per section.
    """

    iterations: int = 80
    borrow: float = 0.15
    shrink: float = 10.0
    hold: float = HOLD
    overdispersed: bool = False
    with_scales: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """A fit: loadings (n, K) per section, programs (K, G), scales (S, G), shapes (G,)."""

    loadings: tuple[Floats, ...]
    programs: Floats
    scales: Floats
    shapes: Floats
    likelihood: float = -np.inf

    @property
    def k(self) -> int:
        """Number of factors."""
        return int(self.programs.shape[0])

    def proportions(self) -> list[Floats]:
        """Return what share every factor has in every cell, (n, K) per section."""
        return [shares(t) for t in self.loadings]

    def effective(self, s: int, cells: Cells) -> Floats:
        """Return the programs of a section times its scales, (p, K) over its panel."""
        v = self.programs[:, cells.genes] * self.scales[s, cells.genes]
        return np.ascontiguousarray(v.T)


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass over a section found."""

    own: Floats
    exposure: Floats
    programs: Floats
    gene_exposure: Floats
    likelihood: float
    noise: Noise | None = None


def shares(t: Floats) -> Floats:
    """Return rows that sum to 1."""
    return np.asarray(t / np.maximum(t.sum(axis=1, keepdims=True), LEAST))


def fit(data: Joined, start: State, settings: Settings, ctx: RunContext, frozen: int = 0) -> State:
    """Return the state after ``settings.iterations`` passes over all cells.

    Parameters
    ----------
    data : Joined
    start : State
    settings : Settings
    ctx : RunContext
        Told after every pass.
    frozen : int
        How many of the programs, from the first, stay as they are.

    Raises
    ------
    Diverged, Cancelled
    """
    state = start
    depth = float(np.median(np.concatenate([s.depth for s in data.sections])))
    mean = mean_profile(data)
    noise: list[Noise | None] = [None] * len(data.sections)
    with workers(data.n) as run:
        for i in range(settings.iterations):
            borrow = settings.borrow * depth if i >= GRAPH_FROM or frozen else 0.0
            with_scales = settings.with_scales and (i >= SCALES_FROM or frozen > 0)
            if settings.overdispersed and i % 10 == SCALES_FROM % 10 and i >= SCALES_FROM:
                state = replace(state, shapes=shapes_of(data, state))
            if i % AGAIN == 0 or i < SCALES_FROM + 2:
                noise = [None] * len(data.sections)
            numbers = range(len(data.sections))
            passes = list(run(partial(one_pass, data, state), numbers, noise))
            noise = [found.noise for found in passes]
            state = update(data, state, passes, settings, mean, borrow, with_scales, frozen)
            if not np.isfinite(state.likelihood):
                raise Diverged(
                    f"The factors stopped being finite at pass {i + 1}.",
                    "Check the counts for extreme values, or use fewer factors.",
                )
            ctx.step((i + 1) / settings.iterations, f"Fitting factors, pass {i + 1}")
    return state


@contextmanager
def workers(n: int) -> Iterator[Callable[..., Iterable[Pass]]]:
    """Yield how sections are passed over: side by side where there are many cells."""
    if n < MANY:
        yield map
        return
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield pool.map


def one_pass(data: Joined, state: State, s: int, noise: Noise | None = None) -> Pass:
    """Return the expected counts of a section under the state.

    Parameters
    ----------
    noise : (n, K) and (p, K), optional
        How much overdispersion changes exposures, from an earlier pass; found anew where None.
        It changes slowly, and finding it visits the zeros.
    """
    cells = data.sections[s]
    v, t = state.effective(s, cells), state.loadings[s]
    own, programs = np.zeros_like(t), np.zeros_like(v)
    csr = (cells.counts.indptr, cells.counts.indices, cells.counts.data)
    likelihood = allot(*csr, t, v, own, programs)
    plain, plain_genes = v.sum(axis=0), t.sum(axis=0)
    exposure = np.broadcast_to(plain, t.shape)
    gene_exposure = np.broadcast_to(plain_genes, v.shape)
    if not np.all(state.shapes >= SHAPES[1]):
        if noise is None:
            cell_noise, gene_noise = np.zeros_like(t), np.zeros_like(v)
            weigh_exposure(*csr, t, v, state.shapes[cells.genes], cell_noise, gene_noise)
            noise = (cell_noise / (plain + LEAST), gene_noise / (plain_genes + LEAST))
        exposure, gene_exposure = noise[0] * plain, noise[1] * plain_genes
    else:
        noise = None
    likelihood -= float(t.sum(axis=0) @ v.sum(axis=0))
    return Pass(own, exposure, programs, gene_exposure, likelihood, noise)


def update(
    data: Joined, state: State, passes: Sequence[Pass], settings: Settings, mean: Floats,
    borrow: float, with_scales: bool, frozen: int = 0,
) -> State:  # fmt: skip
    """Return the state that the expected counts say, by the closed forms of the priors.

    Loadings, programs and scales are set in turn, each given the others as they then are: all at
    once would correct the same rate three times.
    """
    loadings = tuple(
        _loadings(cells, t, found, borrow)
        for cells, t, found in zip(data.sections, state.loadings, passes, strict=True)
    )
    exposures = [
        found.gene_exposure * (new.sum(axis=0) / np.maximum(t.sum(axis=0), LEAST))
        for new, t, found in zip(loadings, state.loadings, passes, strict=True)
    ]
    programs, scales = state.programs, state.scales
    if frozen < state.k:
        new = _programs(data, scales, passes, exposures, settings.shrink, mean)
        programs = np.vstack([programs[:frozen], new[frozen:]])
    if with_scales:
        scales = _scales(data, programs, passes, exposures, settings.hold)
    if with_scales and not frozen:
        programs, scales = _centred(data, programs, scales)
    size = programs.sum(axis=1)
    programs = programs / size[:, None]
    loadings = tuple(t * size for t in loadings)
    total = sum(found.likelihood for found in passes)
    return State(loadings, programs, scales, state.shapes, total)


def _loadings(cells: Cells, t: Floats, found: Pass, borrow: float) -> Floats:
    """T <- (n0 (N p) + own) / (n0 / d + exposure)."""
    top, bottom = found.own, found.exposure
    if borrow > 0:
        depth = np.maximum(t.sum(axis=1, keepdims=True), LEAST)
        around = cells.near @ (t / depth)
        # A cell without neighbours borrows from nobody.
        n0 = borrow * around.sum(axis=1, keepdims=True)
        top = top + borrow * around
        bottom = bottom + n0 / depth
    return np.maximum(top / np.maximum(bottom, LEAST), LEAST)


def _programs(
    data: Joined, scales: Floats, passes: Sequence[Pass], exposures: Sequence[Floats],
    shrink: float, mean: Floats,
) -> Floats:  # fmt: skip
    """W <- (counts + e) / (exposure + e / mean), not yet normalised; (K, G)."""
    shape = (len(data.genes), passes[0].own.shape[1])
    top, bottom = np.zeros(shape), np.zeros(shape)
    for s, (cells, found) in enumerate(zip(data.sections, passes, strict=True)):
        top[cells.genes] += found.programs
        bottom[cells.genes] += exposures[s] * scales[s, cells.genes][:, None]
    w = (top + shrink) / (bottom + shrink / mean[:, None])
    return np.ascontiguousarray(w.T)


def _scales(
    data: Joined, programs: Floats, passes: Sequence[Pass], exposures: Sequence[Floats],
    hold: float,
) -> Floats:  # fmt: skip
    """C <- (a + counts) / (a + expected counts at scale 1), (S, G)."""
    scales = np.ones((len(data.sections), len(data.genes)))
    for s, (cells, found, exposure) in enumerate(
        zip(data.sections, passes, exposures, strict=True)
    ):
        # What was allotted to all factors is what was counted.
        counts = found.programs.sum(axis=1)
        expected = (programs[:, cells.genes].T * exposure).sum(axis=1)
        scales[s, cells.genes] = (hold + counts) / (hold + expected)
    return scales


def _centred(data: Joined, programs: Floats, scales: Floats) -> tuple[Floats, Floats]:
    """Divide scales by their geometric mean over the sections that measure a gene."""
    measured = data.measured
    logs = np.where(measured, np.log(scales), 0.0)
    centre = np.exp(logs.sum(axis=0) / np.maximum(measured.sum(axis=0), 1))
    return programs * centre, np.where(measured, scales / centre, 1.0)


def likelihood_of(data: Joined, state: State) -> float:
    """Return the log-likelihood of all counts under a state, noise included."""
    total = 0.0
    for s, cells in enumerate(data.sections):
        csr = (cells.counts.indptr, cells.counts.indices, cells.counts.data)
        v, size = state.effective(s, cells), state.shapes[cells.genes]
        total += float(log_likelihood(*csr, state.loadings[s], v, size, SHAPES[1]))
    return total


def mean_profile(data: Joined) -> Floats:
    """Return the mean share of every gene, (G,), the same weight for every section that has it.

    Shares are taken of the genes in use; panels of other sizes are put on one scale by the genes
    that they have in common with the rest.
    """
    measured = data.measured
    rates = np.zeros(measured.shape)
    for row, cells in zip(rates, data.sections, strict=True):
        row[cells.genes] = np.asarray(cells.counts.sum(axis=0)).ravel() / max(cells.n, 1)
    level = np.ones(len(rates))
    for _ in range(10):
        scaled = np.where(measured, rates / level[:, None], 0.0)
        mean = scaled.sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
        expected = np.maximum((measured * mean).sum(axis=1), LEAST)
        level = np.maximum(rates.sum(axis=1) / expected, LEAST)
    mean = np.maximum(mean, LEAST)
    return np.asarray(np.maximum(mean / mean.sum(), 1e-9))


def shapes_of(data: Joined, state: State) -> Floats:
    """Return the shape of gamma noise per gene, from second moments, shrunken to the median.

    1/shape is (sum (y - rate)^2 - rate) / sum rate^2; genes of few counts go by the median.
    """
    g = state.programs.shape[1]
    squares, excess = np.zeros(g), np.zeros(g)
    for s, cells in enumerate(data.sections):
        own_squares, own_excess = np.zeros(len(cells.genes)), np.zeros(len(cells.genes))
        csr = (cells.counts.indptr, cells.counts.indices, cells.counts.data)
        v = state.effective(s, cells)
        spread(*csr, state.loadings[s], v, own_squares, own_excess)
        squares[cells.genes] += own_squares
        excess[cells.genes] += own_excess
    ratio = excess / np.maximum(squares, LEAST)
    trusted = squares > np.median(squares[squares > 0]) if (squares > 0).any() else squares > 0
    typical = float(np.median(np.maximum(ratio[trusted], 0.0))) if trusted.any() else 0.0
    pseudo = float(np.median(squares)) + LEAST
    shrunken = (np.maximum(excess, 0) + pseudo * typical) / (squares + pseudo)
    return np.clip(1.0 / np.maximum(shrunken, 1.0 / SHAPES[1]), *SHAPES)
