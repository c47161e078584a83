from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from backend.core.job import RunContext
from backend.models.common.factors import FactorFit
from backend.models.common.prep import Prepared, gene_statistics
from backend.models.fusemap.core import core_columns
from backend.models.fusemap.references import make_references
from backend.models.fusemap.space import fit_space


def prepared(sd: list[float], genes: list[int]) -> Prepared:
    n = len(genes)
    return Prepared(csr_matrix((4, n)), np.array(genes), np.zeros(n), np.array(sd))


def test_wide_panel_keeps_genes_of_narrow_ones_then_the_most_variable() -> None:
    narrow = prepared([1.0, 1.0], [0, 5])
    wide = prepared([0.1, 0.9, 0.2, 0.8, 0.3, 0.1], [0, 1, 2, 3, 4, 5])
    found = core_columns([narrow, wide], 6, most=3)
    assert [c.tolist() for c in found] == [[0, 1], [0, 1, 5]]


def test_gene_outside_the_core_gets_the_embedding_of_its_copy(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(800, 2))
    y = z @ rng.normal(size=(2, 12)) + 0.5 * rng.normal(size=(800, 12)) + 4
    y[:, 11] = y[:, 0]
    x = csr_matrix(y)
    mean, sd = gene_statistics(x)
    section = Prepared(x, np.arange(12), mean, sd)
    monkeypatch.setattr(
        "backend.models.fusemap.references.core_columns", lambda *_: [np.arange(11)]
    )
    xy = rng.random((800, 2)).astype(np.float32)
    references = make_references([("s", "d")], [section], [xy], 12)
    space = fit_space(references, 12, FactorFit(2, 50), RunContext())
    np.testing.assert_allclose(space.embedding[11], space.embedding[0], atol=0.1)
    assert space.known.all()
    assert space.noise["s"].shape == (12,)
