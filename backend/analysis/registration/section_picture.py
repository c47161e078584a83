"""A section as a picture: each pixel of its tissue has the region of its nearest cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from backend.analysis.registration.outline import Tissue
from backend.analysis.registration.picture import Picture, padded

Points = NDArray[np.float64]

#: Least side of a pixel, micrometres.
STEP_UM = 50.0
#: A pixel takes the region of the nearest labelled cell within so many pixels of the tissue.
REACH = 1.5


def picture_of(
    xy: Points, codes: NDArray[np.int64], n_regions: int, tissue: Tissue, step: float = STEP_UM
) -> Picture:
    """Return the picture of a section.

    Parameters
    ----------
    xy : (n, 2)
    codes : (n,)
        -1 where a cell has no region.
    n_regions : int
    tissue : Tissue
    step : float
        Side of a pixel, micrometres.
    """
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
