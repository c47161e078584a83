"""The held-out section: a real file, a few unknown genes, a small novel lesion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import StoreExists
from backend.demo.genes import gene_symbols
from backend.demo.markers import LESION
from backend.demo.query import NOVEL, demo_query, simulate_query
from backend.demo.types import type_names


def test_the_file_holds_counts_places_and_truth(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    data = anndata.read_h5ad(demo_query(tmp_path / "query.h5ad", cells=500, genes=400))
    assert data.n_obs == 500
    assert np.issubdtype(data.X.dtype, np.integer)
    assert data.X.min() >= 0
    assert data.obsm["spatial"].shape == (500, 2)
    assert (data.obs["true_type"] == NOVEL).sum() == 15
    assert data.uns["simulated"]
    assert [p.name for p in tmp_path.iterdir()] == ["query.h5ad"]


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "query.h5ad").write_text("mine")
    with pytest.raises(StoreExists):
        demo_query(tmp_path / "query.h5ad", cells=100, genes=60)
    assert (tmp_path / "query.h5ad").read_text() == "mine"


def test_novel_cells_lie_together() -> None:
    query = simulate_query(0, cells=1_000, genes=300)
    novel = query.kind == len(type_names())
    assert novel.sum() == 30
    reach = np.ptp(query.where.xy[novel], axis=0)
    assert (reach < 0.35 * np.ptp(query.where.xy, axis=0)).all()


def test_novel_cells_express_what_no_other_type_does() -> None:
    query = simulate_query(0, cells=1_000, genes=300)
    novel = query.kind == len(type_names())
    gene = next(gene for gene in LESION if gene in query.genes)
    counts = query.counts[:, query.genes.index(gene)].toarray().ravel()
    assert counts[novel].mean() > 5 * counts[~novel].mean()


def test_some_genes_are_unknown_to_the_atlas_and_most_are_known() -> None:
    query = simulate_query(0, cells=200, genes=3_000)
    unknown = set(query.genes) - set(gene_symbols(3_000))
    assert 0 < len(unknown) < 0.1 * len(query.genes)


def test_the_same_seed_gives_the_same_query() -> None:
    one, two = (simulate_query(7, cells=300, genes=100) for _ in range(2))
    assert np.array_equal(one.where.xy, two.where.xy)
    assert (one.counts != two.counts).nnz == 0
    assert np.array_equal(one.kind, two.kind)
