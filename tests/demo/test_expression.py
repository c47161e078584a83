"""Counts: whole numbers around the truth, the same in any chunks, markers where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.demo import expression
from backend.demo.expression import (
    Cells,
    _add_exp,
    batch_effects,
    draw_counts,
    true_log_rate,
)
from backend.demo.genes import GeneModel, gene_model
from backend.demo.technologies import Technology, technologies
from backend.demo.types import class_of_type, classes, type_codes


@pytest.fixture(scope="module")
def model() -> GeneModel:
    return gene_model(200, 0)


@pytest.fixture
def plain() -> Technology:
    return technologies()["merfish"]._replace(
        depth=0.0, gene_batch=0.0, section_batch=0.0, dropout=0.0, median=400.0
    )


def cells_of(kinds: list[int]) -> Cells:
    n = len(kinds)
    factors = np.zeros((n, 6), np.float32)
    return Cells(np.arange(n + 1), np.array(kinds, np.int16), np.zeros(n, np.int16), factors)


def all_genes(model: GeneModel) -> np.ndarray:
    return np.arange(len(model.symbols), dtype=np.int32)


def test_counts_are_whole_and_not_negative(model: GeneModel) -> None:
    counts = draw_counts(
        model, cells_of([0, 3, 40] * 20), all_genes(model), technologies()["iss"], (0, 1)
    )
    assert isinstance(counts, csr_matrix)
    assert counts.shape == (60, 200)
    assert (counts.data > 0).all()
    assert np.array_equal(counts.data, np.round(counts.data))


def test_chunks_do_not_change_counts(model: GeneModel, monkeypatch: pytest.MonkeyPatch) -> None:
    args = (model, cells_of([1, 20, 33] * 10), all_genes(model), technologies()["starmap"], (0, 2))
    whole = draw_counts(*args)
    monkeypatch.setattr(expression, "CHUNK_ENTRIES", 800)
    assert (whole != draw_counts(*args)).nnz == 0


def test_entries_at_once_are_bounded(model: GeneModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    draw = expression._draw

    def watched(first: int, last: int, *rest: object) -> object:
        sizes.append((last - first) * 200)
        return draw(first, last, *rest)

    monkeypatch.setattr(expression, "CHUNK_ENTRIES", 1_000)
    monkeypatch.setattr(expression, "_draw", watched)
    draw_counts(model, cells_of([0] * 33), all_genes(model), technologies()["iss"], (0, 3))
    assert max(sizes) <= 1_000
    assert sum(sizes) == 33 * 200


def test_mean_counts_follow_the_true_rate(model: GeneModel, plain: Technology) -> None:
    cells = cells_of([2] * 4_000)
    genes = all_genes(model)
    counts = np.asarray(draw_counts(model, cells, genes, plain, (0, 4)).mean(axis=0)).ravel()
    rate = np.exp(true_log_rate(model, cells, genes, slice(0, 1))[0])
    np.testing.assert_allclose(counts / counts.sum(), rate / rate.sum(), rtol=0.25, atol=4e-4)


def test_a_spot_has_the_mean_rate_of_its_cells(model: GeneModel) -> None:
    genes = all_genes(model)
    pair = cells_of([2, 50])
    spot = pair._replace(start=np.array([0, 2]))
    expected = np.log(np.exp(true_log_rate(model, pair, genes)).mean(axis=0))
    np.testing.assert_allclose(true_log_rate(model, spot, genes)[0], expected, rtol=1e-4)


MARKS = [
    ("Slc17a7", "Cortical excitatory"),
    ("Ppp1r1b", "Striatal projection"),
    ("Tcf7l2", "Thalamic"),
    ("Gad1", "Telencephalic inhibitory"),
]


@pytest.mark.parametrize(("gene", "name"), MARKS, ids=[g for g, _ in MARKS])
def test_markers_of_classes_are_higher_there(model: GeneModel, gene: str, name: str) -> None:
    kinds = list(range(len(type_codes())))
    rate = true_log_rate(model, cells_of(kinds), model.places((gene,)))[:, 0]
    code = [c.name for c in classes()].index(name)
    inside = class_of_type() == code
    assert rate[inside].mean() > rate[~inside].mean() + 1.0


def test_the_marker_of_a_type_shows_in_counts(model: GeneModel) -> None:
    codes = type_codes()
    cells = cells_of([codes["Oligodendrocyte"]] * 200 + [codes["Microglia"]] * 200)
    counts = draw_counts(model, cells, model.places(("Mbp",)), technologies()["xenium"], (0, 5))
    first, second = counts[:200].mean(), counts[200:].mean()
    assert first > 5 * second


def test_a_batch_shares_its_technology(model: GeneModel) -> None:
    merfish, xenium = technologies()["merfish"], technologies()["xenium"]
    one, two = batch_effects(merfish, model, (0, 1)), batch_effects(merfish, model, (0, 2))
    other = batch_effects(xenium, model, (0, 1))
    assert not np.array_equal(one, two)
    assert np.corrcoef(one, two)[0, 1] > 0.8
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.5


def test_the_quick_exponential_is_the_exponential() -> None:
    bend = np.linspace(-20, 20, 4001, dtype=np.float32)
    row, rate = np.full(4001, 2, np.float32), np.ones(4001, np.float32)
    expected = 1 + 2 * np.exp(bend.astype(np.float64))
    _add_exp(row, bend, np.empty(4001, np.int32), rate)
    np.testing.assert_allclose(rate, expected, rtol=5e-7)
