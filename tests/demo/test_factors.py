"""The simulation's own factors: they follow the true rates, and an embedded demo imputes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.demo import make
from backend.demo.expression import true_log_rate
from backend.demo.factors import WIDTH, embed, factors_of
from backend.demo.genes import gene_model
from backend.demo.make import make_demo
from backend.demo.section import truth
from backend.demo.sections import plan_sections
from backend.store.atlas import Atlas

#: Technology by its place in the plan: cells, and spots that mix cells.
CELLS, SPOTS = 0, 4


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    path = tmp_path_factory.mktemp("demo") / "demo.zarr"
    make_demo(path, sections=5, cells=1_500, genes=80, seed=1, embedded=True)
    return Atlas.open(path)


@pytest.mark.parametrize("place", [CELLS, SPOTS])
def test_imputed_values_follow_the_true_rates(place: int) -> None:
    model = gene_model(60, 0)
    factors = factors_of(model)
    cells = truth(plan_sections(5, 2_000, 0)[place]).cells
    values = embed(factors, cells) * factors.scale @ factors.genes.T + factors.offset
    rates = true_log_rate(model, cells, np.arange(60, dtype=np.int32))
    lively = np.flatnonzero(rates.std(axis=0) > 0.3)
    r = [np.corrcoef(values[:, g], rates[:, g])[0, 1] for g in lively]
    assert values.shape == (cells.n, 60)
    assert np.median(r) > 0.9


def test_no_embedding_is_cut_off() -> None:
    factors = factors_of(gene_model(60, 0))
    found = embed(factors, truth(plan_sections(5, 2_000, 0)[CELLS]).cells)
    assert found.dtype == np.int8
    assert (np.abs(found.astype(int)) == 127).mean() < 0.01


def test_an_embedded_demo_imputes_every_cell_and_says_how(embedded: Atlas) -> None:
    cells, genes = embedded.embedding("cell"), embedded.genes
    assert cells is not None
    assert cells.values.shape == (1_500, WIDTH)
    assert set(cells.sections) == {section.id for section in embedded.sections()}
    assert genes.embedding is not None
    assert genes.embedding.shape == (80, WIDTH)
    assert cells.provenance is not None
    assert cells.provenance.model == "simulated factors, not trained"
    assert "not trained" in embedded.attrs["provenance"]["embeddings"]


def test_stored_embeddings_are_in_the_order_of_the_cells(embedded: Atlas) -> None:
    spec = plan_sections(5, 1_500, 1)[CELLS]
    known = truth(spec)
    info = embedded.section(spec.id)
    names = embedded.names(info.rows)
    order = [int(name.rsplit("_", 1)[1]) for name in names]
    cells = embedded.embedding("cell")
    assert cells is not None
    expected = embed(factors_of(gene_model(80, 1)), known.cells)[order]
    assert np.array_equal(cells.values[info.rows], expected)


def test_a_plain_demo_has_no_embedding(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo.zarr", sections=1, cells=100, genes=40)
    assert Atlas.open(tmp_path / "demo.zarr").embedding("cell") is None


def test_two_processes_write_the_same_bytes_as_one(
    embedded: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "MANY_CELLS", 1)
    monkeypatch.setattr(make.os, "cpu_count", lambda: 2)
    make_demo(tmp_path / "demo.zarr", sections=5, cells=1_500, genes=80, seed=1, embedded=True)
    for one in sorted(Path(str(embedded.path)).rglob("*")):
        other = tmp_path / "demo.zarr" / one.relative_to(str(embedded.path))
        if one.is_file() and one.name != "zarr.json":
            assert one.read_bytes() == other.read_bytes()
