"""A biologist looks at all sections in one brain; the plane opens the nearest section.

The brain is drawn by WebGL, here in software. Chromium itself then writes on the console that
reading pixels back is slow (of the canvas that plotly letters the axes on, too); such lines are
let pass, all others fail the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.journeys.conftest import FLAGS, launched, quiet_page, run_backend, served
from tests.journeys.steps import drawn_colours, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

    from tests.journeys.conftest import Site

pytestmark = pytest.mark.browser

#: Software drawing of the brain ends well within this, also on a busy machine; milliseconds.
PATIENCE = 120_000
SOFTWARE_GL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
#: What the browser says of its drawing: a line with any of these is not of the atlas.
DRIVER = (
    "GL Driver Message",
    "GPU stall due to ReadPixels",
    "software WebGL",
    "Canvas2D: Multiple readback",
)


@pytest.fixture(scope="module")
def placed_site(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The demo atlas with its sections laid over one another; SPACE_DEMO names one that is so."""
    if "SPACE_DEMO" in os.environ:
        folder = Path(os.environ["SPACE_DEMO"])
    else:
        folder = tmp_path_factory.mktemp("placed")
        shutil.copytree(demo_folder / "demo.zarr", folder / "demo.zarr")
        run_backend("register", folder / "demo.zarr")
    with served(folder, tmp_path_factory.mktemp("space-site")) as running:
        yield running


@pytest.fixture
def drawn_page(placed_site: Site, playwright: Playwright) -> Iterator[Page]:
    """A page whose browser draws WebGL in software."""
    flags = [flag for flag in FLAGS if flag != "--disable-gpu"] + SOFTWARE_GL
    with (
        launched(playwright, flags) as browser,
        quiet_page(browser, placed_site, _of_the_atlas) as opened,
    ):
        yield opened


def _of_the_atlas(line: str) -> bool:
    """Whether the atlas, and not the driver, said a line of the console."""
    return not any(words in line for words in DRIVER)


def test_plane_through_the_brain_opens_the_nearest_section_and_a_nudge_is_saved(
    drawn_page: Page, placed_site: Site, keep: Path
) -> None:
    from playwright.sync_api import expect

    page = drawn_page
    page.goto(f"{placed_site.url}/?section=merfish-01&tool=space")
    page.locator("#space-brain canvas").first.wait_for(timeout=PATIENCE)
    page.locator("#space-slice .main-svg").first.wait_for(timeout=PATIENCE)
    settle(page, PATIENCE)
    page.locator("#space-brain").screenshot(path=keep / "brain.png")
    assert len(drawn_colours(keep / "brain.png")) > 10

    before = page.locator("#space-near").inner_text()
    page.locator("#space-at [role=slider]").focus()
    for _ in range(12):
        page.keyboard.press("PageUp")
    page.wait_for_url(lambda url: "using=" in url, timeout=PATIENCE)
    page.wait_for_function(
        "said => document.querySelector('#space-near').innerText !== said", arg=before,
        timeout=PATIENCE,
    )  # fmt: skip
    settle(page, PATIENCE)
    page.locator("#space-near [data-set=section], #space-near button").first.click()
    page.wait_for_url(lambda url: "section=merfish-01" not in url, timeout=PATIENCE)
    settle(page, PATIENCE)
    page.screenshot(path=keep / "nearest.png")

    page.locator("#space-turn").fill("7")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "7" in url.partition("using=")[2], timeout=PATIENCE)
    settle(page, PATIENCE)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Save corrections").click()
    opened = page.evaluate("new URLSearchParams(location.search).get('section')")
    assert opened in Path(taken.value.path()).read_text()
    page.get_by_role("button", name="Put back").click()
    expect(page.locator("#space-turn")).to_have_value("0", timeout=PATIENCE)
