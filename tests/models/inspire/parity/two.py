"""Two sections of two types with programs of their own, in halves of a grid; small settings."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.data import SectionData
from backend.models.inspire.parity.prepare import Published, published
from backend.models.inspire.parity.settings import Preparing, Settings

SIDE, GENES = 10, 12
SMALL = Settings(factors=2, hidden=32, latent=8, batch=64, steps=100, learning_rate=2e-2)
HOW = Preparing(variable=100, least_genes=1, least_cells=1, shared_first=True, radius=1.1)


def types() -> np.ndarray:
    return (np.arange(SIDE * SIDE) % SIDE >= SIDE // 2).astype(np.int64)


def raw_sections(seed: int = 0) -> list[SectionData]:
    rng = np.random.default_rng(seed)
    rate = np.ones((2, GENES))
    rate[0, :4], rate[1, 4:8] = 12.0, 12.0
    xy = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1).reshape(-1, 2)
    made = []
    for s in range(2):
        scale = np.exp(rng.normal(0, 0.3, GENES))
        counts = csr_matrix(rng.poisson(rate[types()] * scale).astype(np.float32))
        made.append(
            SectionData(
                id=f"s{s}",
                title=f"Section {s}",
                xy=xy.astype(np.float32),
                counts=counts,
                genes=tuple(f"Gene{g:02d}" for g in range(GENES)),
                names=np.arange(SIDE * SIDE).astype(str),
            )
        )
    return made


def two_sections() -> list[Published]:
    return published(raw_sections(), HOW)[0]
