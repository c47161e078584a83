from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit
from backend.models.common.prep import Prepared, gene_statistics
from backend.models.fusemap.average import average, fit_average
from backend.models.fusemap.references import Reference, make_references
from backend.models.fusemap.space import fit_space, map_cells


def two_panels() -> list[Reference]:
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 14))
    prepared, places = [], []
    for genes in (np.arange(11), np.arange(3, 14)):
        y = rng.normal(size=(600, 3)) @ loadings[:, genes] + 0.7 * rng.normal(size=(600, 11)) + 5
        x = csr_matrix(y)
        prepared.append(Prepared(x, genes, *gene_statistics(x)))
        places.append(rng.random((600, 2)).astype(np.float32))
    return make_references([("a", "a"), ("b", "b")], prepared, places, 14)


def test_average_scores_are_the_mean_of_the_scores_of_its_members() -> None:
    references = two_panels()
    spaces = [fit_space(references, 14, FactorFit(k, 20), RunContext()) for k in (2, 3, 4)]
    whole = average(spaces, references, dimensions=9)
    for r in references:
        mean = np.zeros((600, 14))
        for space in spaces:
            z = map_cells(space, r.prepared, r.graph, space.noise[r.id]).z
            mean += z @ space.embedding.T / 3
        z = map_cells(whole, r.prepared, r.graph, whole.noise[r.id]).z
        np.testing.assert_allclose(z @ whole.embedding.T, mean, atol=1e-6)


def test_first_directions_hold_most_of_the_scores() -> None:
    references = two_panels()
    spaces = [fit_space(references, 14, FactorFit(k, 20), RunContext()) for k in (2, 3, 4)]
    full, short = (average(spaces, references, d) for d in (9, 3))
    r = references[0]
    scores = [
        map_cells(s, r.prepared, r.graph, s.noise[r.id]).z @ s.embedding.T for s in (full, short)
    ]
    left = ((scores[0] - scores[1]) ** 2).sum() / (scores[0] ** 2).sum()
    assert short.embedding.shape == (14, 3)
    assert left < 0.05


def test_single_number_of_factors_is_a_plain_space() -> None:
    found = fit_average(two_panels(), 14, (2,), 5, RunContext())
    assert found.members == ()
    assert found.noise["a"].shape == (11,)


def test_panel_never_fitted_is_adapted_in_every_member() -> None:
    references = two_panels()
    space = fit_average(references, 14, (2, 3), 20, RunContext())
    r = references[0]
    known = map_cells(space, r.prepared, r.graph, space.noise["a"]).z
    adapted = map_cells(space, r.prepared, r.graph).z
    for a, b in zip(known.T, adapted.T, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.98
