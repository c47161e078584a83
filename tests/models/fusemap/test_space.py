from __future__ import annotations

import subprocess
import sys

import numpy as np

from backend.models.common.graphs import delaunay_graph
from backend.models.fusemap.nearest import rank_sections
from backend.models.fusemap.space import niche_mean


def test_niche_of_constant_cells_is_constant_up_to_the_border() -> None:
    graph = delaunay_graph(np.random.default_rng(0).random((60, 2)).astype(np.float32))
    z = np.tile([[2.0, -1.0]], (60, 1))
    np.testing.assert_allclose(niche_mean(z, graph), z, rtol=1e-5)


def test_niche_of_two_cells_is_written_out() -> None:
    graph = delaunay_graph(np.array([[0, 0], [1, 0]], dtype=np.float32))
    out = niche_mean(np.array([[3.0], [0.0]]), graph)
    np.testing.assert_allclose(out, [[2.0], [1.0]])
    np.testing.assert_allclose(niche_mean(np.array([[3.0], [0.0]]), graph, 1), [[1.5], [1.5]])


def test_most_similar_section_has_the_same_niches_and_the_same_mean_expression() -> None:
    genes = np.arange(12)
    own = dict(enumerate(np.arange(12.0)))
    ranked = rank_sections(
        np.array([0.5, 0.5]),
        own,
        {"same": np.array([0.5, 0.5]), "other": np.array([1.0, 0.0])},
        {"same": (genes, np.arange(12.0) ** 2), "other": (genes, -np.arange(12.0))},
    )
    assert [n.section for n in ranked] == ["same", "other"]
    assert (ranked[0].score, ranked[0].is_alike) == (1.0, True)
    assert not ranked[1].is_alike


def test_card_is_read_without_torch() -> None:
    code = "import sys, backend.models.fusemap.card; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
