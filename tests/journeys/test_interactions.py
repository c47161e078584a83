"""A biologist asks who lies beside a niche, and reads how far to trust the answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.steps import drawn_colours, open_atlas, open_largest, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser

PATIENCE = 240_000


def test_partners_of_a_niche_are_found_and_judged(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    open_largest(page)
    page.locator("summary", has_text="Analyse").click()
    page.get_by_role("menuitem", name=re.compile("^Interactions")).click()
    box = page.locator("#map").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.keyboard.press("l")
    page.mouse.move(x - 60, y - 30)
    page.mouse.down()
    for dx, dy in ((60, -30), (60, 40), (-60, 40)):
        page.mouse.move(x + dx, y + dy, steps=6)
    page.mouse.up()
    # Cells of the demo atlas are 60 µm apart.
    page.locator("#interactions-radius").fill("75")
    page.keyboard.press("Tab")
    run = page.locator("#interactions-run-partners").get_by_role("button", name="Find partners of")
    run.wait_for(timeout=PATIENCE)
    settle(page)
    run.click()
    page.get_by_role("button", name="Show partners on the map").wait_for(timeout=PATIENCE)
    settle(page)
    page.screenshot(path=keep / "partners.png")
    assert len(drawn_colours(keep / "partners.png")) > 3
    page.get_by_role("radio", name="By type").click()
    page.locator("#interactions-figure .heatmaplayer").wait_for(state="attached")
    page.get_by_role("radio", name="How far to trust it").click()
    page.locator("#interactions-body table", has_text="AUC").wait_for()

    link = page.url
    page.goto(link)
    page.get_by_role("radio", name="How far to trust it").wait_for(timeout=PATIENCE)
    page.keyboard.press("Escape")
    page.wait_for_function("() => !new URLSearchParams(location.search).get('tool')")
