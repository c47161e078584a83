"""What is chosen on hidden bridge genes: the scale, the numbers of factors, the refinement.

Every choice compares mean held-out r over data sets, on samples of cells. Ties go to the plainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.fusemap.average import average
from backend.models.fusemap.bridges import (
    Plan,
    correlation,
    guesses,
    hide,
    hiding_plan,
    mean_by_unit,
)
from backend.models.fusemap.factors import FactorFit
from backend.models.fusemap.inputs import SCALES, Scale
from backend.models.fusemap.references import Reference
from backend.models.fusemap.refining import with_refiner
from backend.models.fusemap.space import Space, fit_space
from backend.models.fusemap.trial import Sample, sample_references

#: Sets of numbers of factors to choose among; single numbers are tried as part of them.
CANDIDATES: tuple[tuple[int, ...], ...] = ((4, 6, 8, 10, 12), (8, 10, 12, 16))
#: Iterations of a fit that is only there to be checked.
QUICK_ITERATIONS = 50
#: Folds that choices are made on, and steps of a refinement that is only tried.
CHOICE_FOLDS, QUICK_STEPS = 2, 300
#: What the less plain of two must gain in r.
LEAST_GAIN = 0.003


@dataclass(frozen=True, slots=True)
class Choice:
    """How to fit; ``tried`` holds the mean held-out r of everything that was compared."""

    scale: Scale
    factors: tuple[int, ...]
    refine: bool
    tried: dict[str, float] = field(default_factory=dict)


def choose(
    samples: Sequence[Sample],
    n_genes: int,
    ctx: RunContext,
    factors: tuple[int, ...] | None = None,
    scale: Scale | None = None,
    refine: bool | None = None,
) -> Choice:
    """Return how to fit, each part as given or chosen on hidden genes.

    Parameters
    ----------
    samples : sequence of Sample
    n_genes : int
    ctx : RunContext
    factors, scale, refine : optional
        Not to be chosen but taken.
    """
    widest = max(len(s.plain.genes) for s in samples)
    sets = (factors,) if factors else _candidates(widest)
    scales = (scale,) if scale else SCALES
    trials = {
        s: _Trial(samples, s, n_genes, ctx.part(0.4 * i, 0.4 * (i + 1)))
        for i, s in enumerate(scales)
    }
    if trials[scales[0]].plan.is_empty:
        return Choice(scale or "log1p", factors or (min(10, max(widest // 3, 1)),), bool(refine))
    if len(sets) == 1 and len(scales) == 1 and refine is not None:
        return Choice(scales[0], sets[0], refine)
    tried = {f"{s} {name}": r for s in scales for name, r in trials[s].compare(sets).items()}
    best_scale, best = max(
        ((s, f) for s in scales for f in sets), key=lambda x: tried[f"{x[0]} {_name(x[1])}"]
    )
    if refine is None:
        before, after = trials[best_scale].refined(best, ctx.part(0.8, 1.0))
        tried["before refinement"], tried["after refinement"] = before, after
        refine = after > before + LEAST_GAIN
    return Choice(best_scale, best, refine, tried)


def _candidates(widest: int) -> tuple[tuple[int, ...], ...]:
    """Keep the numbers that the widest panel allows."""
    most = max(widest // 3, 1)
    sets = [tuple(k for k in ks if k <= most) or (most,) for ks in CANDIDATES]
    return tuple(dict.fromkeys(sets))


def _name(factors: Sequence[int]) -> str:
    """Spell a set of numbers of factors."""
    return "+".join(str(k) for k in factors)


class _Trial:
    """Fits to the samples on one scale, with genes hidden; made when first asked for."""

    def __init__(
        self, samples: Sequence[Sample], scale: Scale, n_genes: int, ctx: RunContext
    ) -> None:
        self._samples, self._n_genes, self._ctx = samples, n_genes, ctx
        self._references = sample_references(samples, scale, n_genes, ctx.device)
        self.plan: Plan = hiding_plan(self._references, n_genes, ctx.seed)
        self._seen: dict[int, list[Reference]] = {}
        self._fits: dict[tuple[int, int], Space] = {}

    def compare(self, sets: Sequence[tuple[int, ...]]) -> dict[str, float]:
        """Return the mean held-out r of every set, and of every number in one."""
        singles = sorted({k for ks in sets for k in ks})
        every = list(dict.fromkeys([*((k,) for k in singles), *sets]))
        for i, (fold, k) in enumerate((f, k) for f in range(CHOICE_FOLDS) for k in singles):
            self._ctx.step(i / (CHOICE_FOLDS * len(singles)), "Choosing on hidden genes")
            self._fit(fold, k)
        return {
            _name(ks): mean_by_unit([x for f in range(CHOICE_FOLDS) for x in self._score(ks, f)])
            for ks in every
        }

    def refined(self, factors: tuple[int, ...], ctx: RunContext) -> tuple[float, float]:
        """Return the mean held-out r before and after a refinement."""
        plain = self._space(factors, 0)
        space = with_refiner(plain, self._hide(0), ctx, QUICK_STEPS)
        return mean_by_unit(self._score(factors, 0)), mean_by_unit(self._score(factors, 0, space))

    def _fit(self, fold: int, k: int) -> Space:
        """Fit with one fold hidden."""
        if (fold, k) not in self._fits:
            settings = FactorFit(k, QUICK_ITERATIONS)
            seen = self._hide(fold)
            self._fits[fold, k] = fit_space(seen, self._n_genes, settings, RunContext())
        return self._fits[fold, k]

    def _space(self, factors: tuple[int, ...], fold: int) -> Space:
        """Average the fits of a set."""
        return average([self._fit(fold, k) for k in factors], self._hide(fold))

    def _hide(self, fold: int) -> list[Reference]:
        """Hide the genes of a fold."""
        if fold not in self._seen:
            self._seen[fold] = hide(self._references, self.plan, fold)
        return self._seen[fold]

    def _score(
        self, factors: tuple[int, ...], fold: int, space: Space | None = None
    ) -> list[tuple[int, NDArray[np.float64]]]:
        """Held-out r of every section, with its data set."""
        space = space or self._space(factors, fold)
        found = guesses(space, self._hide(fold), self._samples, self.plan, fold)
        return [(int(self.plan.unit[g.section]), correlation(g.score, g.truth)) for g in found]
