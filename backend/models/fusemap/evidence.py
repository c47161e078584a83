"""Gather what heads see of the cells of a section: places in spaces, kin, what is unexplained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import block_diag, csr_matrix

from backend.models.common.prep import Prepared
from backend.models.fusemap.heads import Cells
from backend.models.fusemap.kin import kin_graph, shared_residual
from backend.models.fusemap.novelty import robust
from backend.models.fusemap.space import Mapped, Space


@dataclass(frozen=True, slots=True)
class Evidence:
    """What all heads see of a section alike.

    common : (n, 2d) place of cell and niche in the common space
    kin, near : as ``Cells`` has them
    of_kin, of_niche : (n,) unexplained by the common space, alike in kin and in the niche
    """

    common: NDArray[np.float64]
    kin: csr_matrix
    near: csr_matrix | None
    of_kin: NDArray[np.float64]
    of_niche: NDArray[np.float64]

    def cells(self, own: NDArray[np.float64] | None, of_places: bool) -> Cells:
        """Return what one head sees; ``own`` (n, 2k) is None where its space is not looked at."""
        unexplained = self.of_niche if of_places else self.of_kin
        return Cells(
            self.common if own is None else own, self.common, unexplained, self.kin, self.near
        )


def joined(mapped: Mapped) -> NDArray[np.float64]:
    """Return cell and niche side by side, (n, 2k)."""
    return np.concatenate([mapped.z, mapped.niche], axis=1)


def gather(
    prepared: Prepared,
    space: Space,
    mapped: Mapped,
    near: csr_matrix | None,
    seed: int = 0,
    kin: csr_matrix | None = None,
) -> Evidence:
    """Return the evidence of the cells of a section.

    Parameters
    ----------
    prepared : Prepared
    space : Space
        The common space.
    mapped : Mapped
        The cells in it.
    near : (n, n) csr_matrix or None
        Row-normalised neighbours; None without places.
    seed : int
    kin : (n, n) csr_matrix, optional
        Mean over cells that are alike, where it is known.
    """
    kin = kin_graph(prepared, seed) if kin is None else kin
    known = prepared.columns(np.flatnonzero(space.known[prepared.genes]))
    rows = space.embedding[known.genes]
    of_kin = _unusual(shared_residual(known, rows, mapped.z, kin))
    of_niche = of_kin
    if near is not None:
        of_niche = _unusual(shared_residual(known, rows, mapped.z, near))
    return Evidence(joined(mapped), kin, near, of_kin, of_niche)


def _unusual(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Robust deviations from the median of the section."""
    middle, spread = robust(values)
    return (values - middle) / spread


def stacked(parts: list[Cells]) -> Cells:
    """Return the cells of several sections as one; no mean reaches across sections."""
    assert parts, "no section has labelled cells"
    near = [p.near for p in parts if p.near is not None]
    return Cells(
        np.concatenate([p.own for p in parts]),
        np.concatenate([p.common for p in parts]),
        np.concatenate([p.unexplained for p in parts]),
        csr_matrix(block_diag([p.kin for p in parts])),
        csr_matrix(block_diag(near)) if len(near) == len(parts) else None,
    )
