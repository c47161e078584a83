"""How many values a file holds, from its header alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

#: Share of a dense table that is taken to be above zero.
_DENSE_SHARE = 0.3


def stored_values(file: Path) -> int:
    """Return about how many values above zero an h5ad file holds, 0 for other files.

    Of several tables (X, raw, layers) the largest counts, since one is read.
    """
    import h5py

    if file.suffix != ".h5ad":
        return 0
    try:
        with h5py.File(file) as content:
            tables = [content.get("X"), content.get("raw/X"), *content.get("layers", {}).values()]
            return max((_values(table) for table in tables if table is not None), default=0)
    except OSError:
        return 0  # reading it will say what is wrong


def _values(table: Any) -> int:
    if "data" in getattr(table, "keys", list)():
        return int(table["data"].shape[0])
    return int(math.prod(getattr(table, "shape", (0,))) * _DENSE_SHARE)
