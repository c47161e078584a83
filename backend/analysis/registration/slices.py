"""Pictures of the reference at any place along an axis, finer than its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from backend.analysis.registration.picture import Picture, half_of, padded, stack_masks
from backend.analysis.registration.planes import Plane
from backend.analysis.registration.reference import Reference
from backend.analysis.registration.terms import MIDLINE, Term

#: Half the width of the midline, micrometres.
MIDLINE_UM = 75.0

Field = NDArray[np.float64]


class Slices:
    """Slices of a reference through the regions that a section names.

    Parameters
    ----------
    reference : Reference
    plane : Plane
    regions : sequence of tuple of Term
        What each code of the section stands for.
    area : tuple of Term
        What windows were cut from.
    """

    def __init__(
        self,
        reference: Reference,
        plane: Plane,
        regions: Sequence[tuple[Term, ...]],
        area: tuple[Term, ...] = (),
    ) -> None:
        self.reference = reference
        self.plane = plane
        self.regions = tuple(regions)
        self.area = area
        self._axes = (plane.through, plane.down, plane.right)
        self._picture = lru_cache(maxsize=24)(self._made)

    @property
    def span(self) -> tuple[float, float]:
        """First and last place along the axis, micrometres."""
        axis = self.plane.through
        start, n = self.reference.start_um[axis], self.reference.labels.shape[axis]
        return start, start + (n - 1) * self.reference.step_um

    @property
    def middle(self) -> float | None:
        """Midline of the slices, right, micrometres; None where it does not run through them."""
        if self.plane.right != 2:
            return None
        start, n = self.reference.start_um[2], self.reference.labels.shape[2]
        return start + (n - 1) / 2 * self.reference.step_um

    def picture(self, position_um: float, step: float, part: str = "whole") -> Picture:
        """Return the picture at a position; ``part`` may be whole, left or right."""
        return self._picture(round(float(position_um), 1), step, part)

    def _made(self, position_um: float, step: float, part: str) -> Picture:
        if part != "whole" and self.middle is not None:
            return half_of(self.picture(position_um, step), self.middle, part == "left")
        tissue = self._inside(self._slab(self.reference.labels > 0, position_um), step)
        found: dict[Term, NDArray[np.bool_]] = {}
        masks = []
        for terms in (*self.regions, self.area):
            mask = np.zeros(tissue.shape, bool)
            for term in terms:
                if term not in found:
                    found[term] = self._term(term, position_um, step)
                mask |= found[term]
            masks.append(mask)
        down, right = self.plane.down, self.plane.right
        start, coarse = self.reference.start_um, self.reference.step_um
        origin = [start[right] - coarse / 2 + step / 2, start[down] - coarse / 2 + step / 2]
        regions = stack_masks(masks[:-1], tissue.shape)
        return padded(regions, tissue, origin, step, masks[-1] if self.area else None)

    def _term(self, term: Term, position_um: float, step: float) -> NDArray[np.bool_]:
        if term.acronym == MIDLINE:
            return self._midline(position_um, step)
        inside = self._inside(self._slab(self.reference.mask(term.acronym), position_um), step)
        if term.depth is None or not inside.any():
            return inside
        near, far = self._pair(self.reference.depth, position_um)
        depth = self._fine(_blend(_filled(near), _filled(far), self._share(position_um)), step)
        return np.asarray(inside & (depth >= term.depth[0]) & (depth < term.depth[1]))

    def _midline(self, position_um: float, step: float) -> NDArray[np.bool_]:
        tissue = self._inside(self._slab(self.reference.labels > 0, position_um), step)
        if self.middle is None:
            return np.zeros_like(tissue)
        left = self.reference.start_um[2] - self.reference.step_um / 2 + step / 2
        x = left + np.arange(tissue.shape[1]) * step
        return np.asarray(tissue & (np.abs(x - self.middle) <= MIDLINE_UM))

    @cached_property
    def usual(self) -> tuple[float, float] | None:
        """Mean place of the area along the axis and its spread, micrometres; None without one."""
        if not self.area:
            return None
        mask = np.logical_or.reduce([self.reference.mask(t.acronym) for t in self.area])
        axis = self.plane.through
        weight = mask.sum(axis=tuple(a for a in range(3) if a != axis)).astype(float)
        places = self.reference.start_um[axis] + np.arange(len(weight)) * self.reference.step_um
        mean = float(weight @ places / weight.sum())
        return mean, float(np.sqrt(weight @ (places - mean) ** 2 / weight.sum()))

    def _place(self, position_um: float) -> float:
        axis = self.plane.through
        place = (position_um - self.reference.start_um[axis]) / self.reference.step_um
        return float(np.clip(place, 0, self.reference.labels.shape[axis] - 1))

    def _share(self, position_um: float) -> float:
        place = self._place(position_um)
        return place - int(place)

    def _pair(self, volume: NDArray[np.generic], position_um: float) -> list[NDArray[np.generic]]:
        """Return the two slices around a position, (down, right) each."""
        first = int(self._place(position_um))
        last = min(first + 1, self.reference.labels.shape[self.plane.through] - 1)
        turned = volume.transpose(self._axes)
        return [turned[first], turned[last]]

    def _slab(self, volume: NDArray[np.bool_], position_um: float) -> Field:
        """Return the signed distance to a region, voxels, between two slices."""
        near, far = self._pair(volume, position_um)
        return _blend(_signed(near), _signed(far), self._share(position_um))

    def _inside(self, signed: Field, step: float) -> NDArray[np.bool_]:
        return np.asarray(self._fine(signed, step) < 0)

    def _fine(self, field: Field, step: float) -> Field:
        """Return a field of voxels interpolated at pixels of ``step`` micrometres."""
        rows = _between(field.shape[0], self.reference.step_um, step)
        columns = _between(field.shape[1], self.reference.step_um, step)
        return np.asarray(rows @ field @ columns.T)


def _signed(mask: NDArray[np.generic]) -> Field:
    """Return the distance to the border of a mask, below zero inside; voxels."""
    if not mask.any():
        return np.full(mask.shape, 1e3)
    outside = distance_transform_edt(mask == 0)
    inside = distance_transform_edt(np.pad(mask != 0, 1))[1:-1, 1:-1]
    return np.asarray(np.where(mask != 0, 0.5 - inside, outside - 0.5))


def _filled(depth: NDArray[np.generic]) -> Field:
    """Return the depth with that of the nearest cortex elsewhere; 9 where there is none."""
    values = np.asarray(depth, np.float64)
    missing = np.isnan(values)
    if missing.all():
        return np.full(values.shape, 9.0)
    at = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(at)])


def _blend(near: Field, far: Field, share: float) -> Field:
    return near * (1 - share) + far * share


@lru_cache(maxsize=32)
def _between(n: int, coarse: float, fine: float) -> Field:
    """Return the matrix (pixels, voxels) of linear interpolation along one axis."""
    centres = (np.arange(int(round(n * coarse / fine))) + 0.5) * fine / coarse - 0.5
    centres = np.clip(centres, 0, n - 1)
    first = np.minimum(centres.astype(int), n - 2)
    share = centres - first
    matrix = np.zeros((len(centres), n))
    rows = np.arange(len(centres))
    matrix[rows, first] = 1 - share
    matrix[rows, first + 1] += share
    return matrix
