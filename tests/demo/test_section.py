"""Sections: the same whatever else is made, with truth behind every observation."""

from __future__ import annotations

import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.demo.genes import gene_model
from backend.demo.plan import locate
from backend.demo.section import SPOT_PITCH, SectionSpec, layout, section_data, truth
from backend.demo.sections import plan_sections
from backend.demo.technologies import technologies
from backend.demo.types import class_of_type


@pytest.fixture(scope="module")
def specs() -> dict[str, SectionSpec]:
    return {spec.id: spec for spec in plan_sections(7, 3_500, 0)}


def test_cells_of_all_sections_add_up() -> None:
    assert sum(spec.n_cells for spec in plan_sections(20, 9_999, 0)) == 9_999


def test_ids_are_unique_and_titles_say_simulated() -> None:
    planned = plan_sections(60, 6_000, 0)
    assert len({spec.id for spec in planned}) == 60
    assert all("(simulated)" in spec.title for spec in planned)
    assert {spec.technology for spec in planned} == set(technologies()) - {"seqfish"}


def test_no_sections_are_refused() -> None:
    with pytest.raises(BadRequest, match="0 sections"):
        plan_sections(0, 100, 0)


def test_a_section_is_the_same_whatever_else_is_made(specs: dict[str, SectionSpec]) -> None:
    spec = specs["merfish-01"]
    model = gene_model(60, 0)
    alone, again = section_data(spec, model), section_data(spec, model)
    assert np.array_equal(alone.xy, again.xy)
    assert (alone.counts != again.counts).nnz == 0
    assert np.array_equal(alone.labels["type"].codes, again.labels["type"].codes)


def test_other_numbers_and_seeds_give_other_cells(specs: dict[str, SectionSpec]) -> None:
    spec = specs["merfish-01"]
    fields = {name: getattr(spec, name) for name in SectionSpec.__dataclass_fields__}
    other = SectionSpec(**{**fields, "seed": 1})
    assert not np.array_equal(layout(spec).xy, layout(other).xy)


def test_labels_agree_with_the_plan(specs: dict[str, SectionSpec]) -> None:
    data = section_data(specs["starmap-01"], gene_model(60, 0))
    brain = layout(specs["starmap-01"]).brain
    assert np.array_equal(data.labels["region"].codes, locate(*brain.T).leaf)
    assert (data.labels["region"].codes >= 0).all()
    kind = data.labels["type"].codes
    assert np.array_equal(data.labels["class"].codes, class_of_type()[kind])
    assert "(simulated)" in data.technology


def test_half_a_section_holds_one_hemisphere(specs: dict[str, SectionSpec]) -> None:
    x = layout(specs["starmap-01"]).brain[:, 0]
    assert x.min() > -300
    assert x.max() > 3_000


def test_a_sagittal_section_keeps_its_distance_from_the_midline(
    specs: dict[str, SectionSpec],
) -> None:
    x = layout(specs["xenium-01"]).brain[:, 0]
    assert abs(x.mean() - 1_300) < 150
    assert np.ptp(layout(specs["xenium-01"]).brain[:, 2]) > 10_000


def test_spots_lie_on_their_grid_and_mix_cells(specs: dict[str, SectionSpec]) -> None:
    known = truth(specs["visium-01"])
    gap = np.sort(np.hypot(*(known.layout.brain[:, :2] - known.layout.brain[0, :2]).T))[1]
    assert gap == pytest.approx(SPOT_PITCH, rel=0.01)
    assert known.cells.kind.size > 3 * known.cells.n


def test_beads_lie_in_a_disc(specs: dict[str, SectionSpec]) -> None:
    xy = layout(specs["slideseq-01"]).xy
    assert np.hypot(*(xy - [1_700, 1_700]).T).max() < 1_800


def test_tissue_looks_alike_in_any_number_of_cells(specs: dict[str, SectionSpec]) -> None:
    spec = specs["iss-01"]
    fields = {name: getattr(spec, name) for name in SectionSpec.__dataclass_fields__}
    few = layout(SectionSpec(**{**fields, "n_cells": 800})).leaf
    many = layout(SectionSpec(**{**fields, "n_cells": 6_000})).leaf
    share = [np.bincount(leaf, minlength=68) / leaf.size for leaf in (few, many)]
    assert np.abs(share[0] - share[1]).sum() < 0.25
