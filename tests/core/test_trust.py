from __future__ import annotations

import numpy as np

from backend.core.trust import COLUMNS, few_bridges, few_bridges_text, gene_trust


def test_row_is_read_by_name() -> None:
    table = np.arange(2 * COLUMNS, dtype=np.float32).reshape(2, COLUMNS) / 10
    table[1, 4] = 1
    found = gene_trust(table, 1)
    assert found is not None
    assert found.held_out_r == np.float32(0.7)
    assert found.baseline_name == "ridge regression on shared genes"


def test_older_table_of_three_columns_is_read() -> None:
    found = gene_trust(np.array([[0.5, 0.25, 1.0]], np.float32), 0)
    assert found is not None
    assert found.is_tested
    assert found.baseline_name == "nearest neighbours in shared genes"
    assert np.isnan(found.spread)


def test_gene_that_was_never_hidden_is_not_tested() -> None:
    found = gene_trust(np.full((1, COLUMNS), np.nan, np.float32), 0)
    assert found is not None
    assert not found.is_tested
    assert gene_trust(None, 0) is None


def test_flagged_data_sets_come_with_their_number_of_shared_genes() -> None:
    card = {"bridge_genes": {"merfish": 120, "smfish": 22}, "few_bridge_genes": ["smfish"]}
    assert few_bridges(card) == {"smfish": 22}
    assert few_bridges({}) == {}
    assert few_bridges_text("smfish", 22).startswith("smfish shares only 22 genes with other")
