from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from backend.core.errors import BadRequest
from backend.core.layers import Category, LayerKey
from backend.store.colours import FEW
from backend.tiles import palette as palettes
from backend.tiles import shade
from backend.tiles.raster import Range, index_numbers
from tests.tiles.conftest import MANY, pixels

NINE = FEW[:9]
#: The table of a label whose categories are all drawn.
ALL = shade.label_table(np.ones(len(MANY), np.bool_))
ROOT = Path(__file__).resolve().parents[2]
#: Dichromats by projection in linear sRGB: Vienot, Brettel and Mollon (1999) for red and green;
#: a plane through white, red and cyan for blue, as in Brettel, Vienot and Mollon (1997).
DICHROMATS = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    "tritanopia": [[1.0, 0.14461, -0.14461], [0.0, 0.85924, 0.14076], [0.0, 0.85924, 0.14076]],
}


def lightness(name: str) -> np.ndarray:
    return palettes.to_oklab(palettes.palette(name, 64).astype(float))[:, 0]


@pytest.mark.parametrize("name", ["ink-light", "grey-light"])
def test_more_is_darker_on_a_light_canvas(name: str) -> None:
    assert (np.diff(lightness(name)) < 0).all()
    assert lightness(name)[0] > 0.85


@pytest.mark.parametrize("name", ["ink-dark", "grey-dark", "viridis", "magma"])
def test_more_is_lighter_on_a_dark_canvas(name: str) -> None:
    assert (np.diff(lightness(name)) > 0).all()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_diverging_palettes_turn_in_the_middle(theme: str) -> None:
    steps = np.diff(lightness(f"div-{theme}"))
    sign = 1 if theme == "light" else -1
    assert (sign * steps[:31] > 0).all()
    assert (sign * steps[32:] < 0).all()


def test_palettes_pass_through_their_stops() -> None:
    found = palettes.palette("ink-light", 9)
    assert [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in found] == list(palettes.STOPS["ink-light"])


def test_an_unknown_palette_names_the_nearest() -> None:
    with pytest.raises(BadRequest, match="viridis"):
        palettes.check_palette("viridas")


def test_the_client_has_the_same_palettes() -> None:
    kept = json.loads((ROOT / "assets" / "palettes.json").read_text("utf-8"))
    assert kept == palettes.client_palettes()


@pytest.mark.parametrize("sight", ["normal", *DICHROMATS])
def test_the_nine_colours_stay_apart_under_colour_blindness(sight: str) -> None:
    rgb = np.array([palettes.parse_colour(c) for c in NINE]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if sight != "normal":
        linear = np.clip(linear @ np.array(DICHROMATS[sight]).T, 0, 1)
    back = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    lab = palettes.to_oklab(back * 255)
    nearest = min(float(np.linalg.norm(a - b)) for a, b in combinations(lab, 2))
    assert nearest > 0.10


def test_oklab_of_white_is_one_and_goes_both_ways() -> None:
    colours = np.array([[255, 255, 255], [12, 200, 77], [0, 0, 0]])
    lab = palettes.to_oklab(colours)
    np.testing.assert_allclose(lab[0], [1, 0, 0], atol=1e-4)
    assert np.array_equal(palettes.from_oklab(lab), colours)


def test_a_colour_that_cannot_be_read_is_grey() -> None:
    assert palettes.parse_colour("teal") == palettes.NONE["both"][:3]


def test_zero_missing_empty_and_the_ends_have_their_own_indices() -> None:
    values = np.array([np.nan, np.inf, 0, 1e-6, 0.5, 1, 7], np.float32)
    found = index_numbers(values, Range(0, 1, zero=True), 100)
    assert found.tolist() == [0, 1, 2, 3, 3 + 50, 3 + 99, 3 + 99]


def test_zero_is_on_the_ramp_where_it_means_something() -> None:
    weight = shade.value_range(LayerKey("weight", "rna"), (0, 1), "ink-light")
    gene = shade.value_range(LayerKey("imputed", "Gad1"), (0, 1), "ink-light")
    zero = np.zeros(1, np.float32)
    assert index_numbers(zero, weight, 9) == 3
    assert index_numbers(zero, gene, 9) == 2


def test_a_range_without_width_is_a_step() -> None:
    values = np.array([1, 2, 3], np.float32)
    assert index_numbers(values, Range(2, 2), 9).tolist() == [3, 3, 11]


def test_log_ranges_spread_low_values_out() -> None:
    values = np.array([0.1, 1.0], np.float32)
    low, high = index_numbers(values, Range(0, 1, log=True), 101)
    assert low > 3 + 20
    assert high == 3 + 100


def test_isolated_categories_are_full_and_others_faint() -> None:
    categories = [Category("a", "#102030"), Category("b", "#405060")]
    wanted = shade.wanted_codes((1, 99), 2)
    index = shade.index_labels(np.array([[-2, -1, 0, 1]], np.int16), shade.label_table(wanted))
    rgba = shade.label_colours(categories).rgba[index][0]
    assert rgba[0, 3] == 0
    assert rgba[1].tolist() == [*palettes.NONE["both"][:3], shade.FAINT]
    assert rgba[2].tolist() == [0x10, 0x20, 0x30, shade.FAINT]
    assert rgba[3].tolist() == [0x40, 0x50, 0x60, 255]


def test_faint_is_twelve_per_cent() -> None:
    assert pytest.approx(0.12, abs=0.002) == shade.FAINT / 255


@pytest.mark.parametrize(
    ("n", "mode"), [(255, 3), (256, 6), (300, 6)], ids=["indexed", "one too many", "all"]
)
def test_colours_are_exact_however_many_there_are(n: int, mode: int) -> None:
    codes = np.arange(-2, n - 1, dtype=np.int16).reshape(1, -1)
    index = shade.index_labels(codes, ALL)
    colours = shade.label_colours(MANY)
    png = colours.png(index)
    assert png[25] == mode
    assert np.array_equal(pixels(png), colours.rgba[index])


def test_a_small_table_is_written_whole_with_every_tile() -> None:
    colours = shade.number_colours("ink-light", shade.STEPS)
    index = np.array([[0, 1, 2], [3, 100, 254]], np.uint16)
    png = colours.png(index)
    assert colours.palette in png
    assert np.array_equal(pixels(png), colours.rgba[index])
    rows = np.zeros((2, 4), np.uint8)
    assert colours.png(index, None, rows) == png


def test_tables_of_many_thousand_colours_are_exact_with_coverage() -> None:
    many = [Category(str(code), f"#{code:06x}") for code in range(9_000)]
    colours = shade.label_colours(many)
    index = np.array([[0, 2, 9_001, 5_000]], np.uint16)
    found = pixels(colours.png(index, np.full(index.shape, 2, np.uint8)))
    assert np.array_equal(found[0, 1:, :3], colours.rgba[index[0, 1:], :3])
    assert found[0, :, 3].tolist() == [0, 128, 128, 128]


def test_covered_parts_become_opacity() -> None:
    index = np.array([[0, 0, 0, 0, 2, 2, 2, 2]], np.uint16)
    cover = np.array([[4, 4, 4, 4, 1, 2, 3, 4]], np.uint8)
    found = pixels(shade.label_colours(MANY).png(index, cover))
    assert found[0, :, 3].tolist() == [0, 0, 0, 0, 64, 128, 191, 255]
    assert (found[0, 4:, :3] == palettes.parse_colour(MANY[0].colour)).all()


def test_many_colours_with_coverage_are_exact_too() -> None:
    codes = np.arange(-2, 298, dtype=np.int16).reshape(1, -1)
    index = shade.index_labels(codes, ALL)
    cover = np.full(index.shape, 2, np.uint8)
    found = pixels(shade.label_colours(MANY).png(index, cover))
    expected = shade.label_colours(MANY).rgba[index]
    assert np.array_equal(found[0, 1:, :3], expected[0, 1:, :3])
    assert (found[0, 1:, 3] == 128).all()
