"""What a person does again and again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

    from tests.journeys.conftest import Site

#: No request for this long means that the page has come to rest, milliseconds.
REST = 400


def settle(page: Page, most: int = 20_000) -> None:
    """Wait until no request has been open for a while."""
    page.wait_for_timeout(REST)
    page.wait_for_load_state("networkidle", timeout=most)
    page.wait_for_timeout(REST)


def open_atlas(page: Page, site: Site, query: str = "") -> None:
    page.goto(site.url + "/" + query)
    page.locator("img.leaflet-tile-loaded[src*='/tiles/']").first.wait_for(timeout=20_000)
    settle(page)


def open_largest(page: Page) -> None:
    """Open the section with most cells from the strip."""
    section = page.evaluate(
        """async () => {
          const all = (await (await fetch('/api/sections')).json()).sections;
          return all.filter((s) => s.n_genes >= 300).sort((a, b) => b.n_cells - a.n_cells)[0].id;
        }"""
    )
    page.locator(f'#strip .th[data-value="{section}"]').click()
    page.wait_for_function(
        "s => new URLSearchParams(location.search).get('section') === s", arg=section
    )
    settle(page)


def search_for(page: Page, text: str) -> None:
    """Type into the one search box, found by its key."""
    page.keyboard.press("/")
    page.keyboard.type(text, delay=30)
    page.locator("#results").wait_for(state="visible")
    settle(page)


@contextmanager
def tile_requests(page: Page) -> Iterator[list[str]]:
    """Collect the addresses of tiles of the map that are asked for meanwhile."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/tiles/" in request.url:
            asked.append(request.url)

    page.on("request", note)
    yield asked
    page.remove_listener("request", note)


def drawn_colours(picture: Path) -> set[tuple[int, ...]]:
    """Return the saturated colours of the middle of a screenshot, coarsely."""
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB"), dtype=np.int64)
    middle = pixels[100:700, 300:1100].reshape(-1, 3)
    vivid = middle[np.ptp(middle, axis=1) > 40]
    return {tuple(int(v) for v in c) for c in np.unique(vivid // 16, axis=0)}
