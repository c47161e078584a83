"""Second moments of a section: all that an EM iteration needs to see of its cells.

With z = B'y linear in y, the M-step needs only Z'Z/n and Y'Z/n. For a narrow panel both follow from
the gene-gene correlation R = Y'Y/n, computed once, so an iteration does not depend on the number of
cells. For a wide panel R would not fit, and one sparse pass over the cells is made instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.models.common.prep import Prepared, second_moment, weighted_product

#: Panels up to this many genes keep their correlation matrix (at most 12 MB).
WIDEST_CORRELATION = 1_200


class Moments(Protocol):
    """What the fit asks of a section; ``genes`` are the places of its panel in the union."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""

    @property
    def genes(self) -> torch.Tensor:
        """Places of the panel in the union, (p,)."""

    def of(self, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (Z'Z/n, Y'Z/n) of Z = Y b; shapes (k, k) and (p, k)."""

    def without(self, hidden: NDArray[np.bool_]) -> Moments:
        """Return the same without the genes of the union that ``hidden`` marks."""

    def correlation_with(self, v: torch.Tensor) -> torch.Tensor:
        """Return R v for v of shape (p, m)."""

    def sampled(self, n: int, rng: np.random.Generator) -> Moments:
        """Return the moments of n cells drawn anew; of all where they cost nothing."""


@dataclass(frozen=True, slots=True)
class CorrelationMoments:
    """Moments from the (p, p) correlation matrix."""

    n_cells: int
    genes: torch.Tensor
    r: torch.Tensor

    def of(self, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (Z'Z/n, Y'Z/n)."""
        yz = self.r @ b
        return b.T @ yz, yz

    def without(self, hidden: NDArray[np.bool_]) -> CorrelationMoments:
        """Return the same without some genes."""
        keep = _kept(self.genes, hidden)
        return CorrelationMoments(self.n_cells, self.genes[keep], self.r[keep][:, keep])

    def correlation_with(self, v: torch.Tensor) -> torch.Tensor:
        """Return R v."""
        return self.r @ v

    def sampled(self, n: int, rng: np.random.Generator) -> CorrelationMoments:
        """Return all cells: an iteration does not depend on their number."""
        return self


@dataclass(frozen=True, slots=True)
class SparseMoments:
    """Moments from the sparse cells, one pass each time."""

    prepared: Prepared
    genes: torch.Tensor

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.prepared.n_cells

    def of(self, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (Z'Z/n, Y'Z/n)."""
        p = self.prepared
        z = weighted_product(p.x, p.mean, p.sd, b.cpu().numpy())
        yz = (p.x.T @ z - np.outer(p.mean, z.sum(axis=0))) / p.sd[:, None] / self.n_cells
        zz = z.T @ z / self.n_cells
        return torch.from_numpy(zz).to(b), torch.from_numpy(np.asarray(yz)).to(b)

    def without(self, hidden: NDArray[np.bool_]) -> SparseMoments:
        """Return the same without some genes."""
        keep = _kept(self.genes, hidden)
        return SparseMoments(self.prepared.columns(keep.cpu().numpy()), self.genes[keep])

    def correlation_with(self, v: torch.Tensor) -> torch.Tensor:
        """Return R v."""
        return self.of(v)[1]

    def sampled(self, n: int, rng: np.random.Generator) -> SparseMoments:
        """Return n cells, with the statistics of all."""
        if n >= self.n_cells:
            return self
        p = self.prepared
        rows = np.sort(rng.choice(self.n_cells, n, replace=False))
        return SparseMoments(Prepared(csr_matrix(p.x[rows]), p.genes, p.mean, p.sd), self.genes)


def _kept(genes: torch.Tensor, hidden: NDArray[np.bool_]) -> torch.Tensor:
    """Places of a panel that are not hidden."""
    return torch.from_numpy(np.flatnonzero(~hidden[genes.cpu().numpy()])).to(genes.device)


def moments_of(
    prepared: Prepared, device: str = "cpu", places: NDArray[np.int64] | None = None
) -> Moments:
    """Return the moments of a section, of the kind that fits its panel.

    ``places`` are those of its genes among the genes of a fit; in the union where None.
    """
    genes = torch.from_numpy(prepared.genes if places is None else places).to(device)
    if len(prepared.genes) > WIDEST_CORRELATION:
        return SparseMoments(prepared, genes)
    r = second_moment(prepared.x, prepared.mean, prepared.sd)
    return CorrelationMoments(prepared.n_cells, genes, torch.from_numpy(r).to(device))
