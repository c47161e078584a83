"""Overview levels equal brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backend.store import pyramid
from backend.store.morton import LEVELS


@st.composite
def cells(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 60))
    places = np.sort(draw(hnp.arrays(np.uint64, n, elements=st.integers(0, 63))))
    embedding = draw(hnp.arrays(np.int8, (n, 3)))
    labels = draw(hnp.arrays(np.int16, n, elements=st.integers(-1, 5)))
    return places << np.uint64(2 * (LEVELS - 3)), embedding, labels


@settings(deadline=None)  # the first example compiles the kernels
@given(cells(), st.integers(0, 3))
def test_bins_means_and_tops_equal_brute_force(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], level: int
) -> None:
    codes, embedding, labels = drawn
    node = codes >> np.uint64(2 * (LEVELS - level)) if level else np.zeros_like(codes)
    code, first, count = pyramid.bins(codes, level)
    (means,) = pyramid.mean_embedding(embedding, [first])
    top, tally = pyramid.top_categories(labels, first, 6)
    assert count.sum() == len(codes)
    for i, start in enumerate(first):
        inside = node == node[start]
        assert np.flatnonzero(inside).tolist() == list(range(start, start + int(count[i])))
        np.testing.assert_array_equal(means[i], np.rint(embedding[inside].mean(0)))
        names, sizes = np.unique(labels[inside & (labels >= 0)], return_counts=True)
        order = np.lexsort((names, -sizes))[:3]
        n = len(order)
        assert top[i].tolist() == [*names[order], *[-1] * (3 - n)]
        assert tally[i].tolist() == [*sizes[order], *[0] * (3 - n)]
    assert (np.diff(code.astype(object)) > 0).all()
    holders = pyramid.holders_of(labels, first, 6)
    for c in range(6):
        own = slice(*holders.start[c : c + 2])
        held = {
            i: n for i, start in enumerate(first) if
            (n := int((labels[node == node[start]] == c).sum()))
        }  # fmt: skip
        assert holders.bin[own].tolist() == list(held)
        assert holders.cells[own].tolist() == list(held.values())


@pytest.mark.parametrize("exact", [1 << 15, 3], ids=["short", "long"])
def test_means_of_all_levels_come_from_one_pass(
    exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyramid, "_EXACT", exact)
    monkeypatch.setattr(pyramid, "_mean_levels", pyramid._mean_levels.py_func)
    rng = np.random.default_rng(1)
    codes = np.sort(rng.integers(0, 64, 150).astype(np.uint64)) << np.uint64(2 * (LEVELS - 3))
    cells = rng.integers(-128, 128, (150, 3)).astype(np.int8)
    levels = pyramid.levels_of(codes, (3, 1, 2))
    for level, found in levels.items():
        for a, b in zip(found, pyramid.bins(codes, level), strict=True):
            np.testing.assert_array_equal(a, b)
    firsts = [first for _, first, _ in levels.values()]
    for first, means in zip(firsts, pyramid.mean_embedding(cells, firsts), strict=True):
        edges = [*first.tolist(), 150]
        expected = [np.rint(cells[a:b].mean(0)) for a, b in zip(edges, edges[1:], strict=False)]
        np.testing.assert_array_equal(means, expected)


def test_means_are_rounded_half_to_even() -> None:
    cells = np.array([[0, 1], [1, 2], [-3, 127], [-2, 126]], np.int8)
    (means,) = pyramid.mean_embedding(cells, [np.array([0, 2])])
    assert means.tolist() == [[0, 2], [-2, 126]]


def test_bins_with_many_cells_of_a_class_are_counted_in_full() -> None:
    holders = pyramid.holders_of(np.zeros(70_001, np.int16), np.array([0, 70_000]), 1)
    assert holders.cells.tolist() == [70_000, 1]
    assert holders.cells.dtype == np.uint32
    assert pyramid.holders_of(np.zeros(9, np.int16), np.array([0]), 1).cells.dtype == np.uint16


def test_small_atlases_keep_no_level() -> None:
    assert pyramid.levels_to_keep(np.zeros(100, np.uint64)) == []


def test_levels_are_kept_while_a_tile_is_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "DENSE_TILE", 10)
    spread_out = np.arange(64, dtype=np.uint64) << np.uint64(2 * (LEVELS - 3))
    # Tiles of zoom 0, 1 and 2 hold 64, 16 and 4 of these cells; level 10 is always there.
    assert pyramid.levels_to_keep(spread_out) == [8, 9, 10]
    one_place = np.zeros(64, np.uint64)
    assert pyramid.levels_to_keep(one_place)[:4] == [8, 9, 10, 11]
