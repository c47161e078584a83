import numpy as np
import pytest
from scipy.sparse import block_diag, csr_matrix

from backend.core.errors import BadRequest
from backend.models.spatialformer.transformer.communities import louvain
from backend.models.spatialformer.transformer.cooccurrence import (
    Transcripts,
    counts_of,
    gene_cooccurrence,
    within_cells,
)


def clump(x, y, z, genes, cell):
    n = len(genes)
    xyz = np.array([x, y, z]) + 0.1 * np.arange(n)[:, None]
    return xyz, np.array(genes), np.full(n, cell)


def transcripts(*clumps):
    return Transcripts(*(np.concatenate([c[i] for c in clumps]) for i in range(3)))


def test_genes_with_three_copies_in_one_community_co_occur():
    t = transcripts(clump(0, 0, 0, [0, 0, 0, 1, 1, 1, 2, 2], 0), clump(50, 0, 0, [2, 2, 2], 0))
    assert gene_cooccurrence(t, 0).tolist() == [[0, 0, 1]]


def test_clumps_far_apart_or_in_other_cells_do_not_co_occur():
    t = transcripts(clump(0, 0, 0, [0] * 3, 0), clump(0, 0, 9, [1] * 3, 0))
    assert gene_cooccurrence(t, 0).tolist() == []
    t = transcripts(clump(0, 0, 0, [0] * 3, 0), clump(0, 0, 0, [1] * 3, 1))
    assert gene_cooccurrence(t, 0).tolist() == []


def test_depth_counts_and_its_absence_is_said():
    deep = transcripts(clump(0, 0, 0, [0] * 3, 0), clump(0, 0, 9, [1] * 3, 0))
    flat = Transcripts(deep.xyz[:, :2], deep.gene, deep.cell)
    assert gene_cooccurrence(flat, 0).tolist() == [[0, 0, 1]]
    assert "2 dimensions" in flat.said
    assert "3 dimensions" in deep.said


def test_transcripts_outside_of_cells_are_left_out():
    t = transcripts(clump(0, 0, 0, [0] * 3 + [1] * 3, -1))
    assert gene_cooccurrence(t, 0).shape == (0, 3)
    assert counts_of(t, 2, 2).nnz == 0


def test_a_transcript_without_a_place_is_refused():
    t = Transcripts(np.array([[np.nan, 0.0]]), np.array([0]), np.array([0]))
    with pytest.raises(BadRequest, match="no place"):
        gene_cooccurrence(t, 0)


def test_counts_are_transcripts_per_cell_and_gene():
    t = transcripts(clump(0, 0, 0, [0, 1, 1], 0), clump(0, 0, 0, [1], 2))
    assert counts_of(t, 3, 2).toarray().tolist() == [[1, 2], [0, 0], [0, 1]]


def test_edges_join_transcripts_of_the_same_cell_only():
    xyz = np.array([[0.0, 0], [4, 0], [0, 1], [20, 0]])
    graph = within_cells(xyz, np.array([7, 7, 9, 7]), 5.0)
    assert graph.nonzero()[0].tolist() == [0, 1]
    assert graph.nonzero()[1].tolist() == [1, 0]


def clique(n):
    return np.ones((n, n)) - np.eye(n)


def test_two_cliques_with_a_bridge_are_two_communities():
    a = block_diag([clique(5), clique(5)]).tolil()
    a[4, 5] = a[5, 4] = 1
    found = louvain(csr_matrix(a), np.zeros(10, np.int64), 0)
    assert len(set(found[:5])) == len(set(found[5:])) == 1
    assert found[0] != found[9]


def test_a_ring_of_cliques_is_found_by_every_seed():
    a = block_diag([clique(6)] * 4).tolil()
    for i in range(4):
        a[6 * i, (6 * i + 23) % 24] = a[(6 * i + 23) % 24, 6 * i] = 1
    for seed in range(5):
        found = louvain(csr_matrix(a), np.zeros(24, np.int64), seed)
        assert [len(set(found[6 * i : 6 * i + 6])) for i in range(4)] == [1] * 4
        assert len(set(found)) == 4


def test_communities_of_a_graph_do_not_depend_on_other_graphs():
    a = block_diag([clique(5), clique(5)]).tolil()
    a[4, 5] = a[5, 4] = 1
    many = csr_matrix(block_diag([a] * 6))
    found = louvain(many, np.repeat(np.arange(6), 10), 1)
    assert len(set(found)) == 12
    same = louvain(many, np.repeat(np.arange(6), 10), 1)
    assert (found == same).all()
