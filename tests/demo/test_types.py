"""Types, classes and what lives where."""

from __future__ import annotations

import numpy as np

from backend.demo.regions import region_codes, regions
from backend.demo.types import (
    class_categories,
    class_of_type,
    priors,
    type_categories,
    type_codes,
    type_names,
)


def test_shares_of_types_add_up_in_every_region() -> None:
    table = priors()
    assert table.shape == (len(regions()), len(type_names()))
    assert (table >= 0).all()
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)


def test_every_type_lives_somewhere() -> None:
    assert (priors().max(axis=0) > 0).all()


def test_granule_cells_fill_the_granule_layer() -> None:
    share = priors()[region_codes()["Dentate granule"], type_codes()["Dentate granule cell"]]
    assert share > 0.85


def test_a_type_has_the_class_that_its_category_names() -> None:
    names = [category.name for category in class_categories()]
    for code, category in enumerate(type_categories()):
        assert category.parent == names[class_of_type()[code]]


def test_colours_of_types_differ() -> None:
    colours = [category.colour for category in type_categories()]
    assert len(set(colours)) == len(colours)
