"""A newcomer looks around: sections, legend, genes, cells, link, keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

from tests.journeys.steps import (
    drawn_colours,
    open_atlas,
    open_largest,
    search_for,
    settle,
    tile_requests,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser


def test_the_atlas_opens_with_coloured_tissue(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    page.screenshot(path=keep / "montage.png")
    assert page.get_by_text("Simulated", exact=True).first.is_visible()
    assert page.locator("#strip .th").count() == 6
    assert len(drawn_colours(keep / "montage.png")) > 12


def test_a_section_opens_and_a_region_is_isolated(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    page.screenshot(path=keep / "section.png")
    row = page.locator('#legend [data-act="isolate"]').first
    with tile_requests(page) as asked:
        row.click()
        settle(page)
    assert asked
    assert all("only=" in url for url in asked)
    assert row.get_attribute("aria-pressed") == "true"
    page.screenshot(path=keep / "isolated.png")
    page.keyboard.press("Escape")
    settle(page)
    assert "only=" not in page.url


def test_sections_are_walked_with_the_keyboard(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    before = page.url
    page.keyboard.press(".")
    page.wait_for_function("url => location.href !== url", arg=before)
    settle(page)
    page.keyboard.press(",")
    page.wait_for_function(
        "s => new URLSearchParams(location.search).get('section') === s",
        arg=parse_qs(urlsplit(before).query)["section"][0],
    )
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Help").is_visible()
    page.screenshot(path=keep / "help.png")
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Help").is_visible()


def test_a_gene_is_shown_measured_and_imputed(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    search_for(page, "slc17a7")
    page.screenshot(path=keep / "search.png")
    page.keyboard.press("Enter")
    settle(page)
    kind = page.locator("#subject .tag").first.inner_text()
    page.screenshot(path=keep / "gene.png")
    assert kind in ("Measured", "Imputed")
    other = {"Measured": "imputed", "Imputed": "measured"}[kind]
    segment = page.get_by_role("radio", name=re.compile(other, re.I)).first
    if segment.is_enabled():
        with page.expect_request(re.compile(f"/{other}:Slc17a7/"), timeout=20_000):
            page.keyboard.press("i")
        settle(page)
        page.screenshot(path=keep / f"{other}.png")


def test_a_gene_that_this_section_did_not_measure_is_imputed(
    page: Page, site: Site, keep: Path
) -> None:
    open_atlas(page, site)
    gene, section = page.evaluate(
        """async () => {
          const all = (await (await fetch('/api/sections')).json()).sections;
          for (const s of all.filter((s) => s.embedded)) {
            const found = await (await fetch(`/api/search?q=sim&limit=50&section=${s.id}`)).json();
            const gene = found.genes.find((g) => !g.measured && g.imputed);
            if (gene) return [gene.symbol, s.id];
          }
        }"""
    )
    with tile_requests(page) as asked:
        page.goto(f"{site.url}/?section={section}&layer=imputed:{gene}")
        settle(page)
    assert any(f"/imputed:{gene}/" in url for url in asked)
    assert page.locator("#subject .tag").first.inner_text() == "Imputed"
    assert page.locator("#trust").inner_text().strip()
    page.screenshot(path=keep / "imputed.png")


def test_the_range_handle_moves_by_keyboard_and_changes_the_tiles(
    page: Page, site: Site, keep: Path
) -> None:
    open_atlas(page, site)
    open_largest(page)
    search_for(page, "mbp")
    page.keyboard.press("Enter")
    settle(page)
    handle = page.get_by_role("slider").last
    handle.focus()
    with tile_requests(page) as asked:
        for _ in range(6):
            page.keyboard.press("ArrowLeft")
        settle(page)
    assert any("hi=" in url for url in asked)
    page.screenshot(path=keep / "range.png")


def test_hovering_a_cell_shows_its_card(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    page.keyboard.press("+")
    settle(page)
    box = page.locator("#map").bounding_box()
    assert box is not None
    card = page.locator("#card")
    for step in range(40):
        page.mouse.move(box["x"] + 200 + 9 * step, box["y"] + 200 + 5 * step)
        settle(page)
        if card.is_visible():
            break
    assert card.is_visible()
    assert re.search(r"µm", card.inner_text())
    page.screenshot(path=keep / "card.png")


def test_a_link_brings_back_the_same_view(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    search_for(page, "gad1")
    page.keyboard.press("Enter")
    settle(page)
    page.keyboard.press("t")
    settle(page)
    link, tag = page.url, page.locator("#subject").inner_text()
    page.goto("about:blank")
    page.goto(link)
    settle(page)
    assert page.locator("#subject").inner_text() == tag
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.screenshot(path=keep / "dark.png")
    page.go_back()


def test_what_is_shown_can_be_taken_away(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    page.locator(".head details.drop > summary").click()
    page.screenshot(path=keep / "menu.png")
    with page.expect_download() as table:
        page.get_by_role("menuitem", name=re.compile("Table of cells")).first.click()
    text = Path(table.value.path()).read_text()
    assert "simulated" in text.splitlines()[0].lower() + text.splitlines()[1].lower()
    assert "cell_id,x_um,y_um,label_region" in text
    page.locator(".head details.drop > summary").click()
    with page.expect_download() as figure:
        page.get_by_role("menuitem", name=re.compile("Figure")).first.click()
    with Image.open(figure.value.path()) as picture:
        assert picture.size[0] >= 1000


def test_a_word_that_fits_nothing_offers_the_nearest(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    search_for(page, "slc17a9")
    assert "Slc17a7" in page.locator("#results").inner_text()
    page.screenshot(path=keep / "nearest.png")


def test_a_narrow_screen_keeps_the_map(page: Page, site: Site, keep: Path) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    open_atlas(page, site)
    open_largest(page)
    page.screenshot(path=keep / "narrow.png")
    box = page.locator("#map").bounding_box()
    assert box is not None
    assert box["width"] > 0.5 * 1024
