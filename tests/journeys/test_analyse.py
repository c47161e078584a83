"""A biologist counts contacts and chooses genes below the map; the link holds what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.steps import settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser

#: A job on the small atlas ends well within this, also on a busy machine; milliseconds.
PATIENCE = 120_000


def open_section(page: Page, site: Site, query: str) -> None:
    page.goto(f"{site.url}/?section=merfish-01{query}")
    tiles = page.locator("img.leaflet-tile-loaded[src*='/tiles/']")
    tiles.first.wait_for(timeout=PATIENCE)
    settle(page, PATIENCE)


def open_tool(page: Page, title: str) -> None:
    page.locator("summary", has_text="Analyse").click()
    page.get_by_role("menuitem", name=title).click()


def test_contacts_are_counted_and_a_pair_is_shown_alone(page: Page, site: Site, keep: Path) -> None:
    pairs = site.folder / "data" / "pairs"
    pairs.mkdir(parents=True, exist_ok=True)
    (pairs / "own.csv").write_text("ligand,receptor\nSlc17a7,Gad1\nGad1,Slc17a7\nMbp,Aqp4\n")
    open_section(page, site, "")
    open_tool(page, "Cell contacts")
    # The small atlas is sparse: a contact of 30 um is refused before it is run.
    page.locator("#contacts-run", has_text="were not recorded").wait_for(timeout=PATIENCE)
    page.locator("#contacts-radius").fill("80")
    page.locator("#contacts-reach").fill("500")
    page.locator("#contacts-shifts").fill("100")
    page.locator("#contacts-least").fill("10")
    settle(page, PATIENCE)
    page.get_by_role("button", name="Count contacts").click()
    page.locator("#contacts-figure .heatmaplayer").wait_for(timeout=PATIENCE)
    settle(page, PATIENCE)
    page.screenshot(path=keep / "matrix.png")
    first = page.locator("#contacts-table .linkish").first
    name = first.inner_text().split(" · ")[0]
    first.click()
    page.wait_for_url(re.compile("only="), timeout=PATIENCE)
    page.locator("#contacts-pair", has_text=name).wait_for(timeout=PATIENCE)
    page.get_by_role("radio", name="Network").click()
    page.wait_for_url(re.compile("network"), timeout=PATIENCE)
    settle(page, PATIENCE)
    page.screenshot(path=keep / "network.png")
    with page.expect_download() as taken:
        page.locator("#contacts-head [data-act=take-result]").first.click()
    assert "type_a,type_b" in Path(taken.value.path()).read_text()
    with page.expect_download() as picture:
        page.locator("#contacts-head [data-act=take-plot]").last.click()
    assert Path(picture.value.path()).read_text().lstrip().startswith("<svg")
    # Of these types enough cells touch, and enough do not.
    often = "Astrocyte TE · Oligodendrocyte"
    page.locator("#contacts-table .linkish", has_text=often).click()
    page.locator("#contacts-pair", has_text="Astrocyte TE").wait_for(timeout=PATIENCE)
    page.get_by_role("button", name="Test ligands").click()
    page.locator("#contacts-message th", has_text="Ligand to receptor").wait_for(timeout=PATIENCE)
    assert "3 of 3 pairs of own.csv" in page.locator("#contacts-message").inner_text()
    settle(page, PATIENCE)
    page.screenshot(path=keep / "ligands.png")
    page.go_back()
    page.locator("#contacts-pair", has_text="Astrocyte TE").wait_for(timeout=PATIENCE)


def test_a_choice_of_genes_shows_its_progress_and_can_be_cancelled(
    page: Page, site: Site, keep: Path
) -> None:
    open_section(page, site, "&tool=panels")
    page.locator("#panels-genes").fill("20")
    run = page.get_by_role("button", name="Choose 20 genes")
    run.wait_for(timeout=PATIENCE)
    with site.paused_worker():
        run.click()
        page.locator("#panels-message [role=progressbar]").wait_for(timeout=PATIENCE)
        page.screenshot(path=keep / "progress.png")
        # The card is drawn anew each second; the focus stays on its button.
        cancel = page.locator("#panels-message [data-act=cancel-job]")
        drawn = cancel.element_handle()
        cancel.focus()
        page.wait_for_function("button => !button.isConnected", arg=drawn, timeout=PATIENCE)
        page.wait_for_function(
            "() => document.activeElement.matches('#panels-message [data-act=cancel-job]')"
        )
        page.keyboard.press("Enter")
        page.locator("#panels-message", has_text="cancelled").wait_for(timeout=PATIENCE)
    page.screenshot(path=keep / "cancelled.png")
