import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.models.soscope.interpolate import copied, interpolated, linear_weights, rescaled
from backend.models.soscope.layouts import subdivided
from tests.models.soscope.planted import grid
from tests.models.soscope.test_lattice import hexagons


def test_two_by_two_subspots_weigh_their_spots_nine_three_three_and_one() -> None:
    weights = linear_weights(subdivided(grid(5), 2))
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    middle = weights[12 * 4].toarray().ravel()
    np.testing.assert_allclose(np.sort(middle[middle > 0]), np.array([1, 3, 3, 9]) / 16)
    corner = weights[0].toarray().ravel()
    np.testing.assert_allclose(corner[corner > 0], [1])


@pytest.mark.parametrize(("xy", "factor"), [(grid(8), 3), (hexagons(8), 7)], ids=["square", "hex"])
def test_a_plane_is_interpolated_exactly_away_from_the_edge(xy: np.ndarray, factor: int) -> None:
    layout = subdivided(xy, factor)
    totals = csr_matrix((xy @ [[1.0], [2.0]] + 50) * layout.counts[0])
    found = interpolated(layout, totals)[:, 0]
    low, high = xy.min(axis=0), xy.max(axis=0)
    inner = ((layout.xy > low + 120) & (layout.xy < high - 120)).all(axis=1)
    np.testing.assert_allclose(found[inner], (layout.xy @ [1, 2] + 50)[inner])


def test_rescaled_values_keep_the_counts_of_the_spot() -> None:
    layout = subdivided(grid(4), 2)
    totals = csr_matrix(np.arange(16.0)[:, None])
    found = rescaled(layout, interpolated(layout, totals), totals)
    np.testing.assert_allclose(layout.sums() @ found, totals.toarray())
    np.testing.assert_allclose(copied(layout, totals)[4:8, 0], 0.25)
    np.testing.assert_allclose(rescaled(layout, np.zeros((64, 1)), totals), copied(layout, totals))
