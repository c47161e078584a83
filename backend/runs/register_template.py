"""Sections laid over one another where no reference is at hand: each on its neighbour's regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.registration.corrections import Correction
from backend.analysis.registration.order import distances, order_sections
from backend.analysis.registration.outline import tissue_of
from backend.analysis.registration.picture import Picture
from backend.analysis.registration.place import CannotPlace, Known
from backend.analysis.registration.planes import AXES, CORONAL, Plane, plane_along
from backend.analysis.registration.section_picture import picture_of
from backend.core.data import SectionInfo
from backend.runs.register_labels import FEW_CELLS, FEW_REGIONS, Prepared
from backend.store.atlas import Atlas

#: Distance between sections whose positions are not known, micrometres.
APART_UM = 200.0
#: Axes along which positions grow towards the front of the brain.
FORWARDS = ("bregma", "coronal")
#: A section is laid on one that is at least this part of its size.
LARGE = 0.8
#: Greatest turn of a section that is tried: an atlas shows its sections upright.
TURN_DEG = 60.0
#: Labels that sections are matched by; the first that the atlas has.
MATCHED_BY = ("region", "type", "class")


@dataclass(frozen=True, eq=False)
class OneSection:
    """A section that is already in its place, as the only picture along the axis."""

    xy: NDArray[np.float64]
    codes: NDArray[np.int64]
    n_regions: int
    position_um: float

    @property
    def span(self) -> tuple[float, float]:
        """First and last position: the same."""
        return self.position_um, self.position_um

    @property
    def middle(self) -> float | None:
        """No midline is known."""
        return None

    @property
    def usual(self) -> tuple[float, float] | None:
        """Nothing is usual."""
        return None

    def picture(self, position_um: float, step: float, part: str = "whole") -> Picture:
        """Return the section as a picture, wherever it is asked for."""
        tissue = tissue_of(self.xy, window=False)
        return picture_of(self.xy, self.codes, self.n_regions, tissue, step)


class Template:
    """The sections of an atlas as their own reference: the middle one, then outwards from it.

    Parameters
    ----------
    atlas : Atlas
        Its sections of the plane that has the most cells are laid over one another.
    """

    def __init__(self, atlas: Atlas) -> None:
        self.about: dict[str, Any] = {
            "name": f"Sections of {atlas.name}",
            "unit": "um",
            "axes": list(AXES),
            "licence": "",
            "size_um": None,
        }
        self.label = next((n for n in MATCHED_BY if n in atlas.labels()), "")
        self.plane, members = _largest_plane(atlas, self.label)
        self._members = {info.id: info for info in members}
        self._atlas = atlas
        self._rank = _ranks(atlas, self.label, members)
        self.root = _root(atlas, self.label, members)
        self._places: dict[str, NDArray[np.float64]] = {}

    def sequence(self, infos: Sequence[SectionInfo]) -> list[SectionInfo]:
        """Return sections in the order in which they can be placed: from the root outwards."""
        middle = self._rank.get(self.root, 0)
        return sorted(infos, key=lambda i: abs(self._rank.get(i.id, 10**9) - middle))

    def placed(self, info: SectionInfo, uv: NDArray[np.float64]) -> None:
        """Take note of a section that has its place."""
        self._places[info.id] = uv

    def prepared(self, atlas: Atlas, info: SectionInfo, said: Correction) -> Prepared:
        """Return a section ready to be laid on its neighbour."""
        if info.id not in self._members:
            raise CannotPlace(
                f"The section is not among the {self.plane.name} ones with '{self.label}' labels "
                "that are laid over one another.",
                "Register with a reference: --reference DIR.",
            )
        neighbour = self._neighbour(info)
        codes, n_regions = self._codes(info), len(atlas.label(self.label).categories)
        other = self._codes(neighbour)
        shared = np.intersect1d(_common(codes), _common(other))
        if len(shared) < FEW_REGIONS:
            raise CannotPlace(
                f"The section shares {len(shared)} classes of '{self.label}' with its neighbour "
                f"'{neighbour.title}'.",
                "Annotate it first, or register with a reference.",
            )
        at = self._places.get(neighbour.id)
        if at is None:
            at = _centred(np.asarray(atlas.xy[neighbour.rows], np.float64))
        kept = np.where(np.isin(codes, shared), codes, -1)
        along = OneSection(at, np.where(np.isin(other, shared), other, -1), n_regions,
                           self._position(info))  # fmt: skip
        position = self._position(info)
        known = Known(position, None, said.part, said.flip or False, True, TURN_DEG)
        names = tuple((c.name,) for c in atlas.label(self.label).categories)
        origin = "the template" if info.id == self.root else f"its neighbour {neighbour.id}"
        return Prepared(kept, self.label, names, self.plane, along, known, origin)

    def _codes(self, info: SectionInfo) -> NDArray[np.int64]:
        return np.asarray(self._atlas.label(self.label).codes[info.rows], np.int64)

    def _neighbour(self, info: SectionInfo) -> SectionInfo:
        """Return the nearest placed section that is about as large; else the root."""
        rank, area = self._rank[info.id], _area(info)
        large = [s for s in self._places if _area(self._members[s]) >= LARGE * area]
        if info.id == self.root or not large:
            return self._members[self.root]
        return self._members[min(large, key=lambda s: abs(self._rank[s] - rank))]

    def _position(self, info: SectionInfo) -> float:
        if all(i.position is not None for i in self._members.values()):
            # Positions from bregma grow forwards, the axis of the space backwards.
            sign = -1.0 if info.axis.lower() in FORWARDS else 1.0
            return sign * 1000.0 * float(info.position or 0.0)
        return APART_UM * self._rank[info.id]


def _largest_plane(atlas: Atlas, label: str) -> tuple[Plane, list[SectionInfo]]:
    groups: dict[Plane, list[SectionInfo]] = {}
    for info in atlas.sections():
        if label and info.id in atlas.attrs["labels"][label]:
            groups.setdefault(plane_along(info.axis) or CORONAL, []).append(info)
    if not groups:
        return CORONAL, []
    return max(groups.items(), key=lambda g: sum(i.n_cells for i in g[1]))


def _root(atlas: Atlas, label: str, members: Sequence[SectionInfo]) -> str:
    """Return the section that is most like all others, among those of many regions."""
    if not members:
        return ""
    counts = _counts(atlas, label, members)
    rich = (counts >= FEW_CELLS).sum(axis=1)
    far = distances(counts).sum(axis=1)
    far[rich < rich.max() / 2] = np.inf
    return members[int(np.argmin(far))].id


def _counts(atlas: Atlas, label: str, members: Sequence[SectionInfo]) -> NDArray[np.int64]:
    array = atlas.label(label)
    n = len(array.categories)
    codes = [np.asarray(array.codes[i.rows]) for i in members]
    return np.stack([np.bincount(c[c >= 0], minlength=n) for c in codes])


def _ranks(atlas: Atlas, label: str, members: Sequence[SectionInfo]) -> dict[str, int]:
    """Return the place of each section in order: by position, else by composition."""
    if not members:
        return {}
    positions = [info.position for info in members]
    if all(p is not None for p in positions):
        ranked = np.argsort([float(p or 0.0) for p in positions], kind="stable")
    else:
        ranked = order_sections(_counts(atlas, label, members), positions)
    return {members[i].id: place for place, i in enumerate(ranked)}


def _area(info: SectionInfo) -> float:
    return info.extent.width * info.extent.height


def _common(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    values, counts = np.unique(codes[codes >= 0], return_counts=True)
    return values[counts >= FEW_CELLS]


def _centred(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(xy - (xy.min(axis=0) + xy.max(axis=0)) / 2)
