"""Slots: never overlapping, large enough, and in readable rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.errors import BadRequest
from backend.core.geometry import Bounds, Slot
from backend.store.morton import node_code, node_span
from backend.store.slots import PlannedSection, plan_slots, storage_order


def section(name: str, side: float, **more: object) -> PlannedSection:
    return PlannedSection(id=name, n_cells=1, extent=Bounds(-3, 7, side - 3, 7 + side / 2), **more)


@given(
    st.lists(
        st.tuples(st.floats(1, 5000), st.sampled_from("abc"), st.integers(-2, 2)),
        min_size=1,
        max_size=60,
    )
)
def test_slots_hold_their_sections_and_do_not_overlap(
    sizes: list[tuple[float, str, int]],
) -> None:
    planned = [section(str(i), side, dataset=d, position=p) for i, (side, d, p) in enumerate(sizes)]
    plan = plan_slots(planned)
    spans = sorted(
        (node_code(*slot), node_code(*slot) + node_span(slot.level)) for slot in plan.slots
    )
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    assert spans[-1][1] <= 1 << 64
    for i, (side, _, _) in enumerate(sizes):
        assert plan.side(i) >= side
        left, top = plan.origin(i, planned[i].extent)
        assert left <= -3
        assert left + plan.side(i) >= side - 3
        assert top <= 7


def test_one_section_fills_the_plane() -> None:
    plan = plan_slots([section("a", 1000)])
    assert plan.slots == (Slot(0, 0, 0),)
    assert plan.world_um == pytest.approx(1040)


def test_small_sections_share_one_place_of_the_grid() -> None:
    planned = [section("large", 1000, dataset="a")]
    planned += [section(f"s{i}", 200, dataset="b") for i in range(16)]
    plan = plan_slots(planned)
    assert plan.grid_level == 1
    assert {slot.level for slot in plan.slots} == {1, 3}


def test_rows_follow_the_axis_from_front_to_back_and_then_animals() -> None:
    planned = [
        section(f"{animal}@{position}", 100, dataset="a", position=position, animal=str(animal))
        for position in (-1.0, 0.5)
        for animal in (10, 9)
    ]
    slots = dict(zip([p.id for p in planned], plan_slots(planned).slots, strict=True))
    assert [slots[i][1:] for i in ("9@0.5", "10@0.5", "9@-1.0", "10@-1.0")] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
    ]


def test_storage_order_is_the_z_curve() -> None:
    assert storage_order([Slot(1, 1, 1), Slot(2, 1, 1), Slot(1, 1, 0)]) == [1, 2, 0]


def test_ids_must_be_unique() -> None:
    with pytest.raises(BadRequest, match="unique: a"):
        plan_slots([section("a", 10), section("a", 10)])
    with pytest.raises(BadRequest, match="no section"):
        plan_slots([])
