"""Where subspots lie within spots: square grids, hexagons, cells, and merged spots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from backend.core.errors import BadRequest
from backend.models.soscope.lattice import Lattice, Shape, fit_lattice

#: Subspots of a hexagonal spot: six around a centre, or six without one.
HEXAGONS = (7, 6)
#: Largest factor of a square grid.
MOST_FACTOR = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """Subspots and the spots that they are in, of one or several sections.

    Parameters
    ----------
    xy : (n, 2) float64
        Subspots.
    parent : (n,) int64, ascending
        Spot of each subspot; every spot has one.
    spots : (N, 2) float64
    section : (N,) int64
        Section of each spot; sections are frames of their own.
    bases : (s, 2, 2) float64
        Steps of the lattice of spots in each section.
    shapes : tuple of s "square" or "hexagon"
    """

    xy: NDArray[np.float64]
    parent: NDArray[np.int64]
    spots: NDArray[np.float64]
    section: NDArray[np.int64]
    bases: NDArray[np.float64]
    shapes: tuple[Shape, ...]

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return len(self.spots)

    @property
    def n_subspots(self) -> int:
        """Number of subspots."""
        return len(self.xy)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Subspots of each spot, (N,)."""
        return np.bincount(self.parent, minlength=self.n_spots)

    @property
    def subspot_section(self) -> NDArray[np.int64]:
        """Section of each subspot, (n,)."""
        return self.section[self.parent]

    @property
    def pitches(self) -> NDArray[np.float64]:
        """Distance of neighbouring spots in each section, (s,)."""
        return np.sqrt((self.bases**2).sum(axis=2)).mean(axis=1)

    @property
    def steps(self) -> NDArray[np.float64]:
        """Typical distance of neighbouring subspots in each section, (s,)."""
        per_spot = np.bincount(self.subspot_section) / np.maximum(np.bincount(self.section), 1)
        return np.asarray(self.pitches / np.sqrt(per_spot))

    def sums(self) -> csr_matrix:
        """Return the operator from subspots to sums over spots, (N, n)."""
        edges = np.concatenate([[0], np.cumsum(self.counts)])
        content = np.ones(self.n_subspots), np.arange(self.n_subspots), edges
        return csr_matrix(content, shape=(self.n_spots, self.n_subspots))

    def means(self) -> csr_matrix:
        """Return the operator from subspots to means over spots, (N, n)."""
        operator = self.sums()
        operator.data /= np.repeat(self.counts, self.counts)
        return operator

    def part(self, spots: NDArray[np.int64]) -> tuple[Layout, NDArray[np.int64]]:
        """Return the layout of some spots, ascending, and the places of their subspots here."""
        chosen = np.zeros(self.n_spots, bool)
        chosen[spots] = True
        rows = np.flatnonzero(chosen[self.parent])
        renamed = np.cumsum(chosen) - 1
        kept = Layout(
            self.xy[rows], renamed[self.parent[rows]], self.spots[spots], self.section[spots],
            self.bases, self.shapes,
        )  # fmt: skip
        return kept, rows


def subdivided(xy: NDArray[np.floating], factor: int, shape: Shape | None = None) -> Layout:
    """Return the layout of one section whose spots are cut into equal parts without gaps.

    Parameters
    ----------
    xy : (N, 2) float
        Spots.
    factor : int
        Square lattice: parts per side, so that a spot has factor x factor subspots. Hexagonal
        lattice: 7 subspots, a centre and six around it that together form a lattice of their own,
        1 / sqrt(7) as wide and turned by 19 degrees; or 6, the triangles that a hexagon is made of.
    shape : "square", "hexagon" or None
        Found from the spots where None.

    Raises
    ------
    BadRequest
        If the factor does not fit the lattice.
    """
    lattice = fit_lattice(xy, shape)
    offsets = offsets_of(lattice, factor)
    places = np.asarray(xy, np.float64)
    fine = (places[:, None] + offsets[None]).reshape(-1, 2)
    parent = np.repeat(np.arange(len(places)), len(offsets))
    return _single(fine, parent, places, lattice.basis, lattice.shape)


def offsets_of(lattice: Lattice, factor: int) -> NDArray[np.float64]:
    """Return the places of subspots around the centre of their spot, (K, 2)."""
    if lattice.shape == "square":
        if not 2 <= factor <= MOST_FACTOR:
            raise BadRequest(
                f"The factor is {factor}.", f"Spots on a square grid take 2 to {MOST_FACTOR}."
            )
        inner = (np.arange(factor) + 0.5) / factor - 0.5
        return np.array([(a, b) for a in inner for b in inner]) @ lattice.basis
    if factor not in HEXAGONS:
        raise BadRequest(
            f"The factor is {factor}, and spots lie on a hexagonal lattice.",
            "Give 7 (six subspots around a seventh) or 6 (triangles), or name the lattice square.",
        )
    if factor == 6:
        return _around(lattice.basis) / 3
    # The lattice of spots is every seventh site of the finer one: a1 = 2 b1 + b2, a2 = 3 b2 - b1.
    fine = np.linalg.inv(np.array([[2.0, 1.0], [-1.0, 3.0]])) @ lattice.basis
    return np.concatenate([_around(fine), np.zeros((1, 2))])


def cells_in_spots(
    cells: NDArray[np.floating], spots: NDArray[np.floating], mask: csr_matrix
) -> tuple[Layout, NDArray[np.int64], NDArray[np.int64]]:
    """Return the layout of single cells within spots.

    Parameters
    ----------
    cells : (c, 2) float
    spots : (N, 2) float
    mask : (N, c) csr_matrix of bool
        Which cell is in which spot; a cell in several is counted for the first.

    Returns
    -------
    Layout, (n,) int64, (m,) int64
        Cells that are in a spot, and spots that have a cell, are kept; which ones.

    Raises
    ------
    BadRequest
        If the mask does not fit, or no cell is in a spot.
    """
    if mask.shape != (len(spots), len(cells)):
        raise BadRequest(
            f"The mask is {mask.shape[0]} x {mask.shape[1]}.",
            f"Expected: {len(spots)} spots x {len(cells)} cells.",
        )
    spot, cell = mask.nonzero()
    if not len(spot):
        raise BadRequest("No cell lies in a spot.", "Check that both are in the same frame.")
    order = np.lexsort((spot, cell))
    spot, cell = spot[order], cell[order]
    first = np.concatenate([[True], cell[1:] != cell[:-1]])
    spot, cell = spot[first], cell[first]
    order = np.lexsort((cell, spot))
    kept, parent = np.unique(spot[order], return_inverse=True)
    lattice = fit_lattice(spots)
    layout = _single(
        np.asarray(cells, np.float64)[cell[order]], parent.astype(np.int64),
        np.asarray(spots, np.float64)[kept], lattice.basis, lattice.shape,
    )  # fmt: skip
    return layout, cell[order].astype(np.int64), kept.astype(np.int64)


def merged(
    xy: NDArray[np.floating],
    factor: int,
    origin: int = 0,
    lattice: Lattice | None = None,
    least: float = 1.0,
) -> tuple[Layout, NDArray[np.int64]]:
    """Return the layout in which spots of one section are the subspots of blocks of them.

    Parameters
    ----------
    xy : (N, 2) float
    factor : int
        Spots per side of a block on a square lattice; on a hexagonal one a spot and its six
        neighbours make a block whatever it is.
    origin : int
        Which of the possible tilings: 0 .. factor^2 - 1, or 0 .. 6.
    lattice : Lattice, optional
    least : float
        Share of a block's spots that must be there for it to be one.

    Returns
    -------
    Layout, (n,) int64
        The layout, and the spots that are in a block.
    """
    places = np.asarray(xy, np.float64)
    lattice = lattice or fit_lattice(places)
    if lattice.shape == "square":
        spot, block, basis = _square_blocks(lattice, factor, origin, least)
    else:
        spot, block, basis = _flowers(lattice, origin, least)
    if not len(spot):
        empty = np.empty(0, np.int64)
        return _single(places[:0], empty, places[:0], basis, lattice.shape), empty
    order = np.lexsort((spot, block))
    spot, block = spot[order], np.unique(block[order], return_inverse=True)[1]
    sums = np.zeros((int(block.max()) + 1, 2))
    np.add.at(sums, block, places[spot])
    centres = sums / np.bincount(block)[:, None]
    return _single(places[spot], block.astype(np.int64), centres, basis, lattice.shape), spot


def joined(layouts: Sequence[Layout]) -> Layout:
    """Return several layouts as one; each keeps its sections."""
    firsts = np.cumsum([0, *(one.n_spots for one in layouts)])
    sections = np.cumsum([0, *(len(one.bases) for one in layouts)])
    pairs = list(zip(layouts, firsts, sections, strict=False))
    return Layout(
        np.concatenate([one.xy for one in layouts]),
        np.concatenate([one.parent + first for one, first, _ in pairs]),
        np.concatenate([one.spots for one in layouts]),
        np.concatenate([one.section + s for one, _, s in pairs]),
        np.concatenate([one.bases for one in layouts]),
        tuple(shape for one in layouts for shape in one.shapes),
    )


def _single(
    xy: NDArray[np.float64],
    parent: NDArray[np.int64],
    spots: NDArray[np.float64],
    basis: NDArray[np.float64],
    shape: Shape,
) -> Layout:
    return Layout(xy, parent, spots, np.zeros(len(spots), np.int64), basis[None], (shape,))


def _around(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the six steps to the neighbours in a hexagonal lattice."""
    a, b = basis
    return np.array([a, b, b - a, -a, -b, a - b])


def _square_blocks(
    lattice: Lattice, factor: int, origin: int, least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return spots in blocks, their blocks, and the steps between blocks."""
    shifted = lattice.sites + np.array(divmod(origin, factor))
    tile = shifted // factor
    code = tile[:, 0] * (int(tile[:, 1].max()) + 1) + tile[:, 1]
    enough = np.bincount(code)[code] >= least * factor**2
    return np.flatnonzero(enough), code[enough], lattice.basis * factor


def _flowers(
    lattice: Lattice, origin: int, least: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return spots in groups of seven, their groups, and the steps between groups."""
    place = {(int(i), int(j)): n for n, (i, j) in enumerate(lattice.sites)}
    around = ((1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1), (0, 0))
    spots: list[int] = []
    block: list[int] = []
    for n, (i, j) in enumerate(lattice.sites):
        if (i - 2 * j - origin) % 7:
            continue
        group = [place.get((int(i + di), int(j + dj)), -1) for di, dj in around]
        found = [spot for spot in group if spot >= 0]
        if len(found) >= least * 7:
            spots += found
            block += [n] * len(found)
    basis = np.array([[2.0, 1.0], [-1.0, 3.0]]) @ lattice.basis
    return np.array(spots, np.int64), np.array(block, np.int64), basis
