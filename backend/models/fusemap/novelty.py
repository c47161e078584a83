"""How unlike all known classes a cell is: several signs, weighed as classes left out ask for.

Signs are of the cell and averaged over its like: the evidence for any known class, how torn it is
between them, how far it lies from the nearest of them in the label's own space and in the map's,
and what nothing explains in it and its like. Which of them tell new classes depends on the data
(in shallow data averaging hides a new class, in deep data it shows it), so their weights are
learnt by leaving classes out of the training (``left_out``); without that they are ``USUAL``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, logsumexp

Table = NDArray[np.float64]

SIGNS = (
    "lack of evidence", "lack of evidence, alike", "doubt", "doubt, alike",
    "distance", "distance, alike", "distance on the map", "distance on the map, alike",
    "unexplained, alike",
)  # fmt: skip
#: Weights where no class could be left out; the sum of all weights is the same everywhere.
USUAL = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)
#: Share of the mean variance that is added to the diagonal of a covariance.
JITTER = 1e-3


@dataclass(frozen=True, slots=True)
class Places:
    """Where the known classes lie: centres (c, f), nan for an empty one, and precision (f, f)."""

    centres: Table
    precision: Table

    @classmethod
    def of(cls, x: Table, classes: NDArray[np.int64], n_classes: int) -> Places:
        """Return the places of the classes (n,) of features (n, f), with one covariance."""
        total = np.zeros((n_classes, x.shape[1]))
        np.add.at(total, classes, x)
        count = np.bincount(classes, minlength=n_classes)[:, None]
        centres = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        left = x - centres[classes]
        covariance = left.T @ left / max(len(x), 1)
        f = len(covariance)
        jitter = JITTER * max(float(np.trace(covariance)) / f, 1e-6)
        return cls(centres, np.asarray(np.linalg.inv(covariance + jitter * np.eye(f))))

    def distance(self, x: Table) -> Table:
        """Return the squared Mahalanobis distance of each cell to the nearest class, (n,)."""
        known = self.centres[~np.isnan(self.centres[:, 0])]
        linear = known @ self.precision
        own = ((x @ self.precision) * x).sum(axis=1)
        away = own[:, None] - 2 * x @ linear.T + (linear * known).sum(axis=1)
        return np.asarray(away.min(axis=1))


@dataclass(frozen=True, slots=True)
class Known:
    """Places of the known classes in the label's own space and on the map, and of means alike."""

    own: Places
    own_alike: Places
    map: Places
    map_alike: Places

    @classmethod
    def of(
        cls,
        seen: tuple[Table, Table],
        mean: csr_matrix,
        rows: NDArray[np.int64],
        classes: NDArray[np.int64],
        n_classes: int,
    ) -> Known:
        """Return the places of the classes (n,) of some rows of what all cells are seen as.

        Parameters
        ----------
        seen : features (n, f) in the own space, and on the map
        mean : (n, n) csr_matrix
            Over cells that are alike.
        rows : (m,) int64
        """
        places = [
            Places.of(x[rows], classes[rows], n_classes)
            for own in seen
            for x in (own, np.asarray(mean @ own))
        ]
        return cls(*places)


def places_in(known: Known) -> Mapping[str, Places]:
    """Return the places by their names, in order."""
    return {f.name: getattr(known, f.name) for f in fields(known)}


@dataclass(frozen=True, slots=True)
class Novelty:
    """How signs become one figure: weights, and median and robust deviation of known cells, (s,).

    All weights of distances are 0 where the places of the classes are not known.
    """

    weights: tuple[float, ...]
    usual: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def learnt(cls, weights: tuple[float, ...], signs: Table) -> Novelty:
        """Return it with the usual signs of held-out known cells (n, s)."""
        pairs = [robust(column) for column in signs.T]
        # What is unexplained is in robust deviations of its section already.
        pairs[-1] = (0.0, 1.0)
        return cls(weights, tuple(m for m, _ in pairs), tuple(s for _, s in pairs))

    def of(self, signs: Table) -> Table:
        """Return the novelty (n,): 0 for the usual known cell, in squeezed robust deviations."""
        return np.asarray(squeezed(signs, self.usual, self.spread) @ np.array(self.weights))


def squeezed(signs: Table, usual: tuple[float, ...], spread: tuple[float, ...]) -> Table:
    """Return signs in robust deviations from the usual, large ones drawn in.

    Notes
    -----
    Not from what is usual in the section itself: where a fifth of it is new, that hides them.
    """
    return np.arcsinh((signs - np.array(usual)) / np.array(spread))


def signs_of(
    scores: Table,
    seen: tuple[Table, Table],
    known: Known | None,
    unexplained: Table,
    mean: csr_matrix,
) -> Table:
    """Return the signs of the cells of a section, (n, ``SIGNS``).

    Parameters
    ----------
    scores : (n, c) float64
        Logits of the classes. The energy of Liu et al., "Energy-based out-of-distribution
        detection", NeurIPS 2020, is the lack of evidence.
    seen : features (n, f) in the label's own space, and on the map
    known : Known or None
        Where the classes lie (Lee et al., NeurIPS 2018); distances are 0 where None.
    unexplained : (n,) float64
    mean : (n, n) csr_matrix
        Over cells that are alike.
    """
    log_p = log_softmax(scores, axis=1)
    energy, doubt = -logsumexp(scores, axis=1), -(np.exp(log_p) * log_p).sum(axis=1)
    out = [energy, mean @ energy, doubt, mean @ doubt]
    if known is None:
        out += [np.zeros(len(scores))] * 4
    else:
        places = iter(places_in(known).values())
        for own in seen:
            out += [next(places).distance(x) for x in (own, np.asarray(mean @ own))]
    return np.stack([*out, unexplained], axis=1)


def robust(values: Table) -> tuple[float, float]:
    """Return the median and the robust deviation (1.48 median absolute deviations)."""
    middle = float(np.median(values)) if len(values) else 0.0
    away = float(np.median(np.abs(values - middle))) if len(values) else 0.0
    return middle, max(1.4826 * away, 1e-9)
