"""The default mode: counts of spots to expected and shared counts of subspots.

After Li B. et al., soScope, Nat Commun 15, 6541 (2024), whose likelihood never trains; this is a
closed form: factors of root counts, area-to-point kriging with an image kernel that the evidence
weighs, and two explicit scales.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from backend.core.job import RunContext
from backend.models.soscope import outputs
from backend.models.soscope.blocks import gene_blocks
from backend.models.soscope.factors import Factors, factorise
from backend.models.soscope.gate import Gate
from backend.models.soscope.image_features import image_components
from backend.models.soscope.interpolate import interpolated, linear_weights, means_of
from backend.models.soscope.krige import Kriged, krige
from backend.models.soscope.layouts import Layout
from backend.models.soscope.selfmerge import GENES, Made, SelfMerge, self_merge
from backend.models.soscope.settings import BLEND, IMAGE_BLEND, RATE_BLEND, Point


@dataclass(frozen=True, slots=True)
class Enhanced:
    """Subspots of a section, or of several.

    Parameters
    ----------
    rate : (n, g) float32
        Expected counts.
    split : (n, g) float32
        Counts of the spots shared out; sums over the subspots of a spot are its counts.
    sd : (n, g) float32
        Posterior standard deviation of ``rate``, calibrated on merged spots.
    uncertainty : (n,) float32
        Share of the variation between spots that is not known of a subspot, 0 to 1.
    residual : (N,) float32
        What the model leaves of a spot's counts: root mean square of (x - m) / sqrt(m + m^2/kappa).
    detail : (n,) float32
        What was added within a spot: root mean square of (rate - m) / sqrt(m), m the mean of the
        spot; 0 is a copy, 1 as much as counting noise.
    scores : (n, k) float64
        Factors of the subspots.
    factors : Factors
        Of the spots.
    kappa : (g,) float64
    method : "model", "bilinear" or "copy"
        What the self-merge check chose.
    gate : Gate
    merge : SelfMerge or None
    points, weights
        Choices of kernels and their posterior weights, (p, k).
    tiles : int
    seconds : dict of str to float
    """

    rate: NDArray[np.float32]
    split: NDArray[np.float32]
    sd: NDArray[np.float32]
    uncertainty: NDArray[np.float32]
    residual: NDArray[np.float32]
    detail: NDArray[np.float32]
    scores: NDArray[np.float64]
    factors: Factors
    kappa: NDArray[np.float64]
    method: str
    gate: Gate
    merge: SelfMerge | None
    points: tuple[Point, ...]
    weights: NDArray[np.float64]
    tiles: int
    seconds: dict[str, float] = field(default_factory=dict)


def enhance_layout(
    layout: Layout,
    totals: csr_matrix,
    ctx: RunContext,
    *,
    features: NDArray[np.float32] | None = None,
    modality: NDArray[np.int64] | None = None,
    check: bool = True,
) -> Enhanced:
    """Return the subspots of a layout.

    Parameters
    ----------
    layout : Layout
    totals : (N, g) csr_matrix
        Counts of the spots.
    ctx : RunContext
    features : (n, p) float32, optional
        Image features of the subspots, as ``image_bank`` returns them.
    modality : (g,) int64, optional
        Modality of each feature; one where None.
    check : bool
        Whether the spots are merged and recovered to predict the gain, calibrate the uncertainty
        and choose between the model and interpolation. Without it the model is taken.
    """
    # Several runs share the machine: threads that wait for one another cost more than they save.
    with threadpool_limits(1, user_api="blas"):
        return _enhanced(layout, totals, ctx, features, modality, check)


def _enhanced(
    layout: Layout,
    totals: csr_matrix,
    ctx: RunContext,
    features: NDArray[np.float32] | None,
    modality: NDArray[np.int64] | None,
    check: bool,
) -> Enhanced:
    started = time.perf_counter()
    seconds: dict[str, float] = {}
    kind = np.zeros(totals.shape[1], np.int64) if modality is None else modality
    ctx.step(0.0, "Finding factors")
    factors, kriged = fit_layout(layout, totals, kind, features, ctx.part(0.02, 0.6))
    seconds["model"] = time.perf_counter() - started
    merge = _checked(layout, totals, kind, features, kriged, ctx.part(0.6, 0.85)) if check else None
    seconds["self_merge"] = time.perf_counter() - started - seconds["model"]
    ctx.step(0.85, "Writing out genes")
    spread = _spread(merge, totals)
    method = merge.choice if merge else "model"
    made = _tables(layout, totals, factors, kriged, method, spread)
    seconds["genes"] = time.perf_counter() - started - sum(seconds.values())
    return Enhanced(
        made.rate, made.split, made.sd, _uncertainty(kriged, factors, layout.n_spots),
        made.residual, made.detail, kriged.rate, factors, made.kappa, method, kriged.gate, merge,
        kriged.points, kriged.weights, kriged.tiles, seconds,
    )  # fmt: skip


def fit_layout(
    layout: Layout,
    totals: csr_matrix,
    modality: NDArray[np.int64],
    features: NDArray[np.float32] | None,
    ctx: RunContext,
    *,
    use_image: bool | None = None,
    with_variance: bool = True,
) -> tuple[Factors, Kriged]:
    """Return factors of the spots, and of the subspots as kriged from them."""
    factors = factorise(means_of(layout, totals), float(layout.counts.mean()), modality)
    y = None
    if features is not None:
        y = image_components(features, layout.subspot_section, layout.n_spots)
    kriged = krige(layout, factors, y, ctx, use_image=use_image, with_variance=with_variance)
    return factors, kriged


def split_of(
    layout: Layout, totals: csr_matrix, factors: Factors, kriged: Kriged, genes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the shared counts of some genes by the model, (n, genes)."""
    shown = kriged.weights[[p.share > 0 for p in kriged.points]].sum() > 0
    part = totals[:, genes]
    linear = interpolated(layout, part)
    rates = factors.rates(kriged.split, genes)
    whole = np.asarray(part.todense(), np.float64)
    return outputs.split(layout, rates, linear, whole, IMAGE_BLEND if shown else BLEND)


def _checked(
    layout: Layout,
    totals: csr_matrix,
    modality: NDArray[np.int64],
    features: NDArray[np.float32] | None,
    kriged: Kriged,
    ctx: RunContext,
) -> SelfMerge | None:
    """Run the self-merge check on the genes that are abundant enough to tell."""
    abundance = np.asarray(totals.sum(axis=0)).ravel()
    genes = np.sort(np.argsort(-abundance, kind="stable")[:GENES])
    image = features if kriged.gate.is_open else None

    def recover(
        upper: Layout, above: csr_matrix, own: NDArray[np.float32] | None
    ) -> Callable[[NDArray[np.int64]], Made]:
        ctx.step(0.5, "Recovering merged spots")
        factors, found = fit_layout(
            upper, above, modality[genes], own, RunContext(seed=ctx.seed), use_image=own is not None
        )

        def made(some: NDArray[np.int64]) -> Made:
            sd = np.sqrt(found.variance @ factors.loadings[:, some] ** 2)
            return split_of(upper, above, factors, found, some), sd

        return made

    found = self_merge(layout, csr_matrix(totals[:, genes]), image, recover, ctx.seed)
    if found is None:
        return None
    by_gene, spread = np.zeros(totals.shape[1]), np.full(totals.shape[1], np.nan)
    by_gene[genes], spread[genes] = found.by_gene, found.spread
    return replace(found, by_gene=by_gene, spread=spread)


def _spread(merge: SelfMerge | None, totals: csr_matrix) -> NDArray[np.float64]:
    """Return by what the sd of each gene is multiplied; the median where a gene was not tried."""
    if merge is None:
        return np.ones(totals.shape[1])
    middle = float(np.nanmedian(merge.spread))
    return np.where(np.isfinite(merge.spread), merge.spread, middle)


@dataclass(frozen=True, slots=True)
class _Tables:
    """What is written out gene by gene; see ``Enhanced``."""

    rate: NDArray[np.float32]
    split: NDArray[np.float32]
    sd: NDArray[np.float32]
    residual: NDArray[np.float32]
    detail: NDArray[np.float32]
    kappa: NDArray[np.float64]


def _tables(
    layout: Layout,
    totals: csr_matrix,
    factors: Factors,
    kriged: Kriged,
    method: str,
    spread: NDArray[np.float64],
) -> _Tables:
    """Return rate, split, sd, residual, detail and kappa, a run of genes at a time."""
    n, g = layout.n_subspots, totals.shape[1]
    rate, split, sd = (np.empty((n, g), np.float32) for _ in range(3))
    kappa, square, apart = np.empty(g), np.zeros(layout.n_spots), np.zeros(n)
    shown = bool(kriged.weights[[p.share > 0 for p in kriged.points]].sum() > 0)
    blend = 0.0 if method != "model" else IMAGE_BLEND if shown else BLEND
    weights, columns = linear_weights(layout), csr_matrix(totals).tocsc()
    for genes in gene_blocks(n, g):
        part = csr_matrix(columns[:, genes])
        whole = np.asarray(part.todense(), np.float64)
        means = whole / layout.counts[:, None]
        linear = means[layout.parent] if method == "copy" else np.asarray(weights @ means)
        model = factors.rates(kriged.rate, genes) if method == "model" else linear
        made, kappa[genes] = outputs.rate(layout, model, linear, whole, RATE_BLEND)
        shared = factors.rates(kriged.split, genes) if method == "model" else linear
        split[:, genes] = outputs.split(layout, shared, linear, whole, blend)
        root_sd = np.sqrt(kriged.variance @ factors.loadings[:, genes] ** 2) * spread[genes]
        sd[:, genes] = 2 * np.sqrt(np.maximum(made, 0)) * root_sd
        square += outputs.squared_residuals(whole, layout.sums() @ model, kappa[genes])
        apart += outputs.squared_detail(layout, made)
        rate[:, genes] = made
    residual, detail = (np.sqrt(v / max(g, 1)).astype(np.float32) for v in (square, apart))
    return _Tables(rate, split, sd, residual, detail, kappa)


def _uncertainty(kriged: Kriged, factors: Factors, n_spots: int) -> NDArray[np.float32]:
    """Return the share of the variation between spots that is not known of a subspot, (n,)."""
    ratio = kriged.variance.sum(axis=1) / max(float(factors.size.sum()) / n_spots, 1e-12)
    return np.sqrt(ratio / (1 + ratio)).astype(np.float32)
