from __future__ import annotations

import numpy as np
import pytest

from backend.core.errors import BadRequest, UnknownSection
from backend.core.layers import LayerKey
from backend.tiles.render import TileRenderer
from backend.tiles.spans import span_of_values

GENE = LayerKey("measured", "Gad1")


def values_of(renderer: TileRenderer, key: LayerKey, section: str = "alpha") -> np.ndarray:
    return renderer.values(section, key, renderer.atlas.section(section).rows)


def test_a_measured_gene_ranges_from_zero_to_the_99th_percentile_of_what_is_there(
    tiny: TileRenderer,
) -> None:
    found = values_of(tiny, GENE)
    assert tiny.span("alpha", GENE) == (0.0, pytest.approx(np.percentile(found[found > 0], 99)))


def test_an_imputed_gene_ranges_from_the_first_to_the_99th_percentile(tiny: TileRenderer) -> None:
    key = LayerKey("imputed", "Gad1")
    lo, hi = np.percentile(values_of(tiny, key), [1, 99])
    assert tiny.span("alpha", key) == (pytest.approx(max(0, lo)), pytest.approx(hi))


def test_a_constant_layer_has_a_range_with_a_width(dense: TileRenderer) -> None:
    lo, hi = dense.span("full", LayerKey("weight", "even"))
    assert lo < 0.5 < hi
    assert (lo + hi) / 2 == pytest.approx(0.5)
    assert span_of_values(np.full(9, 3, np.float32), LayerKey("score", "x")) == (3.0, 4.0)


@pytest.mark.parametrize("section", ["gamma", "beta"])
def test_a_layer_without_values_ranges_from_zero_to_one(tiny: TileRenderer, section: str) -> None:
    assert tiny.span(section, LayerKey("confidence", "type")) == (0.0, 1.0)


def test_the_range_of_the_atlas_pools_its_sections(tiny: TileRenderer) -> None:
    key = LayerKey("measured", "Pvalb")
    pool = np.concatenate([values_of(tiny, key, s) for s in ("alpha", "beta")])
    assert tiny.span("atlas", key)[1] == pytest.approx(np.percentile(pool[pool > 0], 99))


def test_the_range_of_a_layer_does_not_depend_on_the_tile(tiny: TileRenderer) -> None:
    assert tiny.span("alpha", GENE) is tiny.span("alpha", LayerKey("measured", "gad1"))


def test_labels_have_no_range_and_no_histogram(tiny: TileRenderer) -> None:
    with pytest.raises(BadRequest, match="label"):
        tiny.span("alpha", LayerKey("label", "type"))
    with pytest.raises(BadRequest, match="label"):
        tiny.histogram("alpha", LayerKey("label", "type"))


def test_an_unknown_section_has_no_range(tiny: TileRenderer) -> None:
    with pytest.raises(UnknownSection):
        tiny.span("delta", GENE)


@pytest.mark.parametrize("section", ["alpha", "atlas"])
def test_a_histogram_counts_every_cell_once(tiny: TileRenderer, section: str) -> None:
    total = tiny.atlas.n_cells if section == "atlas" else tiny.atlas.section(section).n_cells
    for key in (GENE, LayerKey("density", "cells"), LayerKey("imputed", "Gad1")):
        found = tiny.histogram(section, key, bins=7)
        assert len(found.counts) == 7
        assert len(found.edges) == 8
        counted = found.counts.sum() + found.n_zero + found.n_missing
        # The sample of the whole atlas rounds the share of each section down.
        assert abs(counted - total) <= (0 if section == "alpha" else 2)


def test_zeros_are_counted_apart(tiny: TileRenderer) -> None:
    found = tiny.histogram("alpha", GENE)
    values = values_of(tiny, GENE)
    assert found.n_zero == (values == 0).sum()
    assert found.counts.sum() == (values > 0).sum()
