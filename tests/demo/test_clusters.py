"""Clusters: a few hundred, planted along the brain, in the hues of their types."""

from __future__ import annotations

import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.demo.clusters import cluster_categories, cluster_counts, draw_clusters
from backend.demo.factors import LEAST_WIDTH, factors_of
from backend.demo.genes import gene_model
from backend.demo.section import section_data
from backend.demo.sections import plan_sections
from backend.demo.types import type_categories
from backend.store.colours import is_colour, oklab


def test_there_are_more_than_three_hundred_named_after_their_types() -> None:
    categories = cluster_categories()
    assert len(categories) == cluster_counts().sum() == 350
    assert len({c.name for c in categories}) == 350
    assert categories[0] == ("L2/3 IT 1", categories[0].colour, "L2/3 IT")
    assert all(is_colour(c.colour) for c in categories)


def test_a_cluster_has_the_hue_of_its_type() -> None:
    kinds = {kind.name: oklab(kind.colour) for kind in type_categories()}
    for cluster in cluster_categories():
        (_, a, b), (_, u, v) = oklab(cluster.colour), kinds[str(cluster.parent)]
        if np.hypot(u, v) > 0.05 and np.hypot(a, b) > 0.05:
            assert a * u + b * v > 0.95 * np.hypot(a, b) * np.hypot(u, v)


def test_clusters_of_a_type_have_different_lightness() -> None:
    light = [oklab(cluster.colour)[0] for cluster in cluster_categories()]
    ends = np.cumsum(cluster_counts())
    for first, last in zip(ends - cluster_counts(), ends, strict=True):
        assert np.diff(np.sort(light[first:last])).min() > 0.03


def test_bands_follow_the_function_of_the_place() -> None:
    kind = np.zeros(300, np.int16)  # the first type: three clusters along the first function
    factors = np.zeros((300, 6), np.float32)
    factors[:, 0] = np.repeat([-0.9, 0.0, 0.9], 100)
    found = draw_clusters(kind, factors, np.random.default_rng(0))
    assert (found == np.repeat([0, 1, 2], 100)).mean() > 0.97
    edge = draw_clusters(kind[:1], np.full((1, 6), 9, np.float32), np.random.default_rng(0))
    assert edge.tolist() == [2]


def test_every_cluster_lies_in_its_type() -> None:
    spec = plan_sections(5, 1_500, 0)[0]
    model = gene_model(40, 0)
    data = section_data(spec, model, clusters=True)
    clusters, kinds = data.labels["cluster"], data.labels["type"]
    names = [kinds.categories[code].name for code in kinds.codes]
    assert [clusters.categories[code].parent for code in clusters.codes] == names
    again = section_data(spec, model, clusters=True).labels["cluster"].codes
    assert np.array_equal(clusters.codes, again)
    assert "cluster" not in section_data(spec, model).labels


def test_too_few_dimensions_are_refused() -> None:
    with pytest.raises(BadRequest, match=f"Use {LEAST_WIDTH} or more"):
        factors_of(gene_model(40, 0), LEAST_WIDTH - 1)
    assert factors_of(gene_model(40, 0), 16).scale.shape == (16,)
