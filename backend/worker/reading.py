"""How an upload is read: as its preflight card told its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.intake.mapping import ReadMapping


def reading(card: Mapping[str, Any], name: str) -> ReadMapping:
    """Return how to read an upload: as its preflight card told its owner."""
    unit = card.get("xy_unit") or "um"
    return ReadMapping(
        dataset=name,
        title=name.replace("{", "(").replace("}", ")"),
        xy=card.get("coordinates_in") or None,
        scale=1000.0 if unit == "mm" else 1.0,
        xy_unit="px" if unit == "px" else "um",
        counts=card.get("counts_in") or None,
        symbol=card.get("genes_in") or None,
        species="",
        need_places=False,
    )
