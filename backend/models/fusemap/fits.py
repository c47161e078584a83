"""Fits to samples of cells with bridge genes hidden; each is made once, when first asked for."""

from __future__ import annotations

from collections.abc import Sequence

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit
from backend.models.fusemap.average import average
from backend.models.fusemap.bridges import Guess, Plan, guesses, hide, hiding_plan
from backend.models.fusemap.inputs import Scale
from backend.models.fusemap.references import Reference
from backend.models.fusemap.refining import with_mixture, with_refiner
from backend.models.fusemap.space import Space, fit_space
from backend.models.fusemap.trial import Sample, sample_references

#: Iterations of a fit, and steps of a refinement, that are only there to be checked.
QUICK_ITERATIONS, QUICK_STEPS = 40, 300


class HiddenFits:
    """Fits on one scale that never saw the genes of a fold.

    Parameters
    ----------
    samples : sequence of Sample
    scale : {"log1p", "sharp"}
    n_genes : int
        Size of the union.
    ctx : RunContext
        Its seed decides which genes are hidden when.
    """

    def __init__(
        self, samples: Sequence[Sample], scale: Scale, n_genes: int, ctx: RunContext
    ) -> None:
        self.samples, self.scale, self.n_genes = samples, scale, n_genes
        self._seed = ctx.seed
        self._references = sample_references(samples, scale, n_genes, ctx.device)
        self.plan: Plan = hiding_plan(self._references, n_genes, ctx.seed)
        self._seen: dict[int, list[Reference]] = {}
        self._fits: dict[tuple[int, int], Space] = {}

    def seen(self, fold: int) -> list[Reference]:
        """Return the sections without the genes of a fold."""
        if fold not in self._seen:
            self._seen[fold] = hide(self._references, self.plan, fold)
        return self._seen[fold]

    def guesses(
        self,
        factors: Sequence[int],
        fold: int,
        ctx: RunContext,
        refine: bool = False,
        pull: float = 0.0,
    ) -> list[Guess]:
        """Return the hidden genes of a fold as the average of fits scores them."""
        space = self.space(factors, fold, ctx, refine, pull)
        return list(guesses(space, self.seen(fold), self.samples, self.plan, fold))

    def space(
        self,
        factors: Sequence[int],
        fold: int,
        ctx: RunContext,
        refine: bool = False,
        pull: float = 0.0,
    ) -> Space:
        """Return the average of fits that never saw the genes of a fold."""
        parts = len(factors) + refine
        fits = []
        for i, k in enumerate(factors):
            ctx.step(i / parts, "Checking against hidden genes")
            fits.append(self._fit(fold, k))
        space = average(fits, self.seen(fold))
        if refine:
            space = with_refiner(space, self.seen(fold), RunContext(self._seed), QUICK_STEPS)
        if pull:
            space = with_mixture(space, self.seen(fold), pull, self._seed)
        return space

    def forget(self, fold: int) -> None:
        """Let go of the sections and fits of a fold: those of a corpus take gigabytes."""
        self._seen.pop(fold, None)
        for key in [key for key in self._fits if key[0] == fold]:
            del self._fits[key]

    def _fit(self, fold: int, k: int) -> Space:
        """Fit with one fold hidden."""
        if (fold, k) not in self._fits:
            settings = FactorFit(k, QUICK_ITERATIONS)
            made = fit_space(self.seen(fold), self.n_genes, settings, RunContext())
            self._fits[fold, k] = made
        return self._fits[fold, k]
