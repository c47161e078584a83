from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.core.layers import LayerInfo, LayerKey, Style, Trust
from backend.tiles.figure import figure_png, words_of
from backend.tiles.page import Page, printable, round_length
from backend.tiles.palette import NONE, parse_colour
from backend.tiles.render import TileRenderer
from tests.core.test_data import info as section_info
from tests.tiles.conftest import MANY, pixels

if TYPE_CHECKING:
    from backend.store.atlas import Atlas

WIDTH = 600
LAYERS = ("label:region", "measured:Gad1", "imputed:Gad1", "density:cells")
TRUST = Trust(0.6, 0.3, "held-out r", "nearest neighbours", "how")


def info(layer: str, **more: object) -> LayerInfo:
    key = LayerKey.parse(layer)
    return LayerInfo(key, key.name, **more)


def colours_of(png: bytes) -> set[tuple[int, ...]]:
    return {tuple(c) for c in np.unique(pixels(png).reshape(-1, 4)[:, :3], axis=0).tolist()}


@pytest.mark.parametrize("section", ["alpha", "atlas"])
@pytest.mark.parametrize(
    "layer", ["label:region", "measured:Gad1", "imputed:Gad1", "density:cells"]
)
def test_a_figure_has_the_width_asked_for_and_is_not_blank(
    tiny: TileRenderer, section: str, layer: str
) -> None:
    png = figure_png(tiny.atlas, section, info(layer, trust=TRUST), Style(), WIDTH)
    found = pixels(png)
    assert found.shape[1] == WIDTH
    assert found[0, 0].tolist() == [255, 255, 255, 255]
    assert len(colours_of(png)) > 20


def test_subspots_are_called_so_on_the_page_and_never_measured() -> None:
    atlas = cast("Atlas", SimpleNamespace(name="a", version=1, simulated=False))
    gene = info("measured:Gad1", unit="log1p expected counts per spot area")
    fine = section_info(n_cells=4, unit="expected counts per spot area")
    said = words_of(atlas, "s", [fine], gene).lines
    assert said[:2] == ("S, 4 subspots", "Enhanced, not measured")
    spots = words_of(atlas, "s", [section_info(radius=50.0)], gene).lines
    assert spots[:2] == ("S, 3 spots", "Measured")


def test_a_dark_palette_gives_a_dark_page(tiny: TileRenderer) -> None:
    png = figure_png(tiny.atlas, "alpha", info("imputed:Gad1"), Style("ink-dark"), WIDTH)
    assert pixels(png)[0, 0].tolist() == [0x0E, 0x11, 0x14, 255]


def test_classes_have_their_own_colours_in_picture_and_legend(tiny: TileRenderer) -> None:
    png = figure_png(tiny.atlas, "alpha", info("label:region"), Style(), WIDTH)
    categories = tiny.atlas.label("region").categories
    assert {parse_colour(c.colour) for c in categories} <= colours_of(png)


def test_isolating_leaves_the_others_out_of_the_legend(tiny: TileRenderer) -> None:
    png = figure_png(tiny.atlas, "alpha", info("label:region"), Style(only=(2,)), WIDTH)
    first, _, third = (parse_colour(c.colour) for c in tiny.atlas.label("region").categories)
    assert third in colours_of(png)
    assert first not in colours_of(png)


def test_cells_without_a_value_are_shown_and_named(tiny: TileRenderer) -> None:
    png = figure_png(tiny.atlas, "gamma", info("imputed:Gad1"), Style(), WIDTH)
    assert NONE["light"][:3] in colours_of(png)


def test_cells_below_a_pixel_are_aggregated(dense: TileRenderer) -> None:
    for layer in ("label:type", "measured:A"):
        png = figure_png(dense.atlas, "atlas", info(layer), Style(), 400)
        assert len(colours_of(png)) > 100
    known = {parse_colour(c.colour) for c in MANY}
    png = figure_png(dense.atlas, "atlas", info("label:type"), Style(), 400)
    assert len(colours_of(png) & known) > 250


@pytest.mark.parametrize("width", [0, 20_000])
def test_a_width_out_of_range_is_refused(tiny: TileRenderer, width: int) -> None:
    with pytest.raises(BadRequest, match="out of range"):
        figure_png(tiny.atlas, "alpha", info("label:region"), Style(), width)


@pytest.mark.parametrize(
    ("length", "rounded"), [(0.9, 0.5), (1, 1), (4.99, 2), (5, 5), (730, 500), (2_100, 2_000)]
)
def test_scale_bars_have_round_lengths(length: float, rounded: float) -> None:
    assert round_length(length) == pytest.approx(rounded)


def test_where_only_a_plain_font_is_installed_no_sign_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("backend.tiles.page.FONTS", ())
    from backend.tiles import page

    page.font_of.cache_clear()
    assert printable("5 µm²") == "5 um2"
    page.font_of.cache_clear()


def test_long_names_are_cut_to_their_room() -> None:
    page = Page(400, dark=False)
    blank = np.zeros((10, page.plot_width, 4), np.uint8)
    from backend.tiles.page import Entry, Words

    entries = [Entry("a very long name " * 9, (1, 2, 3), 1_234_567)]
    found = pixels(page.compose(blank, entries, Words("t", (), "f"), 1.0, "um"))
    # The last column before the margin holds the count and nothing beyond it.
    assert (found[:, -page.em + 3 :] == 255).all()
