"""Which features are enhanced: those that all sections have, of every counted modality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, vstack

from backend.core.data import Modality, SectionData
from backend.core.errors import BadRequest

#: Subspots times genes returned at most: rate, split and sd are tables of this size.
MOST_VALUES = 40_000_000
#: Genes returned at most unless more are asked for.
MOST_GENES = 2000
COUNTED = ("rna", "protein", "atac")


def chosen_features(
    sections: Sequence[SectionData], most: int, n_subspots: int
) -> tuple[csr_matrix, tuple[str, ...], NDArray[np.int64]]:
    """Return counts of the features that are enhanced, their names, and their modality.

    Parameters
    ----------
    sections : sequence of SectionData
        Features that not all of them have are left out.
    most : int
        Features at most, the most abundant ones; as many as fit where 0.
    n_subspots : int

    Returns
    -------
    (N, g) csr_matrix of float32, tuple of g str, (g,) int64
    """
    tables = [_features(section) for section in sections]
    shared = [n for n in tables[0][1] if all(n in set(names) for _, names, _ in tables[1:])]
    if not shared:
        raise BadRequest("The sections have no gene in common.", "Enhance them one by one.")
    blocks = []
    for counts, names, _ in tables:
        place = {name: i for i, name in enumerate(names)}
        blocks.append(csr_matrix(counts[:, [place[name] for name in shared]]))
    counts = csr_matrix(vstack(blocks, format="csr"), dtype=np.float32)
    kind = dict(zip(tables[0][1], tables[0][2].tolist(), strict=True))
    modality = np.array([kind[name] for name in shared], np.int64)
    abundance = np.asarray(counts.sum(axis=0)).ravel()
    room = max(MOST_VALUES // max(n_subspots, 1), 1)
    keep = np.argsort(-abundance, kind="stable")[: most or min(MOST_GENES, room)]
    keep = np.sort(keep[abundance[keep] > 0])
    return csr_matrix(counts[:, keep]), tuple(shared[i] for i in keep), modality[keep]


def _features(section: SectionData) -> tuple[csr_matrix, tuple[str, ...], NDArray[np.int64]]:
    """Return the counts of all modalities side by side."""
    counted: list[Modality] = [m for m in section.modalities if m.kind in COUNTED and m.features]
    if len(counted) < 2:
        return section.counts, section.genes, np.zeros(len(section.genes), np.int64)
    names = [f if i == 0 else f"{f} ({m.name})" for i, m in enumerate(counted) for f in m.features]
    modality = np.repeat(np.arange(len(counted)), [len(m.features) for m in counted])
    joint = hstack([csr_matrix(m.values) for m in counted], format="csr")
    return csr_matrix(joint), tuple(names), modality
