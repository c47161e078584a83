"""Features of a pair of cells that do not depend on which of the two is named first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Set = Literal["niche", "plain"]


@dataclass(frozen=True, slots=True)
class Described:
    """Cells as a pair model sees them.

    Parameters
    ----------
    h : (n, d) float64
        Whitened components.
    niche, niche_axes : lists of (n, d) and (n, t) float64
        Predicted niches, one per radius.
    extra : (n, e) float64 or None
        Another embedding, whitened, such as a transformer's.
    """

    h: NDArray[np.float64]
    niche: list[NDArray[np.float64]]
    niche_axes: list[NDArray[np.float64]]
    extra: NDArray[np.float64] | None = None

    def rows(self, rows: NDArray[np.int64]) -> Described:
        """Return some of the cells."""
        return Described(
            self.h[rows],
            [n[rows] for n in self.niche],
            [t[rows] for t in self.niche_axes],
            None if self.extra is None else self.extra[rows],
        )


def pair_features(a: Described, b: Described, kind: Set = "niche") -> NDArray[np.float32]:
    """Return features (m, f) of pairs; both sides have m rows, or one of them has one.

    Parameters
    ----------
    a, b : Described
    kind : "niche" or "plain"
        Plain: product, absolute difference and sum of components only. Niche: also those of the
        predicted niches and the cosines, 133 numbers at 30 components.

    Notes
    -----
    Every feature is symmetric, so the order of the two cells cannot matter.
    """
    parts = [a.h * b.h, np.abs(a.h - b.h), a.h + b.h]
    if kind == "niche":
        for own, other in zip(a.niche_axes, b.niche_axes, strict=True):
            parts += [own * other, np.abs(own - other)]
        parts += [_cosine(x, y) for x, y in zip(a.niche, b.niche, strict=True)]
        parts.append(_cosine(a.h, b.h))
    if a.extra is not None and b.extra is not None:
        parts += [a.extra * b.extra, np.abs(a.extra - b.extra), _cosine(a.extra, b.extra)]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def products(a: Described, b: Described) -> NDArray[np.float32]:
    """Return the symmetric products h_ai h_bj + h_aj h_bi for i < j, (m, d (d - 1) / 2)."""
    i, j = np.triu_indices(a.h.shape[1], 1)
    return (a.h[:, i] * b.h[:, j] + a.h[:, j] * b.h[:, i]).astype(np.float32)


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(((a * b).sum(axis=1) / np.maximum(size, 1e-9))[:, None])
