import numpy as np
import pytest
from scipy.sparse import csr_matrix

from backend.models.soscope.baselines import RESCALED, all_methods, gaussian_process, ridge
from backend.models.soscope.compare import HONEST, method_table, spatial_genes, summarised
from backend.models.soscope.layouts import subdivided
from tests.models.soscope.planted import grid, planted


def test_ridge_recovers_a_line_from_the_means_of_spots() -> None:
    layout = subdivided(grid(6), 2)
    features = layout.xy / 100
    truth = features @ [[1.0], [-2.0]] + 3
    found = ridge(layout, layout.means() @ truth, features)
    np.testing.assert_allclose(found, truth, atol=0.02)


def test_the_gaussian_process_follows_a_smooth_wave() -> None:
    layout = subdivided(grid(12), 2)
    truth = np.sin(layout.xy[:, :1] / 200) + np.cos(layout.xy[:, 1:] / 200)
    found = gaussian_process(layout, layout.means() @ truth)
    assert np.corrcoef(found[:, 0], truth[:, 0])[0, 1] > 0.99


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, float]]:
    section = planted(side=16)
    expected = {"the truth": section.expected}
    made = all_methods(section.layout, section.totals, section.features, 0, expected)
    genes = np.arange(0, 40, 2)  # those that follow the patches
    table = method_table(section.layout, section.truth, made, genes)
    return {row["name"]: row for row in summarised([table])}


def test_every_method_stands_in_one_table_at_both_scales(rows: dict[str, dict[str, float]]) -> None:
    slow = ("spatial GP", "image ridge", "image MLP", "joint ridge")
    assert {"copy", "bilinear", HONEST, *slow, *(n + RESCALED for n in slow)} < set(rows)
    assert rows[HONEST]["gain_r"] == rows[HONEST]["deviance"] == 0
    assert rows["copy"]["within"] == pytest.approx(0, abs=1e-9)


def test_what_is_expected_beats_all_methods_where_subspots_are_known(
    rows: dict[str, dict[str, float]],
) -> None:
    assert max(rows, key=lambda name: rows[name]["within"]) == "the truth"
    # Regression on the image sees the patches, interpolation does not.
    assert rows["image ridge"]["within"] > rows[HONEST]["within"] + 0.2


def test_spatial_genes_are_those_that_neighbours_share() -> None:
    layout = subdivided(grid(10), 2)
    rng = np.random.default_rng(0)
    smooth = rng.poisson(30 * (1.5 + np.sin(layout.xy[:, :1] / 200)), (400, 1))
    counts = np.column_stack([rng.poisson(30, 400), smooth, rng.poisson(90, 400), smooth * 2])
    assert set(spatial_genes(layout, counts.astype(np.float64), 2)) == {1, 3}


def test_methods_that_need_all_pairs_are_left_out_of_large_sections() -> None:
    layout = subdivided(grid(40), 2)
    totals = csr_matrix(np.ones((1600, 2)))
    assert set(all_methods(layout, totals, None, 0, {})) == {"copy", "bilinear", HONEST}
