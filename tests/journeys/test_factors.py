"""A biologist finds the factors of several sections, reads one, and goes through the stack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.steps import drawn_colours, open_atlas, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser

PATIENCE = 300_000


def test_factors_of_sections_are_found_and_read(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    page.locator("summary", has_text="Analyse").click()
    page.get_by_role("menuitem", name=re.compile("^Factors")).click()
    page.locator("#factors-count").fill("4")
    page.keyboard.press("Tab")
    run = page.get_by_role("button", name=re.compile("Find factors of [2-6] sections"))
    run.wait_for(timeout=PATIENCE)
    settle(page)
    run.click()
    page.locator(".factorcard").nth(3).wait_for(timeout=PATIENCE)
    settle(page)
    page.screenshot(path=keep / "gallery.png")
    assert len(drawn_colours(keep / "gallery.png")) > 3

    page.locator(".factorcard .smallmap").first.click()
    page.get_by_role("heading", name="Gene program").wait_for(timeout=PATIENCE)
    settle(page)
    assert "layer=factor:1" in page.url
    gene = page.locator(".programrow").first
    name = gene.locator("i").first.inner_text()
    gene.click()
    page.wait_for_function("() => location.search.includes('layer=imputed:')")
    settle(page)
    assert name in page.url
    page.screenshot(path=keep / "gene.png")

    page.get_by_role("radio", name="Trust").click()
    page.get_by_role("heading", name="Held-out counts").wait_for(timeout=PATIENCE)
    page.screenshot(path=keep / "trust.png")
    page.get_by_role("radio", name="Compare two").click()
    page.get_by_text(re.compile("Their shares go together")).wait_for(timeout=PATIENCE)
    settle(page)
    page.screenshot(path=keep / "compare.png")
