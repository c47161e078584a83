from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from backend.core.layers import LayerInfo, LayerKey
from backend.core.settings import Settings
from backend.service import Backend
from backend.store.write import plan_of, write_atlas
from explorer.names import distinct, section_names, tissue_names
from explorer.scene import opening_layer, plane_of
from explorer.seen import parts_block, range_block
from explorer.strip import crumbs, distribution_of, path_of, strip_layer, strip_of
from explorer.views.colour import gene_kinds, option_rows
from explorer.views.map import deepest_zoom, hover_card
from explorer.views.sections import dock
from tests.explorer.said import having, text
from tests.tiny import tiny_atlas, tiny_section

GENE = LayerKey("measured", "Slc17a7")


def plane(backend: Backend, section: str, layer: str) -> tuple[dict[str, Any], Any]:
    return plane_of(backend, section, LayerKey.parse(layer))


def test_a_label_of_a_section_can_be_drawn(backend: Backend) -> None:
    found, problem = plane(backend, "alpha", "label:region")
    assert problem is None
    assert found["ok"]
    assert (found["plane"], found["named"]) == ("atlas", "label:region")


def test_the_offset_turns_plane_into_section_coordinates(backend: Backend) -> None:
    found, _ = plane(backend, "alpha", "label:region")
    entry = backend.section_entry("alpha")
    assert found["offset"][0] + entry["bounds"][0] == pytest.approx(entry["extent"][0])


def test_a_gene_is_asked_for_in_any_case_and_drawn_by_its_symbol(backend: Backend) -> None:
    found, _ = plane(backend, "alpha", "measured:slc17a7")
    assert (found["asked"], found["layer"]) == ("measured:slc17a7", "measured:Slc17a7")
    assert found["span"][1] > found["span"][0]


def test_a_gene_that_was_not_measured_offers_its_imputation(backend: Backend) -> None:
    found, problem = plane(backend, "beta", str(GENE))
    assert not found["ok"]
    assert "not measured" in text(problem)
    values = [getattr(b, "data-value") for b in having(problem, "data-act", "layer")]
    assert values[0] == "imputed:Slc17a7"


def test_a_section_without_expression_leads_back_to_its_labels(backend: Backend) -> None:
    _, problem = plane(backend, "gamma", "imputed:Gad1")
    values = [getattr(b, "data-value") for b in having(problem, "data-act", "layer")]
    assert values == ["label:type"]


def test_an_unknown_gene_is_said_so(backend: Backend) -> None:
    _, problem = plane(backend, "alpha", "measured:Nothing1")
    assert "Nothing1" in text(problem)


def test_a_missing_label_is_said_with_one_step_back_over_grey_tissue(backend: Backend) -> None:
    found, problem = plane(backend, "gamma", "label:region")
    assert (found["ok"], found["drawn"]) == (False, True)
    assert "no region labels" in text(problem)
    (step,) = having(problem, "data-act", "layer")
    assert getattr(step, "data-value") == "label:type"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Backend, str]:
    """An atlas, and a result about its first section with a label of its own."""
    folder = tmp_path_factory.mktemp("beside")
    atlas = tiny_atlas(folder / "tiny.zarr")
    found = tiny_section("alpha")
    found = replace(found, labels={**found.labels, "given": found.labels["type"]})
    (folder / "data" / "results" / "7f3a").mkdir(parents=True)
    plan = [plan_of(found, parent="alpha")]
    write_atlas(folder / "data/results/7f3a/atlas.zarr", "result", [found], plan=plan)
    return Backend(Settings(data=folder / "data"), atlas), "query-7f3a"


class Labelled:
    """A section of ten cells, of which some carry each label."""

    def __init__(self, **covered: int) -> None:
        self.covered = covered

    def layers(self, section: str) -> list[LayerInfo]:
        return [LayerInfo(LayerKey("label", name), name) for name in self.covered]

    def sections(self) -> list[dict[str, Any]]:
        return [{"id": "one", "n_cells": 10}]

    def counts(self, section: str, key: LayerKey) -> dict[int, int]:
        return {0: self.covered[key.name], -1: 10 - self.covered[key.name]}


def opened(**covered: int) -> str:
    """Return the layer on which ten cells open, of which some carry each label."""
    return opening_layer(cast("Backend", Labelled(**covered)), "atlas")


@pytest.mark.parametrize(
    ("covered", "layer"),
    [
        ({"region": 6, "class": 10}, "label:region"),
        ({"region": 5, "class": 4, "type": 9}, "label:type"),
        ({"region": 5, "class": 9, "type": 9}, "label:class"),
        ({"region": 5, "class": 4}, "label:region"),
        ({"region": 0}, "density:cells"),
        ({}, "density:cells"),
    ],
)
def test_a_section_opens_with_the_label_that_colours_it(
    covered: dict[str, int], layer: str
) -> None:
    assert opened(**covered) == layer


def test_a_query_opens_with_what_was_found_not_with_what_it_came_with() -> None:
    assert opened(given_type=10, type=9) == "label:type"
    assert opened(given_type=10) == "label:given_type"


def test_the_pane_beside_shows_cells_where_the_atlas_lacks_the_layer(
    result: tuple[Backend, str],
) -> None:
    backend, section = result
    found, _ = plane(backend, section, "label:region")
    assert found["beside"] == "label:region"
    found, _ = plane(backend, section, "label:given")
    assert (found["layer"], found["beside"]) == ("label:given", "density:cells")


def test_options_mark_the_layer_and_disable_what_a_gene_lacks(backend: Backend) -> None:
    from explorer.state import grouped

    kinds = gene_kinds(backend, "beta", GENE)
    assert kinds == {"measured": False, "imputed": True}
    rows = option_rows(grouped(backend.layers("beta")), GENE, 12, kinds, ["imputed:Gad1"])
    chosen = [text(r) for r in having(rows, "aria-checked", "true")]
    assert chosen == ["Gene 12", "Measured"]
    (absent,) = [b for b in having(rows, "disabled") if b.disabled]
    assert text(absent) == "Measured"
    assert "Recent:  Gad1" in text(rows)


def hover(backend: Backend, **more: Any) -> dict[str, Any]:
    entry = backend.section_entry("alpha")
    cell = backend.cell("alpha", 0)
    x = cell["x"] - entry["extent"][0] + entry["bounds"][0]
    y = cell["y"] - entry["extent"][1] + entry["bounds"][1]
    plain = {"plane": "atlas", "x": x, "y": y, "radius": 5.0, "layer": "label:region"}
    return {**plain, "pinned": False, "cells": True, **more}


def test_the_cell_under_the_pointer_is_found_and_placed(backend: Backend) -> None:
    asked = hover(backend)
    card = hover_card(backend, asked)
    assert str(backend.cell("alpha", 0)["id"]) in text(card)
    x, y = map(float, getattr(card, "data-place").split(","))
    assert (x, y) == (pytest.approx(asked["x"], abs=0.01), pytest.approx(asked["y"], abs=0.01))


def test_far_away_the_card_is_of_the_section(backend: Backend) -> None:
    card = hover_card(backend, hover(backend, cells=False))
    assert "Alpha" in text(card)
    assert "240" in text(card)


def test_beside_all_sections_there_is_no_card(backend: Backend) -> None:
    assert hover_card(backend, hover(backend, x=-5.0)) is None


def test_names_are_escaped_where_leaflet_takes_markup() -> None:
    (marker,) = tissue_names([("<img src=x>", 10.0, 20.0, 5)], 256.0, {})
    assert "&lt;img src=x&gt;" in marker.iconOptions["html"]
    assert marker.position == [-20.0, 10.0]


def test_many_sections_are_named_by_their_place(backend: Backend) -> None:
    entry = {**backend.section_entry("alpha"), "position": -0.6}
    assert "Alpha" in section_names([entry], 1000.0)[0].iconOptions["html"]
    group, *names = section_names([entry] * 30, 1000.0)
    assert "tiny, 30 sections" in group.iconOptions["html"]
    assert all("\u22120.60" in n.iconOptions["html"] for n in names)


def test_the_path_leads_back_to_all_sections(backend: Backend) -> None:
    steps = crumbs(path_of(backend.section_entry("alpha")))
    assert text(steps) == "All sections tiny Alpha"
    (link,) = having(steps, "data-act", "open")
    assert getattr(link, "data-value") == "atlas"


def test_a_thumbnail_shows_the_layer_where_the_section_has_it(backend: Backend) -> None:
    assert strip_layer(backend, "alpha", "label:region") == "label:region"
    assert strip_layer(backend, "alpha", "factor:1") == "label:region"


def test_a_thumbnail_without_the_label_is_grey_as_on_all_sections(backend: Backend) -> None:
    assert strip_layer(backend, "gamma", "label:region") == "label:region"


def test_thumbnails_of_a_data_set_are_told_apart_by_what_their_titles_do_not_share() -> None:
    titles = {"a": "Level Hippo1, ST", "b": "Level Hippo2, ST", "c": "Cortex (simulated)"}
    entries = [
        {"id": k, "title": t, "technology": "ST", "dataset": "one" if k < "c" else "two"}
        for k, t in titles.items()
    ]
    assert distinct(entries) == {"a": "Hippo1", "b": "Hippo2", "c": "Cortex"}
    bulbs = [{**entries[0], "title": t, "id": t} for t in ("Bulb MOB1", "Bulb, replicate 11")]
    assert list(distinct(bulbs).values()) == ["MOB1", "replicate 11"]


def test_a_thumbnail_is_cropped_to_the_extent(backend: Backend) -> None:
    entry = backend.section_entry("alpha")
    strip = strip_of([entry], {"alpha": "label:region"})
    (thumb,) = json.loads(getattr(strip, "data-strip"))
    assert thumb["tile"] == "/tiles/alpha/label:region/0/0/0.png"
    assert thumb["edition"] == entry["edition"]
    assert thumb["picture"][0] > max(thumb["box"])
    assert thumb["picture"][1] <= 0


def test_the_distribution_of_places_is_of_types(backend: Backend) -> None:
    rows, spoken = distribution_of(backend, "alpha", LayerKey("label", "region"), None)
    assert "on screen" in text(rows)
    assert "Excitatory" in spoken


def test_the_distribution_of_a_gene_is_its_mean_by_place(backend: Backend) -> None:
    rows, spoken = distribution_of(backend, "alpha", GENE, None)
    assert "by region" in text(rows)
    assert spoken.startswith("Measured mean")


def test_the_range_counts_zero_and_offers_palettes(backend: Backend) -> None:
    block = range_block(backend, "alpha", backend.layer("alpha", GENE))
    assert "Zero" in text(block)
    assert [getattr(b, "data-value") for b in having(block, "data-act", "palette")] == [
        "ink",
        "viridis",
        "magma",
        "grey",
    ]


def test_parts_follow_the_isolated_class(backend: Backend) -> None:
    key = LayerKey("label", "region")
    names = [c.name for c in backend.layer("alpha", key).categories]
    assert "in CA1" in text(parts_block(backend, "alpha", key, [names.index("CA1")]))
    assert "Mean by" in text(parts_block(backend, "alpha", GENE, []))


@pytest.mark.parametrize(("world_um", "zoom"), [(1000.0, 6), (72_000.0, 12), (1.0, 4)])
def test_the_deepest_zoom_shows_a_tenth_of_a_micrometre(world_um: float, zoom: int) -> None:
    assert deepest_zoom(world_um) == zoom


def test_small_sections_of_a_large_data_set_are_printed_once_they_are_wide(
    backend: Backend,
) -> None:
    entry = {**backend.section_entry("alpha"), "position": -0.6}
    _, name, *_ = section_names([entry] * 30, 1000.0)
    (alone,) = section_names([entry], 1000.0)
    assert "data-each" in name.iconOptions["html"]
    assert "data-each" not in alone.iconOptions["html"]


def test_the_dock_has_a_umap_where_the_atlas_has_one() -> None:
    assert having(dock(["umap"]), "id", "umap")
    assert not having(dock([]), "id", "umap")
