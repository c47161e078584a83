"""Area-to-point kriging of factors on the fine grid, choices averaged by their evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from backend.core.job import RunContext
from backend.models.soscope.controls import image_probability, weigh_controls
from backend.models.soscope.evidence import Fit, factor, fit_points, posterior
from backend.models.soscope.factors import Factors
from backend.models.soscope.gate import Gate, gate_of
from backend.models.soscope.kernels import (
    Blocks,
    ImageScale,
    Rows,
    block_kernels,
    image_width,
    kernel_rows,
)
from backend.models.soscope.layouts import Layout
from backend.models.soscope.settings import LENGTHS, Point, points_of, prior
from backend.models.soscope.tiles import Tile, tiles_of

#: Choices whose variance is computed: those that matter, the weightiest first.
VARIED = 3


@dataclass(frozen=True, slots=True)
class Kriged:
    """Factors of the subspots.

    Parameters
    ----------
    split, rate : (n, k) float64
        Predicted scores, for shares of counts and for expected counts.
    variance : (n, k) float64
        Posterior variance of the latter; empty (0, k) where not asked for.
    points : tuple of Point
    weights : (p, k) float64
        Of the choices, for expected counts.
    gate : Gate
    tiles : int
    """

    split: NDArray[np.float64]
    rate: NDArray[np.float64]
    variance: NDArray[np.float64]
    points: tuple[Point, ...]
    weights: NDArray[np.float64]
    gate: Gate
    tiles: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A tile, its layout, the places of its subspots, its image, and its fit."""

    tile: Tile
    layout: Layout
    rows: NDArray[np.int64]
    y: NDArray[np.float32] | None
    scale: ImageScale | None
    fit: Fit


def krige(
    layout: Layout,
    factors: Factors,
    y: NDArray[np.float32] | None,
    ctx: RunContext,
    *,
    with_variance: bool = True,
    use_image: bool | None = None,
    tiles: tuple[Tile, ...] | None = None,
) -> Kriged:
    """Return the factors of all subspots.

    Parameters
    ----------
    layout : Layout
    factors : Factors
        Of the spots.
    y : (n, k) float32 or None
        Image components of the subspots.
    ctx : RunContext
    with_variance : bool
    use_image : bool or None
        The gate decides where None.
    tiles : tuple of Tile, optional
        Made by the size of the layout where None.
    """
    points = points_of(y is not None)
    width = image_width(y, ctx.seed) if y is not None else 1.0
    cut = tiles if tiles is not None else tiles_of(layout)
    parts: list[_Part] = []
    blocks: Blocks | None = None
    for i, tile in enumerate(cut):
        ctx.step(0.55 * i / len(cut), _message("Weighing kernels", i, len(cut)))
        part, blocks = _fitted(layout, tile, factors.scores, y, width, points)
        parts.append(part)
    share = [float(p.tile.core.sum()) / len(p.tile.spots) for p in parts]
    evidence = np.sum([s * p.fit.evidence for s, p in zip(share, parts, strict=True)], axis=0)
    gate = Gate()
    if y is not None:
        ctx.step(0.55, "Turning, moving and shuffling the image")
        decided = use_image is not None
        gate = gate_of(
            image_probability(evidence, points, factors.size),
            [] if decided else weigh_controls(
                layout, factors.scores, factors.size, y, width, points, ctx.seed
            ),
        )  # fmt: skip
    shown = gate.is_open if use_image is None else (use_image and y is not None)
    weights = {
        output: posterior(evidence, prior(points, output, shown)) for output in ("split", "rate")
    }
    k = len(factors.size)
    found = Kriged(
        np.zeros((layout.n_subspots, k)), np.zeros((layout.n_subspots, k)),
        np.zeros((layout.n_subspots if with_variance else 0, k)),
        points, weights["rate"], gate, len(cut),
    )  # fmt: skip
    varied = _varied(weights["rate"], factors.size) if with_variance else ()
    for i, part in enumerate(parts):
        ctx.step(0.55 + 0.45 * i / len(cut), _message("Predicting subspots", i, len(cut)))
        if with_variance and len(parts) > 1:
            blocks, _ = block_kernels(part.layout, part.y, width)
        roots = _roots(blocks, part.layout, points, varied) if blocks else []
        _predict(part, weights, points, tuple(zip(varied, roots, strict=True)), found)
    return found


def _roots(
    blocks: Blocks, layout: Layout, points: tuple[Point, ...], chosen: tuple[int, ...]
) -> list[NDArray[np.float32]]:
    """Return the roots of some covariances, in single precision: enough for a variance."""
    noise = _noise(layout)
    return [factor(blocks, noise, points[p]).astype(np.float32) for p in chosen]


def _message(text: str, i: int, of: int) -> str:
    return text if of == 1 else f"{text}, tile {i + 1} of {of}"


def _noise(layout: Layout) -> NDArray[np.float64]:
    counts = layout.counts
    return np.asarray(counts.mean() / counts)


def _fitted(
    layout: Layout,
    tile: Tile,
    scores: NDArray[np.float64],
    y: NDArray[np.float32] | None,
    width: float,
    points: tuple[Point, ...],
) -> tuple[_Part, Blocks]:
    own, rows = layout.part(tile.spots)
    image = None if y is None else y[rows]
    blocks, scale = block_kernels(own, image, width)
    fit = fit_points(blocks, _noise(own), scores[tile.spots], points)
    return _Part(tile, own, rows, image, scale, fit), blocks


def _varied(weights: NDArray[np.float64], size: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the choices that matter most over all factors."""
    mass = weights @ size
    return tuple(int(p) for p in np.argsort(-mass, kind="stable")[:VARIED] if mass[p] > 0)


def _predict(
    part: _Part,
    weights: dict[str, NDArray[np.float64]],
    points: tuple[Point, ...],
    roots: tuple[tuple[int, NDArray[np.float32]], ...],
    found: Kriged,
) -> None:
    """Fill in the scores of the subspots of a tile's core."""
    plans = {output: _plan(part.fit, weight, points) for output, weight in weights.items()}
    of_core = part.tile.core[part.layout.parent]
    for block in kernel_rows(part.layout, part.y, part.scale):
        kept = of_core[block.rows]
        if not kept.any():
            continue
        rows = part.rows[block.rows][kept]
        for output, target in (("split", found.split), ("rate", found.rate)):
            lengths, image, mean = plans[output]
            near = block.by_length[:, kept]
            scores = mean + sum(near[i] @ lengths[i] for i in range(len(LENGTHS)))
            if block.image is not None:
                scores = scores + block.image[kept] @ image
            target[rows] = scores
        if roots:
            found.variance[rows] = _variance(part, block, kept, weights["rate"], points, roots)


def _plan(
    fit: Fit, weight: NDArray[np.float64], points: tuple[Point, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Return averaged weights of spots, (lengths, N, k) and (N, k) for the image, and the mean."""
    lengths = np.zeros((len(LENGTHS), *fit.alpha.shape[1:]), np.float32)
    image = np.zeros(fit.alpha.shape[1:], np.float32)
    for p, point in enumerate(points):
        own = fit.alpha[p] * weight[p].astype(np.float32)
        lengths[LENGTHS.index(point.length)] += np.float32(1 - point.share) * own
        image += np.float32(point.share) * own
    return lengths, image, np.asarray((weight * fit.mean).sum(axis=0))


def _variance(
    part: _Part,
    block: Rows,
    kept: NDArray[np.bool_],
    weights: NDArray[np.float64],
    points: tuple[Point, ...],
    roots: tuple[tuple[int, NDArray[np.float32]], ...],
) -> NDArray[np.float64]:
    """Return the posterior variance of scores, within and between choices, (m, k)."""
    own = np.stack([weights[p] for p, _ in roots])
    own = own / np.maximum(own.sum(axis=0), 1e-300)
    means, variances = [], []
    for p, root in roots:
        point = points[p]
        cross = (1 - point.share) * block.by_length[LENGTHS.index(point.length), kept]
        prior_variance = 1 - point.share
        if block.image is not None and part.scale is not None:
            cross = cross + point.share * block.image[kept]
            prior_variance += point.share * part.scale.scale
        means.append(part.fit.mean[p] + cross @ part.fit.alpha[p])
        unit = _unit_variance(root, cross.T, prior_variance)
        variances.append(unit[:, None] * part.fit.variance[p])
    centre = np.einsum("pk,pmk->mk", own, np.stack(means))
    between = np.einsum("pk,pmk->mk", own, (np.stack(means) - centre) ** 2)
    return np.asarray(np.einsum("pk,pmk->mk", own, np.stack(variances)) + between)


def _unit_variance(
    root: NDArray[np.float32], cross: NDArray[np.float32], prior_variance: float
) -> NDArray[np.float64]:
    """Return k_ff - k' C^-1 k, and what not knowing the mean adds, (m,)."""
    white = solve_triangular(root, cross, lower=True, check_finite=False)
    one = solve_triangular(root, np.ones(len(root), np.float32), lower=True, check_finite=False)
    left = prior_variance - np.einsum("nm,nm->m", white, white, dtype=np.float64)
    mean = (1 - one @ white) ** 2 / float(one @ one)
    return np.asarray(np.maximum(left + mean, 1e-6))
