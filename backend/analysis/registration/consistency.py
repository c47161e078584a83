"""The registration the other way round: a reference's regions laid on the section's cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration import match
from backend.analysis.registration.affine import Freedom
from backend.analysis.registration.outline import Tissue
from backend.analysis.registration.picture import Picture
from backend.analysis.registration.place import Placement
from backend.analysis.registration.section_picture import picture_of

Points = NDArray[np.float64]

#: Cells that are sent there and back.
SENT = 2000


def inverse_consistency(
    placed: Placement,
    picture: Picture,
    xy: Points,
    codes: NDArray[np.int64],
    tissue: Tissue,
    seed: int,
) -> float:
    """Return the median distance, micrometres, of cells from where they come back to.

    Cells go to the plane by ``placed`` and come back by an affine that is fitted from the picture
    to the section, starting from the inverse of the affine of ``placed``.
    """
    section = picture_of(xy, codes, picture.n_regions, tissue)
    centres = picture.centres(picture.tissue)
    on = tissue.has(placed.back(centres))
    codes_there = _codes_at(picture, centres[on])
    there = Tissue(picture.tissue, ~picture.tissue, picture.origin, picture.step)
    marks = match.marks_of(
        centres[on], codes_there, picture.n_regions, there, np.zeros((0, 4)), seed
    )
    kept = tissue.has(placed.back(marks.points)) | (marks.codes == picture.n_regions + 1)
    if placed.part == "window":
        kept &= marks.codes != picture.n_regions + 1
    marks = marks.those(kept)
    start = placed.affine.then(placed.nudge).inverse()
    scales = np.linalg.svd(placed.affine.matrix, compute_uv=False)
    free = Freedom(float(max(scales.max(), 1 / scales.min())) * 1.05, 1.12)
    way_back = match.align(marks, section, start, free, 40, seed)
    rows = np.random.default_rng(seed).permutation(len(xy))[:SENT]
    off = way_back(placed(xy[rows])) - xy[rows]
    return float(np.median(np.hypot(*off.T)))


def _codes_at(picture: Picture, points: Points) -> NDArray[np.int64]:
    """Return the region at points, the smallest where several overlap; -1 where none."""
    found = np.full(len(points), -1, np.int64)
    sizes = picture.masks.reshape(picture.n_regions, -1).sum(axis=1)
    for code in np.argsort(-sizes, kind="stable"):
        if sizes[code]:
            inside = picture.contains(points, np.full(len(points), code))
            found[inside] = code
    return found
