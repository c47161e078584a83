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

#: A page is at rest after so many frames in which it waited for nothing. Frames, not seconds: a
#: busy machine draws fewer.
FRAMES = 24
#: Longest wait of a step, also on a busy machine; milliseconds.
PATIENCE = 60_000
#: Runs before the scripts of a page: counts what is asked for and not answered yet.
COUNT_REQUESTS = """
  window.watched = { open: 0, quiet: 0 };
  const send = window.fetch;
  window.fetch = (...asked) => {
    window.watched.open += 1;
    return send(...asked).finally(() => { window.watched.open -= 1; });
  };
"""
_AT_REST = """(frames) => {
  const seen = (e) => e.offsetParent !== null;
  const waits = document.readyState !== "complete"
    || watched.open > 0
    || document.querySelector("._dash-loading") !== null
    || [...document.querySelectorAll(".skel")].some(seen)
    || [...document.images].some((i) => seen(i) && i.loading !== "lazy" && !i.complete);
  watched.quiet = waits ? 0 : watched.quiet + 1;
  return watched.quiet > frames;
}"""


def settle(page: Page, most: int = PATIENCE) -> None:
    """Wait until nothing is asked for, no picture awaited, and no place kept in grey."""
    page.evaluate("() => { watched.quiet = 0; }")
    page.wait_for_function(_AT_REST, arg=FRAMES, polling="raf", timeout=most)


def open_atlas(page: Page, site: Site, query: str = "") -> None:
    page.goto(site.url + "/" + query)
    page.locator("img.leaflet-tile-loaded[src*='/tiles/']").first.wait_for(timeout=PATIENCE)
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
