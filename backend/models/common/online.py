"""Stochastic EM for corpora so large that a pass over all cells per iteration takes too long.

Every iteration sees a batch of cells of each wide section (narrow panels need no pass, see
``moments``) and blends what its E-step finds with what was found before, the older the less:
S <- (1 - rho) S + rho S_batch,  rho_i = (i + 2)^-0.6.  The M-step is that of the plain fit.

Cappe and Moulines, "Online expectation-maximization algorithm for latent data models", J. R. Stat.
Soc. B 71 (2009), equation 12; one step per batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from backend.core.errors import Diverged
from backend.core.job import RunContext
from backend.models.common.factors import (
    Expected,
    FactorFit,
    FactorState,
    expected,
    maximised,
    spectral_start,
)
from backend.models.common.moments import Moments

#: How fast older batches are forgotten: steps are (i + 2) to the power of minus this.
FORGETTING = 0.6
#: Batches whose cells the start is taken of.
START_BATCHES = 4


def fit_online(
    sections: Sequence[Moments],
    n_genes: int,
    weights: NDArray[np.float64],
    settings: FactorFit,
    ctx: RunContext,
    state: FactorState | None = None,
) -> FactorState:
    """Return the factors fitted to batches of cells; see ``factors.fit`` for the parameters.

    Going on from a saved state begins the blend anew, so that the result depends on it a little.

    Raises
    ------
    Diverged
        If the first iteration is not finite; later on the last good state is kept.
    """
    rng = np.random.default_rng([settings.seed, 0 if state is None else state.iteration])
    if state is None:
        some = [s.sampled(START_BATCHES * settings.batch, rng) for s in sections]
        state = spectral_start(some, n_genes, weights, settings.k)
    blend: Expected | None = None
    for i in range(state.iteration, settings.iterations):
        found = expected([s.sampled(settings.batch, rng) for s in sections], state)
        blend = found if blend is None else _blended(blend, found, (i + 2) ** -FORGETTING)
        try:
            new, root = maximised(sections, weights, state, blend, settings.ridge)
        except torch.linalg.LinAlgError:
            return _last_good(state, i, ctx)
        if not torch.isfinite(new.embedding).all():
            return _last_good(state, i, ctx)
        state, blend = new, _turned(blend, root)
        done = (i + 1) / settings.iterations
        ctx.step(done, f"Fitting factors to batches, {i + 1} of {settings.iterations}")
        if settings.save_every and (i + 1) % settings.save_every == 0:
            settings.save(state)
    return state


def _blended(old: Expected, new: Expected, rate: float) -> Expected:
    """Move towards what a batch found."""
    return Expected(
        tuple(torch.lerp(a, b, rate) for a, b in zip(old.second, new.second, strict=True)),
        tuple(torch.lerp(a, b, rate) for a, b in zip(old.cross, new.cross, strict=True)),
    )


def _turned(found: Expected, root: torch.Tensor) -> Expected:
    """Say the same of the rescaled latent: z is root^-1 times what it was."""
    back = torch.linalg.inv(root)
    return Expected(
        tuple(back @ s @ back.T for s in found.second), tuple(c @ back.T for c in found.cross)
    )


def _last_good(state: FactorState, iteration: int, ctx: RunContext) -> FactorState:
    if not iteration:
        raise Diverged(
            "The factor fit is not finite from the start.",
            "Check for genes or cells with extreme values, or use fewer factors.",
        )
    ctx.step(1.0, f"The fit diverged at iteration {iteration + 1}; keeping the last good state")
    return state
