"""Planes, tiles and bounds: micrometres on one side, quadtree addresses on the other.

A plane is a square of side ``side_um`` whose quadtree root is tile (0, 0, 0). y grows downwards.
"""

from __future__ import annotations

from typing import NamedTuple

from backend.core.errors import TileOutOfRange

#: Bits per axis of a cell's Morton code inside its slot.
CODE_BITS = 16
#: Deepest zoom that a tile may have; 2**32 pixels per axis are far below a nanometre here.
MAX_ZOOM = 24


class Bounds(NamedTuple):
    """A rectangle in micrometres, y growing downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width, micrometres."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height, micrometres."""
        return self.bottom - self.top

    def shifted(self, dx: float, dy: float) -> Bounds:
        """Return these bounds moved by (dx, dy) micrometres."""
        return Bounds(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)


class Slot(NamedTuple):
    """A node of the atlas quadtree that one section owns: (level, x, y)."""

    level: int
    x: int
    y: int


class TileAddress(NamedTuple):
    """Tile (z, x, y) of a plane's quadtree."""

    z: int
    x: int
    y: int

    def checked(self) -> TileAddress:
        """Return this address, or raise if it lies outside the quadtree.

        Raises
        ------
        TileOutOfRange
            If z is not in 0..24 or x or y not in 0..2**z - 1.
        """
        if not 0 <= self.z <= MAX_ZOOM:
            raise TileOutOfRange(f"Tile zoom {self.z} is out of range.", f"Use 0 to {MAX_ZOOM}.")
        last = (1 << self.z) - 1
        if not (0 <= self.x <= last and 0 <= self.y <= last):
            raise TileOutOfRange(
                f"Tile x={self.x}, y={self.y} is out of range at zoom {self.z}.",
                f"Use 0 to {last} for both.",
            )
        return self

    def bounds(self, side_um: float) -> Bounds:
        """Return the tile's rectangle in a plane of side ``side_um``."""
        step = side_um / (1 << self.z)
        return Bounds(self.x * step, self.y * step, (self.x + 1) * step, (self.y + 1) * step)
