"""What a section must have to be asked: places, units, expression, types; and figures as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.core.data import Label, SectionData
from backend.core.errors import BadRequest, TooFewCells, did_you_mean

#: Types of a matrix at most: the commonest.
MOST_TYPES = 40


def refuse_unusable(section: SectionData) -> None:
    """Refuse a section without places, units or expression, all of it at once."""
    faults = []
    if not section.has_places:
        lost = int((~np.isfinite(section.xy)).any(axis=1).sum())
        faults.append(
            f"{lost:,} of {section.n_cells:,} cells have no coordinates: co-localisation is learnt "
            "from cells with places; dissociated cells can be the query."
        )
    if section.xy_unit != "um":
        faults.append(f"Positions are in {section.xy_unit}, not um: give the scale when reading.")
    if not len(section.genes) or not section.counts.nnz:
        faults.append("It has no expression.")
    if faults:
        raise BadRequest(f"Section '{section.title}' cannot be used.", *faults)


def commonest_types(label: Label) -> list[int]:
    """Return the codes of at most 40 types that have cells, in order of code.

    Raises
    ------
    TooFewCells
        If there are fewer than two.
    """
    codes = np.asarray(label.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(label.categories))
    order = np.argsort(-counts, kind="stable")
    types = sorted(int(t) for t in order[:MOST_TYPES] if counts[t] >= 2)
    if len(types) < 2:
        raise TooFewCells("Fewer than two types have cells here.", "Choose another label.")
    return types


def two_types(label: Label, inside: NDArray[np.int64], names: tuple[str, str]) -> tuple[int, int]:
    """Return the codes of two types by name, of which ``inside`` (n,) must hold cells.

    Raises
    ------
    BadRequest
        Naming every type that is missing.
    """
    at = {c.name.casefold(): i for i, c in enumerate(label.categories)}
    have = set(inside[inside >= 0].tolist())
    faults = []
    for name in dict.fromkeys(names):
        if name.casefold() not in at:
            known = [c.name for c in label.categories]
            hint = did_you_mean(name[:60], known) or f"Types are {', '.join(known[:8])}, ..."
            faults.append(f"There is no type '{name[:60]}'. {hint}")
        elif at[name.casefold()] not in have:
            faults.append(f"No cell of the region is of type '{name[:60]}'.")
    if faults:
        raise BadRequest("Two types are needed for gene pairs.", *faults)
    return at[names[0].casefold()], at[names[1].casefold()]


def plain(value: Any) -> Any:
    """Return figures as JSON holds them: no arrays, no nan."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
