"""A biologist asks for more than the spots show, and reads whether it was worth it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.steps import open_atlas, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser

PATIENCE = 180_000


def test_spots_are_enhanced_compared_and_judged(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site, "?tool=enhance")
    page.locator("#enhance-genes").fill("40")
    page.locator("#enhance-genes").press("Tab")
    run = page.locator('[data-act="run"][data-value*=\'"genes": 40,\']')
    run.wait_for()
    assert re.fullmatch("Enhance [0-9,]+ spots", run.inner_text())
    run.click()
    handle = page.get_by_role("slider", name=re.compile("spots to the left"))
    handle.wait_for(timeout=PATIENCE)
    page.wait_for_function("() => location.search.includes('section=query-')")
    page.locator(".swipe img[src*='/tiles/']").first.wait_for()
    settle(page)
    page.screenshot(path=keep / "before_after.png")
    handle.focus()
    page.keyboard.press("ArrowLeft")
    assert handle.get_attribute("aria-valuenow") == "48"
    page.keyboard.press("Shift+ArrowRight")
    assert handle.get_attribute("aria-valuetext") == "58 % spots, 42 % subspots"
    # Not measured: the chip over the map says so.
    assert "Enhanced" in page.locator("#map").inner_text()

    page.get_by_role("radio", name="Checks").click()
    page.get_by_text("Spots merged and recovered").wait_for()
    assert "bilinear, rescaled" in page.locator("#tool-panel").inner_text().lower()
    page.get_by_role("radio", name="Genes").click()
    page.locator("#tool-panel table .linkish").nth(3).click()
    handle.wait_for()
    settle(page)
    page.screenshot(path=keep / "another_gene.png")
