"""Whether a section was pretrained on: which sets of genes its cells show, as a few hashes.

A checkpoint keeps the hashes of 64 long cells of each section that it learnt from. Figures of a
section that holds those cells say nothing of tissue that was not seen.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from backend.models.spatialformer.transformer.tokens import Ids, Ranked

#: Cells that are kept of a section, and the share of them that makes it a known one.
KEPT, KNOWN = 64, 0.5


def hashes(cells: Ranked, rows: Ids) -> list[int]:
    """Return a number for the set of genes of each of some cells."""
    return [zlib.crc32(np.sort(cells.of(int(r))).astype("<i8").tobytes()) for r in rows]


def sketch(cells: Ranked) -> list[int]:
    """Return the hashes of at most 64 of the longer cells, evenly spread."""
    long = np.flatnonzero(cells.lengths >= np.median(cells.lengths))
    rows = long[np.linspace(0, len(long) - 1, min(KEPT, len(long))).astype(np.int64)]
    return sorted(hashes(cells, rows))


def pretrained_on(card: Mapping[str, Any], cells: Ranked) -> str:
    """Return the name of the section of a card whose cells these are, or an empty text."""
    own = set(hashes(cells, np.arange(cells.n_cells)))
    for entry in card.get("data", ()):
        kept = entry.get("sketch", ())
        if kept and sum(h in own for h in kept) >= KNOWN * len(kept):
            return str(entry["name"])
    return ""
