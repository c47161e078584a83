from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom

from backend.core.errors import BadRequest
from backend.models.inspire.programs import coherence, diversity, overlaps, specificity, top_genes

NAMES = [f"g{i}" for i in range(60)]


def _programs() -> np.ndarray:
    w = np.ones((2, 60))
    w[:, 0] = 30.0  # large everywhere
    w[0, 1:6] = 10.0
    w[1, 6:11] = 10.0
    return w / w.sum(axis=1, keepdims=True)


def test_specific_genes_are_not_the_large_ones() -> None:
    first = top_genes(_programs(), NAMES, np.full(60, 100.0), 5)[0]
    assert first["large"][0]["gene"] == "g0"
    assert {e["gene"] for e in first["specific"]} == {"g1", "g2", "g3", "g4", "g5"}


def test_specificity_is_log2_over_the_mean_of_the_others() -> None:
    w = np.array([[0.8, 0.2], [0.2, 0.8]])
    floor = 0.1 / 2
    assert specificity(w)[0, 0] == pytest.approx(np.log2((0.8 + floor) / (0.2 + floor)))


def test_a_planted_gene_set_comes_first_with_its_hypergeometric_p() -> None:
    sets = {"own": ["G1", "G2", "G3", "G4", "G5"], "other": ["g20", "g21", "g22"]}
    best = overlaps(_programs(), NAMES, np.full(60, 100.0), sets, top=5)[0][0]
    assert (best.name, best.shared) == ("own", ("g1", "g2", "g3", "g4", "g5"))
    assert best.p == pytest.approx(hypergeom.sf(4, 60, 5, 5))
    assert best.q == pytest.approx(4 * best.p)  # the smallest of two programs times two sets


def test_sets_of_other_genes_are_refused() -> None:
    with pytest.raises(BadRequest, match="None of 1 gene sets"):
        overlaps(_programs(), NAMES, np.full(60, 100.0), {"x": ["a", "b", "c"]})


def test_diversity_is_the_share_of_top_genes_that_no_other_program_has() -> None:
    w = np.array([[4, 3, 0, 0], [4, 0, 3, 0]], dtype=float)
    assert diversity(w, 2) == pytest.approx(0.5)


def test_coherence_is_one_for_genes_that_always_go_together() -> None:
    seen = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1]])
    assert coherence(np.array([[3.0, 2.0, 0.0]]), seen, 2) == pytest.approx(1.0)
