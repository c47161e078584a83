"""Which rows of an atlas lie in a tile: two binary searches, whatever the number of cells."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import numpy as np

from backend.core.data import SectionInfo
from backend.core.geometry import TileAddress
from backend.store.flat import Rows
from backend.store.morton import local_range, node_code, node_span

#: Tiles above the slots whose sections are remembered; an atlas of 1,024 slots has a third more.
REMEMBERED = 4096

Parts = list[tuple[SectionInfo, slice]]


class Tree:
    """The quadtree of an atlas, whose slots hold sections.

    Parameters
    ----------
    sections : sequence of SectionInfo
        In storage order.
    codes : callable
        Returns the codes of a section's cells, ascending.
    """

    def __init__(
        self, sections: Sequence[SectionInfo], codes: Callable[[SectionInfo], Rows]
    ) -> None:
        self._sections = sections
        self._codes = codes
        self._starts = [node_code(*section.slot) for section in sections]
        self._above: dict[TileAddress, Parts] = {}

    def rows_in_tile(self, address: TileAddress) -> Parts:
        """Return the sections and rows in a tile of the atlas plane; see ``Atlas``."""
        known = self._above.get(address)
        if known is not None:
            return known
        z, x, y = address.checked()
        code = node_code(z, x, y)
        first = bisect_left(self._starts, code)
        last = bisect_left(self._starts, code + node_span(z))
        if first < last and self._sections[first].slot.level >= z:
            found = [(s, s.rows) for s in self._sections[first:last] if s.n_cells]
            if len(self._above) < REMEMBERED:
                self._above[address] = found
            return found
        # No slot begins in the tile (or a larger one does): at most one slot surrounds it.
        around = bisect_right(self._starts, code) - 1
        if around < 0:
            return []
        section = self._sections[around]
        if code >= self._starts[around] + node_span(section.slot.level):
            return []
        lo, hi = local_range(section.slot, z, x, y)
        start, stop = self._search(section, lo), self._search(section, hi)
        return [(section, slice(start, stop))] if start < stop else []

    def _search(self, section: SectionInfo, code: int) -> int:
        """Return the first row of a section whose code is not below ``code``."""
        if code > 0xFFFFFFFF:
            return section.first + section.n_cells
        codes = np.asarray(self._codes(section))
        return section.first + int(codes.searchsorted(np.uint32(code)))
