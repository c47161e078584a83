"""A biologist weighs the modalities of a section and reads where each has something to say."""

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

PATIENCE = 180_000


def test_a_multi_omics_section_is_weighed_and_read(page: Page, site: Site, keep: Path) -> None:
    open_atlas(page, site)
    page.locator("summary", has_text="Analyse").click()
    page.get_by_role("menuitem", name=re.compile("Modality weights")).click()
    page.get_by_role("button", name="Try a simulated section").click()
    run = page.get_by_role("button", name="Weigh 1,296 spots")
    run.wait_for(timeout=PATIENCE)
    page.screenshot(path=keep / "checked.png")
    run.click()
    page.get_by_role("button", name="Weight of protein").wait_for(timeout=PATIENCE)
    settle(page)
    page.screenshot(path=keep / "maps.png")
    assert len(drawn_colours(keep / "maps.png")) > 3
    assert "Your section" in page.locator("#map").inner_text()

    page.get_by_role("radio", name="Weights by domain").click()
    page.locator("#weights-body table").wait_for()
    assert "Agreement" in page.locator("#weights-body").inner_text()
    page.locator("#weights-body [data-act=steer]").nth(1).click()
    page.wait_for_function("() => new URLSearchParams(location.search).get('only') === '1'")
    page.get_by_role("radio", name="Against baselines").click()
    page.get_by_text("This model").first.wait_for()
    settle(page)
    page.screenshot(path=keep / "baselines.png")

    link = page.url
    page.goto(link)
    page.get_by_role("radio", name="Against baselines").wait_for(timeout=PATIENCE)
    page.keyboard.press("Escape")
    page.wait_for_function("() => !new URLSearchParams(location.search).get('tool')")
