"""The generative mode: subspots as the mean of a few models, with what they say of themselves.

After Li B. et al., soScope, Nat Commun 15, 6541 (2024): spots' profiles to a latent by graph
attention, latent and image to the parameters of a law per subspot. Here the law of the spots'
sums is the objective itself.

Deviations
----------
- The likelihood of the observed sum is maximised; the reference fits the mean alone by squares, so
  that its dispersions mean nothing.
- The latent reaches a subspot as a mean over the spots around it, and the decoder adds to the
  interpolated factors; without an image this interpolates, where the reference copies.
- Features are factors of root counts, not raw counts; image features are standardised.
- Pairs of subspots are sparse and their logits scaled; the reference compares all with all, its
  logits saturate, and its term has no gradient on counts.
- Several seeds are averaged, and their spread is returned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.core.job import RunContext
from backend.models.soscope.generative.fit import Settings, fit
from backend.models.soscope.generative.inputs import Inputs, checked

#: Divergence in nats per spot below which the latent says nothing.
COLLAPSED = 0.5


@dataclass(frozen=True, slots=True)
class Generated:
    """What the generative mode gives.

    Parameters
    ----------
    rates : tuple of (s, g) float32
        Expectation of every modality in every subspot, mean over seeds.
    spread : tuple of (s, g) float32
        Standard deviation over seeds; zeros for one seed.
    latent : (n, d) float32
        Of the first seed.
    divergence : tuple of float
        KL of each seed, nats per spot.
    record : (epochs, 3) float32
        Log likelihood, divergence, image term of the first seed.
    """

    rates: tuple[NDArray[np.float32], ...]
    spread: tuple[NDArray[np.float32], ...]
    latent: NDArray[np.float32]
    divergence: tuple[float, ...]
    record: NDArray[np.float32]

    @property
    def is_collapsed(self) -> bool:
        """Whether the latent of some seed says nothing."""
        return min(self.divergence) < COLLAPSED


def enhance_generative(
    inputs: Inputs, ctx: RunContext, settings: Settings | None = None, n_seeds: int = 3
) -> Generated:
    """Return the subspots of ``n_seeds`` models.

    Parameters
    ----------
    inputs : Inputs
    ctx : RunContext
        Its seed is the first of the seeds.
    settings : Settings, optional
    n_seeds : int

    Raises
    ------
    BadRequest
        Naming everything in the inputs that does not fit.
    Diverged, Cancelled
    """
    ready = checked(standardised(inputs))
    chosen = settings or Settings()
    fits = [
        fit(ready, chosen, ctx.seed + k, ctx.part(k / n_seeds, (k + 1) / n_seeds))
        for k in range(n_seeds)
    ]
    rates = [np.stack(each) for each in zip(*(one.rates for one in fits), strict=True)]
    return Generated(
        tuple(r.mean(axis=0) for r in rates),
        tuple(r.std(axis=0) for r in rates),
        fits[0].latent,
        tuple(one.divergence for one in fits),
        fits[0].record,
    )


def standardised(inputs: Inputs) -> Inputs:
    """Return the inputs with an image whose components have an overall spread of one."""
    image = np.asarray(inputs.image, np.float32)
    if not image.size:
        return inputs
    centred = image - image.mean(axis=0)
    scale = float(centred.std()) or 1.0
    return Inputs(inputs.modalities, inputs.parents, inputs.spots, inputs.subspots, centred / scale)


def shared_out(
    rates: NDArray[np.floating], totals: NDArray[np.floating], parents: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Return counts of spots shared out by the rates of their subspots; sums are kept.

    Parameters
    ----------
    rates : (s, g)
    totals : (n, g)
    parents : (s,)
    """
    held = np.maximum(rates, 1e-12).astype(np.float64)
    sums = np.zeros(totals.shape)
    np.add.at(sums, parents, held)
    return held / sums[parents] * totals[parents]
