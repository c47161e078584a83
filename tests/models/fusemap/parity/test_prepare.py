from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import TooFewCells
from backend.models.fusemap.parity.graph import published_graph
from backend.models.fusemap.parity.prepare import Measured, published, union

SQUARE = np.array([[0, 0], [1, 0], [0, 1], [1, 1.1]], dtype=np.float32)


def _section(counts: list[list[float]], genes: str) -> Measured:
    return Measured(csr_matrix(np.array(counts, dtype=np.float32)), genes.split(), SQUARE)


def test_counts_are_scaled_to_the_median_total_and_to_unit_variance_without_centring() -> None:
    counts = [[8, 0], [6, 2], [2, 14], [0, 8]]
    x = published(_section(counts, "b a"))
    logged = np.log1p(np.array(counts)[:, ::-1] * np.array([1, 1, 0.5, 1])[:, None])
    assert x.genes == ("A", "B")
    np.testing.assert_allclose(x.x.toarray(), logged / logged.std(axis=0, ddof=1), rtol=1e-5)


def test_rare_genes_and_empty_cells_are_left_out_and_the_rows_kept_are_told() -> None:
    counts = [[9, 0, 1, 1], [7, 2, 0, 1], [1, 2, 1, 1], [8, 9, 0, 0]]
    x = published(
        Measured(
            csr_matrix(np.array(counts, dtype=np.float32)),
            ["a", "b", "c", "d"],
            SQUARE,
        )
    )
    assert x.genes == ("A", "B")
    assert x.cells.tolist() == [0, 1, 3]
    assert x.graph.shape == (3, 3)


def test_values_above_ten_are_clipped() -> None:
    counts = np.zeros((500, 2), dtype=np.float32)
    counts[:, 0] = 10
    counts[7, 1] = 10_000
    xy = np.random.default_rng(0).uniform(0, 9, (500, 2)).astype(np.float32)
    x = published(Measured(csr_matrix(counts), ["a", "b"], xy))
    assert x.x.max() == 10.0


def test_values_that_are_no_counts_are_used_as_they_are() -> None:
    values = [[0.5, 1.5], [0.0, 2.0], [3.0, -1.0], [0.1, 0.0]]
    x = published(_section(values, "a b"))
    np.testing.assert_allclose(x.x.toarray(), values, rtol=1e-6)


def test_a_gene_that_comes_twice_counts_once() -> None:
    x = published(_section([[9, 5, 2], [8, 0, 4], [7, 1, 3], [9, 2, 2]], "Sst SST vip"))
    assert x.genes == ("SST", "VIP")
    assert x.repeated == 1
    assert union([x, published(_section([[9, 5], [8, 0], [7, 1], [9, 2]], "Aqp4 vip"))]) == (
        "AQP4", "SST", "VIP",
    )  # fmt: skip


def test_a_section_without_anything_left_is_refused() -> None:
    with pytest.raises(TooFewCells, match="published filters"):
        published(_section([[1, 0], [0, 1], [0, 0], [1, 1]], "a b"))


def test_a_graph_keeps_long_edges_and_leaves_a_second_cell_at_one_place_alone() -> None:
    xy = np.concatenate([SQUARE, [[50, 50], [0, 0]]]).astype(np.float32)
    graph = published_graph(xy).toarray()
    np.testing.assert_array_equal(graph, graph.T)
    assert graph[4].astype(bool).sum() > 1
    assert graph[0].astype(bool).sum() + graph[5].astype(bool).sum() == 1 + 1 + 2
    assert sorted([graph[0, 0] == 1.0, graph[5, 5] == 1.0]) == [False, True]


def test_cells_on_a_line_have_no_triangulation() -> None:
    with pytest.raises(TooFewCells, match="span no triangle"):
        published_graph(np.array([[0, 0], [1, 0], [2, 0], [3, 0]], dtype=np.float32))
