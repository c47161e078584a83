"""The registration the other way round: a reference's regions laid on the section's cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.analysis.registration import match
from backend.analysis.registration.affine import Freedom
from backend.analysis.registration.outline import Tissue
from backend.analysis.registration.picture import Picture, padded
from backend.analysis.registration.place import Placement

Points = NDArray[np.float64]

#: Side of pixels of the section's picture, micrometres.
STEP_UM = 50.0
#: A pixel takes the region of the nearest labelled cell within so many pixels.
REACH = 3.0
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
    marks = match.Marks(
        marks.points[kept], marks.codes[kept], marks.weight[kept], there, marks.pairs
    )
    start = placed.affine.then(placed.nudge).inverse()
    scales = np.linalg.svd(placed.affine.matrix, compute_uv=False)
    free = Freedom(float(max(scales.max(), 1 / scales.min())) * 1.05, 1.12)
    way_back = match.align(marks, section, start, free, 40, seed)
    rows = np.random.default_rng(seed).permutation(len(xy))[:SENT]
    off = way_back(placed(xy[rows])) - xy[rows]
    return float(np.median(np.hypot(*off.T)))


def picture_of(
    xy: Points, codes: NDArray[np.int64], n_regions: int, tissue: Tissue, step: float = STEP_UM
) -> Picture:
    """Return the picture of a section: each pixel of tissue has the region of its nearest cell."""
    low = tissue.origin - tissue.step / 2
    size = np.array(tissue.mask.shape)[::-1] * tissue.step
    w, h = np.ceil(size / step).astype(int)
    y, x = np.mgrid[0:h, 0:w]
    centres = low + step / 2 + np.column_stack([x.ravel(), y.ravel()]) * step
    inside = tissue.has(centres)
    labelled = np.flatnonzero(codes >= 0)
    masks = np.zeros((n_regions, h * w), bool)
    if len(labelled):
        far, at = cKDTree(xy[labelled]).query(centres[inside])
        near = far <= REACH * max(step, tissue.step)
        masks[codes[labelled[at[near]]], np.flatnonzero(inside)[near]] = True
    return padded(masks.reshape(n_regions, h, w), inside.reshape(h, w), low + step / 2, step)


def _codes_at(picture: Picture, points: Points) -> NDArray[np.int64]:
    """Return the region at points, the smallest where several overlap; -1 where none."""
    found = np.full(len(points), -1, np.int64)
    sizes = picture.masks.reshape(picture.n_regions, -1).sum(axis=1)
    for code in np.argsort(-sizes, kind="stable"):
        if sizes[code]:
            inside = picture.contains(points, np.full(len(points), code))
            found[inside] = code
    return found
