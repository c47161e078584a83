from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.core.errors import BadFile
from backend.demo.multiomics import Simulated
from backend.models.spatialglue.inputs import Joined, average, fill, join


def _joined(present: np.ndarray) -> Joined:
    from backend.core.data import Modality

    n = len(present)
    values = csr_matrix(np.ones((n, 2), np.float32))
    parts = [Modality(f"m{j}", "rna", values, ("a", "b"), present[:, j]) for j in range(2)]
    return Joined(tuple(parts), np.zeros((n, 2), np.float32), np.zeros(n, np.int64))


def test_averages_run_over_the_neighbours_that_have_the_modality() -> None:
    graph = csr_matrix(np.full((3, 3), 1 / 3))
    x = np.array([[3.0], [9.0], [100.0]], np.float32)
    np.testing.assert_allclose(average(graph, x, np.array([True, True, False])), 6, rtol=1e-6)
    assert np.isnan(average(graph, x, np.zeros(3, bool))).all()


def test_what_no_neighbour_has_is_taken_from_like_spots() -> None:
    nan = np.float32(np.nan)
    first = np.array([[0.0], [0.1], [5.0], [5.1]], np.float32)
    second = np.array([[7.0], [nan], [2.0], [nan]], np.float32)
    present = np.array([[1, 1], [1, 0], [1, 1], [1, 0]], bool)
    filled = fill([first, second], _joined(present))
    # two spots have both; with so few, like spots are both of them
    np.testing.assert_allclose(filled[1], [[7], [4.5], [2], [4.5]])


def test_modalities_that_no_spot_joins_are_refused() -> None:
    nan = np.float32(np.nan)
    first = np.array([[0.0], [nan]], np.float32)
    second = np.array([[nan], [1.0]], np.float32)
    with pytest.raises(BadFile, match="no spot has it beside"):
        fill([first, second], _joined(np.array([[1, 0], [0, 1]], bool)))


def test_sections_are_put_together_by_modality_and_feature(pair: Simulated) -> None:
    one = pair.section
    rna, protein = one.modalities
    fewer = replace(rna, values=rna.values[:, 5:20], features=rna.features[5:20])
    joined = join([one, replace(one, id="other", modalities=(fewer,))])
    n = one.n_cells
    assert [m.name for m in joined.modalities] == ["rna", "protein"]
    assert joined.modalities[0].features == rna.features[5:20]
    assert joined.modalities[1].present.tolist() == [True] * n + [False] * n
    assert joined.group[[0, -1]].tolist() == [0, 1]
    np.testing.assert_array_equal(joined.modalities[0].values[n:].toarray(), fewer.values.toarray())
