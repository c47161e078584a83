"""Which node of the atlas quadtree each section owns, so that the montage of all reads well.

All slots share one physical scale. Sections of a data set form one block of equal slots, in rows
along the axis of the brain (or body) and, within a row, by animal; small sections own deeper nodes,
so a block of many small sections is as dense as one large section.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest
from backend.core.geometry import Bounds, Slot
from backend.store.morton import node_code
from backend.store.schema import TILE_BITS

#: Share of a slot's side left empty around a section.
MARGIN = 0.04
#: A block has one row per position as long as this share of its slots is used, else compact rows
#: that still begin anew at every position as long as that share is.
LEAST_FILL, LEAST_COMPACT_FILL = 0.4, 0.55
#: Width to height of a block, and of the montage where there is a choice.
ASPECT = 1.6
#: Sections smaller than 1/2**MAX_DEPTH of the largest do not get smaller slots.
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """What must be known of a section before any is written; the rest is measured from it.

    Fields are those of ``SectionInfo``.
    """

    id: str
    n_cells: int
    extent: Bounds
    title: str = ""
    dataset: str = ""
    technology: str = ""
    species: str = "mouse"
    xy_unit: str = "um"
    axis: str = ""
    position: float | None = None
    animal: str = ""
    parent: str = ""
    licence: str = ""
    citation: str = ""
    simulated: bool = False
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, info: SectionInfo) -> PlannedSection:
        """Return the plan of a section that is already stored."""
        return cls(**{name: getattr(info, name) for name in cls.__dataclass_fields__})

    @property
    def side(self) -> float:
        """Smallest side of a slot for this section, with its margin."""
        return max(self.extent.width, self.extent.height, 1.0) * (1 + MARGIN)


class SlotPlan(NamedTuple):
    """Where sections go: grid level k, side of a slot of that level, and a slot per section."""

    grid_level: int
    side_um: float
    slots: tuple[Slot, ...]

    @property
    def world_um(self) -> float:
        """Side of the atlas plane."""
        return self.side_um * (1 << self.grid_level)

    def side(self, place: int) -> float:
        """Side of the slot of the section at this place."""
        return self.world_um / (1 << self.slots[place].level)

    def origin(self, place: int, extent: Bounds) -> tuple[float, float]:
        """Section coordinates of the slot's corner that centre the section in its slot."""
        half = self.side(place) / 2
        x, y = (extent.left + extent.right) / 2, (extent.top + extent.bottom) / 2
        return x - half, y - half


class _Block(NamedTuple):
    """Sections of one data set at (column, row) of a grid of slots ``depth`` levels below k."""

    depth: int
    width: int
    height: int
    places: dict[int, tuple[int, int]]


def plan_slots(planned: Sequence[PlannedSection]) -> SlotPlan:
    """Return the slots of sections, in the order given.

    Raises
    ------
    BadRequest
        If there is no section, or an id twice.
    """
    ids = [section.id for section in planned]
    if not ids or len(set(ids)) < len(ids):
        twice = sorted({i for i in ids if ids.count(i) > 1})[:3]
        raise BadRequest(
            f"Section ids must be unique: {', '.join(twice)}." if ids else "There is no section.",
            "Give every section its own id.",
        )
    side = max(section.side for section in planned)
    members: dict[str, list[int]] = {}
    for place, section in enumerate(planned):
        members.setdefault(section.dataset, []).append(place)
    groups = [group for _, group in sorted(members.items())]
    area = sum(len(g) / 4 ** _depth(planned, g, side) for g in groups)
    level = max(0, math.ceil(math.log(max(area, 1), 4)))
    while True:
        for wide in (True, False):
            slots = _fit(planned, groups, side, level, wide)
            if slots is not None:
                return SlotPlan(level, side, slots)
        level += 1


def _depth(planned: Sequence[PlannedSection], group: list[int], side: float) -> int:
    """Return how many levels below the grid the slots of a group may lie."""
    largest = max(planned[i].side for i in group)
    return min(MAX_DEPTH, max(0, math.floor(math.log2(side / largest) + 1e-9)))


def _fit(
    planned: Sequence[PlannedSection],
    groups: list[list[int]],
    side: float,
    level: int,
    wide: bool,
) -> tuple[Slot, ...] | None:
    """Return slots on a grid of 2**level, or None if the blocks do not fit.

    Slots lie no deeper than the first pyramid level, so that no bin holds cells of two sections.
    """
    blocks = []
    for group in groups:
        depth = min(_depth(planned, group, side), max(0, TILE_BITS - level))
        sections = [planned[i] for i in group]
        blocks.append(_block(sections, group, depth, 1 << (level + depth), wide))
    blocks.sort(key=lambda b: (b.depth, -b.width * b.height))
    finest = level + max(block.depth for block in blocks)
    taken = np.zeros((1 << finest, 1 << finest), bool)
    slots: dict[int, Slot] = {}
    for block in blocks:
        unit = 1 << (finest - level - block.depth)
        corner = _free_corner(taken, unit, block.width, block.height)
        if corner is None:
            return None
        column, row = corner
        for place, (dx, dy) in block.places.items():
            slots[place] = Slot(level + block.depth, column + dx, row + dy)
        taken[
            row * unit : (row + block.height) * unit, column * unit : (column + block.width) * unit
        ] = True
    return tuple(slots[place] for place in range(len(planned)))


def _block(
    sections: list[PlannedSection], group: list[int], depth: int, widest: int, wide: bool
) -> _Block:
    """Lay out the sections of one data set in rows."""
    order = sorted(range(len(group)), key=lambda i: _reading_order(sections[i]))
    rows = _rows_by_position(sections, order, widest) if wide else []
    width = max(map(len, rows), default=0)
    if not rows or not _is_filled(rows, width, LEAST_FILL) or len(rows) > widest:
        width = _compact_width(len(group), depth, widest)
        rows = _rows_by_position(sections, order, width)
    if not _is_filled(rows, width, LEAST_COMPACT_FILL if not wide else LEAST_FILL):
        width = _compact_width(len(group), depth, widest)
        rows = [order[i : i + width] for i in range(0, len(order), width)]
    places = {group[i]: (x, y) for y, row in enumerate(rows) for x, i in enumerate(row)}
    return _Block(depth, width, len(rows), places)


def _compact_width(count: int, depth: int, widest: int) -> int:
    """Return the width of a block of about the wanted shape, whole slots of the grid if large."""
    width = math.ceil(math.sqrt(count * (ASPECT if count > 2 else 2)))
    full = 1 << depth  # so that blocks join without gaps
    if count > full * full:
        width = -(-width // full) * full
    return max(1, min(width, widest, count))


def _is_filled(rows: list[list[int]], width: int, share: float) -> bool:
    return sum(map(len, rows)) >= share * width * len(rows)


def _rows_by_position(
    sections: list[PlannedSection], order: list[int], width: int
) -> list[list[int]]:
    """Return rows of at most ``width`` sections that all have the same position."""
    rows: list[list[int]] = []
    last: float | None = math.nan
    for i in order:
        position = sections[i].position
        if position != last or len(rows[-1]) == width:
            rows.append([])
        rows[-1].append(i)
        last = position
    return rows


def _reading_order(section: PlannedSection) -> tuple[bool, float, tuple[int, str], str]:
    """Front to back, then by animal, then by id; sections without a position come last."""
    known = section.position is not None
    animal = (int(section.animal) if section.animal.isdecimal() else -1, section.animal)
    return not known, -(section.position or 0.0), animal, section.id


def _free_corner(
    taken: NDArray[np.bool_], unit: int, width: int, height: int
) -> tuple[int, int] | None:
    """Return the (column, row) of the first free rectangle, in units, rows first."""
    n = taken.shape[0] // unit
    if width > n or height > n:
        return None
    coarse = taken.reshape(n, unit, n, unit).any(axis=(1, 3))
    total = np.zeros((n + 1, n + 1), np.int64)
    total[1:, 1:] = coarse.cumsum(0).cumsum(1)
    used = (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )
    rows, columns = np.nonzero(used == 0)
    return (int(columns[0]), int(rows[0])) if len(rows) else None


def storage_order(slots: Sequence[Slot]) -> list[int]:
    """Return the places of slots in the order of the Z-curve, which is the order of rows."""
    return sorted(range(len(slots)), key=lambda i: node_code(*slots[i]))
