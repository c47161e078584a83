from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backend.core.data import Column, SectionInfo, units_of
from backend.core.geometry import Bounds, Slot
from backend.core.layers import Category, LayerKey


def info(**more: Any) -> SectionInfo:
    plain: dict[str, Any] = {
        "id": "s", "title": "S", "dataset": "", "technology": "", "species": "", "first": 4,
        "n_cells": 3, "slot": Slot(0, 0, 0), "origin": (0.0, 0.0), "side": 100.0,
        "extent": Bounds(0, 0, 9, 9), "radius": 5.0, "n_genes": 1,
    }  # fmt: skip
    return SectionInfo(**{**plain, **more})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "cell"),
        ({"radius": 50.0}, "spot"),
        ({"radius": 0.5, "xy_unit": "px", "notes": ("Spots as measured.",)}, "spot"),
        ({"radius": 25.0, "unit": "expected counts per spot area"}, "subspot"),
        ({"radius": 25.0, "unit": "counts shared out"}, "subspot"),
        ({"radius": 50.0, "xy_unit": "px"}, "cell"),
        ({"radius": 34.0, "technology": "MERFISH-like (simulated)"}, "cell"),
        ({"radius": 50.0, "technology": "Visium"}, "spot"),
    ],
)
def test_rows_of_a_section_are_called_what_they_are(more: dict[str, Any], said: str) -> None:
    assert info(**more).noun == said


def test_a_section_owns_the_rows_after_its_first() -> None:
    assert info().rows == slice(4, 7)


def test_units_are_those_of_numbers_that_have_one() -> None:
    far, share = LayerKey("score", "far"), LayerKey("factor", "1")
    label = LayerKey("label", "domain")
    values = np.zeros(2, np.float32)
    columns = [
        Column("a", far, values, unit="nats"),
        Column("a", share, values),
        Column("a", label, values, (Category("one", ""),), "names"),
    ]
    assert units_of(columns) == {far: "nats"}
