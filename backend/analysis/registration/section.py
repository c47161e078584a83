"""One section from its cells to its scores: placed, nudged, checked both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration import match
from backend.analysis.registration.affine import Affine, about, rotation
from backend.analysis.registration.consistency import inverse_consistency
from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.outline import Tissue, tissue_of
from backend.analysis.registration.place import (
    FINE_UM,
    Along,
    CannotPlace,
    Known,
    Placement,
    place,
    side_of,
)
from backend.analysis.registration.scores import FEW, Scores, scores_of

Points = NDArray[np.float64]
Codes = NDArray[np.int64]

#: Cells below which a section cannot be placed.
FEWEST = 50


@dataclass(frozen=True, eq=False)
class Registered:
    """A section in its place.

    uv : (n, 2) right and down in the plane, micrometres; consistency_um : median distance that a
    cell is off after going there and, by a registration the other way, back; None where untested.
    """

    placement: Placement
    uv: Points
    scores: Scores
    consistency_um: float | None


def register_section(
    xy: Points,
    codes: Codes,
    along: Along,
    known: Known,
    correction: Correction | None = None,
    seed: int = 0,
    step: Callable[[float], None] = lambda _: None,
    check_back: bool = True,
) -> Registered:
    """Return a section placed among the pictures of ``along``, and its figures.

    Parameters
    ----------
    xy : (n, 2)
        Cells, micrometres, y growing downwards.
    codes : (n,)
        Region of each cell as the pictures number them; -1 where none.
    known : Known
    correction : Correction, optional
    seed : int
    step : callable
        Told the share done; may raise to stop.
    check_back : bool
        Also register the other way round, for the inverse consistency.

    Raises
    ------
    CannotPlace
    """
    correction = correction or Correction()
    tissue, marks = _marks(xy, codes, along, known, correction, seed)
    found = nudged(place(marks, along, known, seed, step), xy, correction)
    tissue = _seen(tissue, known, found)
    step(0.9)
    picture = along.picture(found.position_um, FINE_UM, side_of(found.part))
    back = inverse_consistency(found, picture, xy, codes, tissue, seed) if check_back else None
    return Registered(found, found(xy), scores_of(found, picture, xy, codes, tissue), back)


def _marks(
    xy: Points, codes: Codes, along: Along, known: Known, correction: Correction, seed: int
) -> tuple[Tissue, match.Marks]:
    if len(xy) < FEWEST:
        raise CannotPlace(f"The section has {len(xy)} cells.", f"Give {FEWEST} or more.")
    middle = sum(along.span) / 2
    n_regions = along.picture(middle, FINE_UM * 2).n_regions
    tissue = tissue_of(xy, known.part == "window", known.is_framed)
    if not tissue.mask.any():
        raise CannotPlace("The cells lie too far apart to tell tissue.", "Check the unit of xy.")
    pairs = np.array(correction.landmarks, np.float64).reshape(-1, 4)
    marks = match.marks_of(xy, codes, n_regions, tissue, pairs, seed)
    if known.centred_code is not None:
        marks = marks.with_more(_middle_line(xy), known.centred_code)
    return tissue, marks


def _seen(tissue: Tissue, known: Known, found: Placement) -> Tissue:
    """Return the tissue; without surroundings if the section turned out to be a window."""
    return tissue.unframed() if found.part == "window" and known.part is None else tissue


def _middle_line(xy: Points) -> Points:
    """Return points down the middle of a section's rectangle."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    down = np.linspace(low[1], high[1], 40)
    return np.column_stack([np.full(len(down), (low[0] + high[0]) / 2), down])


def nudged(found: Placement, xy: Points, correction: Correction) -> Placement:
    """Return a placement moved as a person wants it, about the middle of the section."""
    if not correction.is_nudged:
        return found
    centre = found(xy).mean(axis=0)
    goal = centre + [correction.shift_right_um, correction.shift_down_um]
    turn: Affine = about(rotation(correction.rotate_deg), centre, goal)
    return replace(found, nudge=turn)


def held_out(
    xy: Points,
    codes: Codes,
    along: Along,
    known: Known,
    seed: int = 0,
    step: Callable[[float], None] = lambda _: None,
) -> dict[str, object] | None:
    """Return how well regions are met that the registration did not see.

    Half of the regions are hidden, the section is registered by the others and by its outline, and
    the hidden ones are scored; then the other half. No region is both used and scored.

    Returns
    -------
    dict or None
        ``agreement`` and ``off_um`` per stage over both halves, ``n_cells``; None with fewer than
        four regions.
    """
    present = [c for c in np.unique(codes[codes >= 0]) if np.sum(codes == c) >= FEW]
    if len(present) < 4:
        return None
    halves = _halves(present, codes, seed)
    parts = []
    for i, hidden in enumerate(halves):
        seen = np.where(np.isin(codes, hidden), -1, codes)
        part = replace_step(step, i / 2, (i + 1) / 2)
        made = register_section(xy, seen, along, known, None, seed, part, check_back=False)
        picture = along.picture(made.placement.position_um, FINE_UM, side_of(made.placement.part))
        scored = np.where(np.isin(codes, hidden), codes, -1)
        tissue = tissue_of(xy, known.part == "window", known.is_framed)
        tissue = _seen(tissue, known, made.placement)
        parts.append(scores_of(made.placement, picture, xy, scored, tissue))
    n = np.array([p.n_cells for p in parts], float)
    return {
        "agreement": _pooled([p.agreement or {} for p in parts], n),
        "off_um": _pooled([p.off_um or {} for p in parts], n),
        "n_cells": int(n.sum()),
        "n_regions": len(present),
    }


def _halves(present: Sequence[int], codes: Codes, seed: int) -> tuple[list[int], list[int]]:
    """Return two halves of the regions, alike in size: of each two next in size, one each."""
    rng = np.random.default_rng(seed)
    ranked = sorted(present, key=lambda c: -int(np.sum(codes == c)))
    halves: tuple[list[int], list[int]] = ([], [])
    for i in range(0, len(ranked), 2):
        pair = list(rng.permutation(ranked[i : i + 2]))
        halves[0].append(int(pair[0]))
        halves[1].extend(int(c) for c in pair[1:])
    return halves


def _pooled(parts: Sequence[dict[str, float]], n: NDArray[np.float64]) -> dict[str, float]:
    return {
        stage: float(sum(p[stage] * m for p, m in zip(parts, n, strict=True)) / n.sum())
        for stage in parts[0]
    }


def replace_step(step: Callable[[float], None], low: float, high: float) -> Callable[[float], None]:
    """Return a report whose 0..1 is low..high of another."""
    return lambda share: step(low + (high - low) * share)
