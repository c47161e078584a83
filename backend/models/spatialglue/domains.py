"""How many domains there are: the silhouette, confirmed by the knee of the mixture's BIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from backend.core.job import RunContext
from backend.models.spatialglue.mixture import fit_mixture

#: Numbers tried, from 2.
MOST = 12
#: Spots on which mixtures and silhouettes are computed.
FIT_SAMPLE, SILHOUETTE_SAMPLE = 8000, 2000
#: Colours of domains: distinct in the common forms of colour blindness, then lighter and darker.
COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7a7a7a",
    "#004b76", "#9a6a00", "#00664a", "#8a4b6e", "#a5d8f3", "#8f3f00", "#a89f2e", "#b8b8b8",
    "#332288", "#88ccee", "#44aa99", "#117733",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A number of domains and why.

    Parameters
    ----------
    count : int
        What is used: the silhouette's choice. Where that is 2 and the knee does not confirm it,
        the knee, since the silhouette says 2 wherever one domain stands far from the rest.
    silhouette, bic : mapping of number to value
    knee : int
        Where the BIC bends most.
    is_confirmed : bool
        Whether both are within one of each other.
    """

    count: int
    silhouette: dict[int, float]
    bic: dict[int, float]
    knee: int
    is_confirmed: bool

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "count": self.count,
            "silhouette": {str(k): v for k, v in self.silhouette.items()},
            "bic": {str(k): v for k, v in self.bic.items()},
            "silhouette_choice": max(self.silhouette, key=lambda k: self.silhouette[k]),
            "knee": self.knee,
            "is_confirmed": self.is_confirmed,
        }


def suggest_count(
    x: NDArray[np.floating], seed: int, ctx: RunContext, most: int = MOST
) -> Suggestion:
    """Return how many domains an embedding (n, d) shows.

    Parameters
    ----------
    x : (n, d)
    seed : int
    ctx : RunContext
    most : int
        Largest number tried.
    """
    rng = np.random.default_rng(seed)
    x = np.asarray(x, np.float64)
    if len(x) > FIT_SAMPLE:
        x = x[rng.choice(len(x), FIT_SAMPLE, replace=False)]
    most = max(2, min(most, len(x) // 10))
    sample = rng.permutation(len(x))[:SILHOUETTE_SAMPLE]
    bic = {1: fit_mixture(x, 1, rng).bic(len(x))}
    silhouette = {}
    for k in range(2, most + 1):
        ctx.step((k - 2) / most, f"Trying {k} domains")
        found = fit_mixture(x, k, rng)
        bic[k] = found.bic(len(x))
        labels = found.posterior(x).argmax(axis=1)[sample]
        several = len(np.unique(labels)) > 1
        silhouette[k] = float(silhouette_score(x[sample], labels)) if several else -1.0
    knee = knee_of(bic)
    best = max(silhouette, key=lambda k: silhouette[k])
    confirmed = abs(best - knee) <= 1
    count = knee if best == 2 and not confirmed else best
    return Suggestion(count, silhouette, bic, knee, confirmed)


def knee_of(values: dict[int, float]) -> int:
    """Return where a rising curve bends most: farthest above the chord of its ends."""
    ks = np.array(sorted(values), np.float64)
    y = np.array([values[int(k)] for k in ks])
    y = np.maximum.accumulate(y)
    if y[-1] == y[0]:
        return int(ks[0])
    height = (y - y[0]) / (y[-1] - y[0]) - (ks - ks[0]) / (ks[-1] - ks[0])
    return int(ks[height.argmax()])
