import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from backend.core.errors import BadRequest
from backend.models.soscope.layouts import cells_in_spots, joined, merged, subdivided
from tests.models.soscope.planted import grid
from tests.models.soscope.test_lattice import hexagons


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_square_spots_are_cut_into_a_finer_grid_without_gaps(factor: int) -> None:
    layout = subdivided(grid(6, 90), factor)
    assert layout.counts.tolist() == [factor**2] * 36
    fine = np.unique(np.round(layout.xy[:, 0], 6))
    assert len(fine) == 6 * factor
    np.testing.assert_allclose(np.diff(fine), 90 / factor)
    np.testing.assert_allclose(layout.means() @ layout.xy, layout.spots, atol=1e-9)
    assert layout.steps[0] == pytest.approx(90 / factor)


def test_seven_subspots_of_hexagons_form_a_hexagonal_lattice_of_their_own() -> None:
    layout = subdivided(hexagons(), 7)
    np.testing.assert_allclose(layout.means() @ layout.xy, layout.spots, atol=1e-9)
    inner = np.flatnonzero(np.abs(layout.xy - layout.xy.mean(axis=0)).max(axis=1) < 300)
    distance = cKDTree(layout.xy).query(layout.xy[inner], k=7)[0][:, 1:]
    np.testing.assert_allclose(distance, 100 / np.sqrt(7))


def test_six_subspots_of_hexagons_are_the_centres_of_its_triangles() -> None:
    layout = subdivided(hexagons(), 6)
    inner = np.flatnonzero(np.abs(layout.xy - layout.xy.mean(axis=0)).max(axis=1) < 300)
    distance = cKDTree(layout.xy).query(layout.xy[inner], k=4)[0][:, 1:]
    np.testing.assert_allclose(distance, 100 / 3)  # all three neighbours are as far


def test_factors_that_do_not_fit_the_lattice_are_refused() -> None:
    with pytest.raises(BadRequest, match="2 to 12"):
        subdivided(grid(6), 1)
    with pytest.raises(BadRequest, match="hexagonal lattice"):
        subdivided(hexagons(), 2)


def test_merging_undoes_subdividing() -> None:
    layout = subdivided(grid(6), 2)
    back, rows = merged(layout.xy, 2)
    assert len(rows) == 144
    np.testing.assert_allclose(
        sorted(map(tuple, back.spots.round(6))), sorted(map(tuple, layout.spots.round(6)))
    )
    assert back.pitches[0] == pytest.approx(100)


def test_each_origin_merges_other_blocks_and_only_whole_ones() -> None:
    kept = [len(merged(grid(7), 2, origin)[1]) for origin in range(4)]
    assert kept == [36, 36, 36, 36]
    centres = {tuple(merged(grid(7), 2, origin)[0].spots[0]) for origin in range(4)}
    assert len(centres) == 4


def test_hexagons_are_merged_by_seven() -> None:
    layout, rows = merged(hexagons(20), 2)
    assert set(layout.counts.tolist()) == {7}
    assert len(np.unique(rows)) == len(rows)
    np.testing.assert_allclose(layout.pitches, 100 * np.sqrt(7))
    radius = np.hypot(*(layout.xy - layout.spots[layout.parent]).T)
    expected = [[0, *[100] * 6]] * len(layout.spots)
    np.testing.assert_allclose(np.sort(radius.reshape(-1, 7)), expected, atol=1e-6)


def test_cells_belong_to_the_spots_that_the_mask_says() -> None:
    spots = grid(4)
    cells = np.array([[0.0, 5], [10, 0], [100, 0], [55, 55]])
    mask = csr_matrix((np.ones(4), ([0, 0, 1, 1], [0, 1, 2, 1])), shape=(16, 4))
    layout, kept, used = cells_in_spots(cells, spots, mask)
    assert layout.parent.tolist() == [0, 0, 1]
    assert kept.tolist() == [0, 1, 2]
    assert used.tolist() == [0, 1]
    with pytest.raises(BadRequest, match="No cell"):
        cells_in_spots(cells, spots, csr_matrix((16, 4)))


def test_a_part_of_joined_sections_keeps_spots_and_subspots_together() -> None:
    both = joined([subdivided(grid(3), 2), subdivided(grid(4), 3)])
    assert both.section.tolist() == [0] * 9 + [1] * 16
    part, rows = both.part(np.array([8, 9]))
    assert part.counts.tolist() == [4, 9]
    np.testing.assert_array_equal(part.xy, both.xy[rows])
    assert both.parent[rows].tolist() == [8] * 4 + [9] * 9
