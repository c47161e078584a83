from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.analysis.composition import anchors, count_codes, crosstab
from backend.analysis.differential import benjamini_hochberg, differential
from backend.analysis.selection import inside


def test_points_inside_a_concave_polygon_are_found() -> None:
    polygon = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], dtype=float)
    xy = np.array([[0.5, 0.5], [2, 3], [3.5, 2], [5, 1]])
    assert inside(xy, polygon).tolist() == [True, False, True, False]


def test_counts_end_with_the_cells_without_a_label() -> None:
    assert count_codes(np.array([0, 2, 2, -1], dtype=np.int16), 3).tolist() == [1, 0, 2, 1]


def test_crosstab_leaves_out_cells_that_miss_either_label() -> None:
    table = crosstab(np.array([0, 1, 1, -1]), np.array([1, 0, -1, 0]), (2, 2))
    assert table.tolist() == [[0, 1], [1, 0]]


def test_a_name_lies_on_its_ring_and_not_in_the_hole() -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    xy = np.stack([100 * np.cos(angle), 100 * np.sin(angle)], axis=1).astype(np.float32)
    (anchor,) = anchors(xy, np.zeros(400, dtype=np.int16), 1)
    assert np.hypot(anchor.x, anchor.y) == pytest.approx(100, rel=0.1)
    assert anchor.n == 400


def test_a_class_with_few_cells_gets_no_name() -> None:
    xy = np.random.default_rng(0).random((30, 2)).astype(np.float32)
    codes = np.array([0] * 25 + [1] * 5, dtype=np.int16)
    assert [a.code for a in anchors(xy, codes, 2)] == [0]


def test_adjusted_p_matches_a_worked_example() -> None:
    adjusted = benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5]))
    assert adjusted == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])


def test_the_planted_gene_comes_first_with_the_right_sign() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.poisson(1.0, (60, 5)), rng.poisson(1.0, (50, 5))
    b[:, 3] += 6
    table = differential(csr_matrix(a), csr_matrix(b), tuple("vwxyz"))
    assert table[0].gene == "y"
    assert table[0].effect < -1
    assert table[0].p_adjusted < 1e-6
    assert table[0].percent_b == pytest.approx(100)


def test_groups_of_one_cell_are_not_compared() -> None:
    one = csr_matrix(np.ones((1, 2)))
    assert differential(one, one, ("a", "b")) == []
