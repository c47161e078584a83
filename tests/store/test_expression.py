"""Counts of a section come back exactly, by gene and by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.store.atlas import Atlas
from backend.store.expression import Expression, kept_cells, write_expression
from backend.store.transpose import packing

COUNTS = np.array([[0, 2, 0], [1, 0, 0], [300, 5, 0]], np.float32)
GENES = np.array([3, 7, 9], np.int32)


@pytest.mark.parametrize("fast", [True, False], ids=["mapped", "zarr"])
def test_columns_and_cells_are_those_written(tmp_path: Path, fast: bool) -> None:
    write_expression(tmp_path / "e", csr_matrix(COUNTS), GENES, "counts")
    measured = Expression(tmp_path / "e", 3, fast)
    rows, values = measured.column(7)
    assert (rows.tolist(), values.tolist()) == ([0, 2], [2, 5])
    assert [len(part) for part in measured.column(9)] == [0, 0]
    assert [len(part) for part in measured.column(4)] == [0, 0]
    assert measured.has(7)
    assert not measured.has(4)
    genes, values = measured.cell(2)
    assert dict(zip(genes.tolist(), values.tolist(), strict=True)) == {3: 300, 7: 5}
    np.testing.assert_array_equal(measured.matrix().toarray(), COUNTS)
    assert measured.unit == "counts"


@pytest.mark.parametrize(
    ("values", "kind", "scale"),
    [
        ([1, 255], np.uint8, 1),
        ([1, 256], np.uint16, 1),
        ([0.125, 38.884], np.uint16, 0.001),
        ([1 / 3], np.float32, 1),
        ([-1.0], np.float32, 1),
        ([], np.uint8, 1),
        ([70_000.0], np.float32, 1),
    ],
)
def test_values_are_packed_without_loss(values: list[float], kind: type, scale: float) -> None:
    given = np.array(values, np.float32)
    found, by = packing(given)
    assert (found, by) == (np.dtype(kind), scale)
    packed = given if found.kind == "f" else np.rint(given / np.float64(by)).astype(found)
    np.testing.assert_array_equal((packed * np.float64(by)).astype(np.float32), given)


def test_sections_share_one_bound_on_what_is_kept(tiny_path: Path) -> None:
    atlas = Atlas.open(tiny_path)
    one, two = atlas.expression("alpha"), atlas.expression("beta")
    assert one is not None
    assert two is not None
    assert one._kept is two._kept
    kept = kept_cells(10)
    small = [
        Expression(tiny_path / f"expression/{name}", atlas.section(name).n_cells, kept=kept)
        for name in ("alpha", "beta")
    ]
    for row in (0, 5):
        for a, b in zip(small, (one, two), strict=True):
            for x, y in zip(a.cell(row), b.cell(row), strict=True):
                np.testing.assert_array_equal(x, y)
            assert kept.n_bytes == a._cells().n_bytes


def test_some_rows_of_a_matrix_are_those_of_the_whole(tiny_path: Path) -> None:
    measured = Atlas.open(tiny_path).expression("alpha")
    assert measured is not None
    whole = measured.matrix().toarray()
    for rows in (slice(3, 20), np.array([9, 2, 2])):
        np.testing.assert_array_equal(measured.matrix(rows).toarray(), whole[rows])
    assert measured.matrix(slice(0, 2)).dtype == np.float32
