"""How far a placement can be trusted: overlap, regions met, landmarks, both ways, folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration.outline import Tissue
from backend.analysis.registration.picture import Picture
from backend.analysis.registration.place import Placement

Points = NDArray[np.float64]

#: Cells of a region below which it is no landmark.
FEW = 15
#: Grades by overlap (Dice) and share of cells in their region; both have to be reached.
GRADES = (("good", 0.9, 0.6), ("fair", 0.8, 0.4))


class Scores(NamedTuple):
    """Figures of one placement.

    dice : overlap of the section's tissue with the reference's, within what the section shows.
    agreement : share of labelled cells in their region, after each stage; None without labels.
    balanced : the same as a mean over regions.
    off_um : mean distance of labelled cells from their region, micrometres, after each stage.
    landmark_um : median distance of centres of regions, micrometres.
    jacobian : least and greatest local change of area of the smooth stage.
    n_cells, n_regions : labelled cells, and regions with at least ``FEW`` of them.
    """

    dice: float
    agreement: dict[str, float] | None
    balanced: dict[str, float] | None
    off_um: dict[str, float] | None
    landmark_um: float | None
    jacobian: tuple[float, float]
    n_cells: int
    n_regions: int

    @property
    def grade(self) -> str:
        """Good, fair or poor; a placement without labelled cells is poor."""
        met = (self.agreement or {}).get("smooth", 0.0)
        return next((g for g, dice, share in GRADES if self.dice >= dice and met >= share), "poor")


def scores_of(
    placed: Placement, picture: Picture, xy: Points, codes: NDArray[np.int64], tissue: Tissue
) -> Scores:
    """Return the figures of a placement.

    Parameters
    ----------
    picture : Picture
        Of the slice and the part that the section was placed in.
    xy : (n, 2)
    codes : (n,)
        Regions; -1 where a cell has none.
    """
    labelled = codes >= 0
    stages: dict[str, Callable[[Points], Points]] = {
        "start": placed.start,
        "affine": placed.affine,
        "smooth": placed,
    }
    jacobian = placed.warp.jacobian()
    agreement, balanced, off = {}, {}, {}
    for name, stage in stages.items():
        agreement[name], balanced[name], off[name] = _met(
            stage(xy[labelled]), codes[labelled], picture
        )
    some = bool(labelled.any())
    return Scores(
        dice(placed, picture, tissue),
        agreement if some else None,
        balanced if some else None,
        off if some else None,
        landmark_residual(placed, picture, xy[labelled], codes[labelled], tissue),
        (float(jacobian.min()), float(jacobian.max())),
        int(labelled.sum()),
        int((np.bincount(codes[labelled], minlength=1) >= FEW).sum()),
    )


def _met(places: Points, codes: NDArray[np.int64], picture: Picture) -> tuple[float, float, float]:
    """Return shares in the own region, of cells and as a mean over regions, and mean distance."""
    if not len(codes):
        return 0.0, 0.0, 0.0
    far, _ = picture.nearest(places, codes)
    inside = far == 0
    per_region = [inside[codes == c].mean() for c in np.unique(codes)]
    reached = far[np.isfinite(far)]
    mean = float(reached.mean()) if len(reached) else float("nan")
    return float(inside.mean()), float(np.mean(per_region)), mean


def dice(placed: Placement, picture: Picture, tissue: Tissue) -> float:
    """Return the overlap of two outlines, 0..1, on the pixels that the section speaks of."""
    every = picture.centres(np.ones_like(picture.tissue))
    seen = Tissue(tissue.mask | tissue.surround, tissue.surround, tissue.origin, tissue.step)
    origins = placed.back(every)
    kept = seen.has(origins) if placed.part == "window" else np.ones(len(every), bool)
    here, there = tissue.has(origins)[kept], picture.tissue.ravel()[kept]
    total = here.sum() + there.sum()
    return float(2 * (here & there).sum() / total) if total else 0.0


def landmark_residual(
    placed: Placement, picture: Picture, xy: Points, codes: NDArray[np.int64], tissue: Tissue
) -> float | None:
    """Return the median distance between centres of regions, micrometres.

    Notes
    -----
    Centres of the reference are of what lies on the section's tissue; a region with parts on both
    sides of the midline has one centre.
    """
    found = []
    for code in np.unique(codes):
        cells = xy[codes == code]
        centres = picture.centres(picture.masks[code])
        if len(cells) < FEW or not len(centres):
            continue
        centres = centres[tissue.has(placed.back(centres))]
        if len(centres) >= FEW:
            found.append(np.hypot(*(placed(cells).mean(axis=0) - centres.mean(axis=0))))
    return float(np.median(found)) if found else None
