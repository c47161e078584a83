"""Pairs of cells: distances, seeds, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from backend.core.errors import BadRequest, TooFewCells
from backend.models.spatialformer.pairs import (
    EASY_NEGATIVE,
    HARD_NEGATIVE,
    POSITIVE,
    cell_graph,
    refuse_few,
    sample_pairs,
)


def test_the_graph_joins_cells_within_the_radius_both_ways() -> None:
    xy = np.array([[0, 0], [20, 0], [45, 0], [200, 0]], np.float32)
    graph = cell_graph(xy, 30).toarray()
    assert np.array_equal(graph, [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])


def test_pairs_lie_as_far_apart_as_their_kind_says() -> None:
    xy = np.random.default_rng(0).uniform(0, 500, (600, 2)).astype(np.float32)
    pairs = sample_pairs(xy, seed=1)
    apart = np.linalg.norm(xy[pairs.a].astype(float) - xy[pairs.b], axis=1)
    assert apart[pairs.kind == POSITIVE].max() <= 30
    hard = apart[pairs.kind == HARD_NEGATIVE]
    assert hard.min() >= 80
    assert hard.max() <= 150
    assert apart[pairs.kind == EASY_NEGATIVE].min() > 150
    assert (pairs.a != pairs.b).all()


def test_one_seed_gives_the_same_pairs_and_another_gives_others() -> None:
    xy = np.random.default_rng(0).uniform(0, 400, (300, 2)).astype(np.float32)
    first, again, other = (sample_pairs(xy, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.b, again.b)
    assert not np.array_equal(first.b[:50], other.b[:50])


def test_cells_without_places_and_wide_radii_are_refused() -> None:
    xy = np.array([[0, 0], [np.nan, 1]], np.float32)
    with pytest.raises(BadRequest, match="1 of 2 cells have no coordinates"):
        sample_pairs(xy, 0)
    with pytest.raises(BadRequest, match="between 0 and 80"):
        sample_pairs(xy, 0, radius=90)


def test_too_few_pairs_are_counted_and_the_need_is_named() -> None:
    xy = np.array([[0, 0], [20, 0], [100, 0]], np.float32)
    with pytest.raises(TooFewCells, match=r"6 within the radius.*100 of each"):
        refuse_few(sample_pairs(xy, 0))
