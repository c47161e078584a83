"""What is chosen on hidden bridge genes: the scale, the numbers of factors, the refinement.

Every choice compares mean held-out r over data sets, on samples of cells. Ties go to the plainer.
The scale is chosen with two small fits on each, the rest on that scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.core.job import RunContext
from backend.models.fusemap.bridges import correlation, mean_by_unit
from backend.models.fusemap.fits import HiddenFits
from backend.models.fusemap.inputs import SCALES, Scale
from backend.models.fusemap.trial import Sample

#: Sets of numbers of factors to choose among, and those that scales are compared with.
CANDIDATES: tuple[tuple[int, ...], ...] = ((4, 6, 8, 10, 12), (8, 10, 12, 16))
FEW = (6, 10)
#: How far cells may be drawn towards classes; see ``mixture``.
PULLS = (0.5, 1.0)
#: Folds that choices are made on.
CHOICE_FOLDS = 2
#: What the less plain of two must gain in r.
LEAST_GAIN = 0.003


@dataclass(frozen=True, slots=True)
class Choice:
    """How to fit; ``tried`` holds the mean held-out r of everything that was compared.

    At most one of ``refine`` and ``pull`` moves cells after the posterior.
    """

    scale: Scale
    factors: tuple[int, ...]
    refine: bool
    pull: float = 0.0
    tried: dict[str, float] = field(default_factory=dict)


def choose(
    samples: Sequence[Sample],
    n_genes: int,
    ctx: RunContext,
    factors: tuple[int, ...] | None = None,
    scale: Scale | None = None,
    refine: bool | None = None,
    pull: float | None = None,
) -> tuple[Choice, HiddenFits]:
    """Return how to fit, each part as given or chosen on hidden genes; and the fits made for it.

    Parameters
    ----------
    samples : sequence of Sample
    n_genes : int
    ctx : RunContext
    factors, scale, refine, pull : optional
        Not to be chosen but taken; where one of the last two is given, so is the other.
    """
    widest = max(len(s.plain.genes) for s in samples)
    fits = HiddenFits(samples, scale or SCALES[0], n_genes, ctx)
    if fits.plan.is_empty:
        plain = factors or (min(10, max(widest // 3, 1)),)
        return Choice(scale or "log1p", plain, bool(refine), pull or 0.0), fits
    tried: dict[str, float] = {}
    if scale is None:
        fits = _best_scale(fits, factors or _possible(FEW, widest), tried, ctx.part(0, 0.5))
    if factors is None:
        sets = tuple(dict.fromkeys(_possible(ks, widest) for ks in CANDIDATES))
        part = ctx.part(0.5, 0.8)
        factors = max(sets, key=lambda ks: _held_out(fits, ks, tried, part))
    if refine is None and pull is None:
        refine, pull = _best_move(fits, factors, tried, ctx.part(0.8, 1))
    return Choice(fits.scale, factors, bool(refine), pull or 0.0, tried), fits


def _best_move(
    fits: HiddenFits, factors: tuple[int, ...], tried: dict[str, float], ctx: RunContext
) -> tuple[bool, float]:
    """Say whether to refine and how far to draw cells to classes; neither unless it gains."""
    moves = [(False, 0.0), *((False, pull) for pull in PULLS), (True, 0.0)]
    r = [_held_out(fits, factors, tried, ctx, *move) for move in moves]
    best = int(np.argmax(r))
    return moves[best] if r[best] > r[0] + LEAST_GAIN else moves[0]


def _best_scale(
    first: HiddenFits, factors: tuple[int, ...], tried: dict[str, float], ctx: RunContext
) -> HiddenFits:
    """Fits on the scale that imputes hidden genes best."""
    others = [HiddenFits(first.samples, s, first.n_genes, ctx) for s in SCALES[1:]]
    return max((first, *others), key=lambda fits: _held_out(fits, factors, tried, ctx))


def _held_out(
    fits: HiddenFits,
    factors: tuple[int, ...],
    tried: dict[str, float],
    ctx: RunContext,
    refine: bool = False,
    pull: float = 0.0,
) -> float:
    """Mean held-out r, noted in ``tried``."""
    name = f"{fits.scale} {'+'.join(str(k) for k in factors)}{' refined' if refine else ''}"
    name += f" drawn {pull}" if pull else ""
    if name not in tried:
        tried[name] = mean_by_unit(
            [
                (int(fits.plan.unit[g.section]), correlation(g.score, g.truth))
                for fold in range(CHOICE_FOLDS)
                for g in fits.guesses(factors, fold, ctx, refine, pull)
            ]
        )
    return tried[name]


def _possible(factors: tuple[int, ...], widest: int) -> tuple[int, ...]:
    """Keep the numbers that the widest panel allows."""
    most = max(widest // 3, 1)
    return tuple(k for k in factors if k <= most) or (most,)
