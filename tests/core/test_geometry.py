from __future__ import annotations

import pytest

from backend.core.errors import TileOutOfRange
from backend.core.geometry import Bounds, TileAddress


def test_a_tile_is_its_share_of_the_plane() -> None:
    assert TileAddress(2, 3, 1).bounds(400.0) == Bounds(300, 100, 400, 200)


@pytest.mark.parametrize("address", [(-1, 0, 0), (25, 0, 0), (1, 2, 0), (1, 0, -1)])
def test_a_tile_outside_the_quadtree_is_refused(address: tuple[int, int, int]) -> None:
    with pytest.raises(TileOutOfRange, match="out of range"):
        TileAddress(*address).checked()


def test_bounds_know_their_size_and_move() -> None:
    box = Bounds(10, 20, 40, 60)
    assert (box.width, box.height) == (30, 40)
    assert box.shifted(-10, 5) == Bounds(0, 25, 30, 65)
