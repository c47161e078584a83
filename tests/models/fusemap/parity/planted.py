"""Two small sections with three planted types in bands, and panels that overlap in part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.fusemap.parity.prepare import Measured

N_TYPES, N_GENES = 3, 24


def planted(
    n: int = 150, seed: int = 0, sections: int = 2
) -> tuple[list[Measured], list[NDArray[np.int64]]]:
    """Return sections of ``n`` cells and their types; each lacks four genes of its own."""
    rng = np.random.default_rng(seed)
    rate = np.full((N_TYPES, N_GENES), 0.6)
    for g in range(N_GENES):
        rate[g % N_TYPES, g] = 6.0
    out, types = [], []
    for s in range(sections):
        xy = rng.uniform(0, 100, (n, 2))
        kind = np.minimum((xy[:, 0] / 100 * N_TYPES).astype(np.int64), N_TYPES - 1)
        kept = np.setdiff1d(np.arange(N_GENES), np.arange(4 * s, 4 * s + 4))
        counts = rng.poisson(rate[kind] * rng.lognormal(0, 0.2, (n, 1)))[:, kept]
        genes = [f"Gene{g:02d}" for g in kept]
        sparse = csr_matrix(counts.astype(np.float32))
        out.append(Measured(sparse, genes, xy.astype(np.float32), f"s{s}"))
        types.append(kind)
    return out, types
