"""How long a browser takes from the choice of a gene to its whole viewport, and what it shows.

Chromium opens the largest section (or the montage) of an atlas that ``app.py`` serves, and imputed
genes are chosen by the search box, each for the first time. Frame by frame, the page notes which
tiles of the viewport show the new gene, and how much of the viewport shows any picture at all,
tiles weighed by their opacity.

Run: ``python -m tests.benchmarks.bench_browser ATLAS.zarr [--section atlas] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.store.atlas import Atlas
from tests.journeys.conftest import CHROMIUM, FLAGS, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

#: Notes every frame after the key that chooses: milliseconds, share of tiles that are new, and of
#: the viewport that shows a picture.
WATCH = """gene => {
  const map = document.getElementById('map-atlas');
  const shown = (tile) => {
    let light = 1;
    for (let e = tile; e !== map; e = e.parentElement) light *= +getComputedStyle(e).opacity;
    return light;
  };
  const look = () => {
    const edge = map.getBoundingClientRect(), places = new Map();
    for (const tile of map.querySelectorAll("img[src*='/tiles/']")) {
      const box = tile.getBoundingClientRect();
      if (box.right <= edge.left || box.left >= edge.right) continue;
      if (box.bottom <= edge.top || box.top >= edge.bottom) continue;
      const name = `${Math.round(box.left)},${Math.round(box.top)}`;
      const own = places.get(name) || { light: 0, fresh: 0 };
      const loaded = tile.complete && tile.naturalWidth > 0;
      const light = loaded ? shown(tile) : 0;
      own.light = 1 - (1 - own.light) * (1 - light);
      if (light > 0.99 && decodeURIComponent(tile.src).includes(`/imputed:${gene}/`)) own.fresh = 1;
      places.set(name, own);
    }
    const all = [...places.values()];
    const mean = (name) => all.reduce((sum, p) => sum + p[name], 0) / Math.max(1, all.length);
    return [mean('fresh'), mean('light')];
  };
  window.frames_ = [];
  window.watched_ = false;
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    const start = performance.now();
    let end = start + 20000;
    const step = () => {
      const now = performance.now(), seen = look();
      window.frames_.push([now - start, ...seen]);
      if (seen[0] > 0.999) end = Math.min(end, now + 500);
      if (now < end) requestAnimationFrame(step); else window.watched_ = true;
    };
    requestAnimationFrame(step);
  }, { capture: true, once: true });
}"""


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--section", help="section id, or atlas; the largest section where unset")
    parser.add_argument("--genes", type=int, default=9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    atlas = Atlas.open(options.atlas)
    section = options.section or max(atlas.sections(), key=lambda s: s.n_cells).id
    with served(options.atlas, options.workers) as url, opened(f"{url}/?section={section}") as page:
        found = [switch(page, gene) for gene in genes(atlas, options.genes)]
    first, whole, least = (np.array(part) for part in zip(*found, strict=True))
    report = {
        "n_cells": atlas.n_cells,
        "section": section,
        "genes": len(found),
        "first_tile_p50_ms": float(np.median(first)),
        "viewport_p50_ms": float(np.median(whole)),
        "viewport_worst_ms": float(whole.max()),
        "least_lit": float(least.min()),
    }
    lines = [f"{name}: {value}" for name, value in report.items()]
    sys.stdout.write((json.dumps(report, indent=1) if options.json else "\n".join(lines)) + "\n")


def genes(atlas: Atlas, count: int) -> list[str]:
    """Return genes that can be imputed, always the same."""
    table = atlas.genes.embedding
    known = [] if table is None else np.flatnonzero(np.any(table, axis=1))
    chosen = np.random.default_rng(0).choice(known, count + 1, replace=False)
    return [atlas.genes.symbol[int(gene)] for gene in chosen]


def switch(page: Page, gene: str) -> tuple[float, float, float]:
    """Choose a gene; return when its first tile and its whole viewport were shown, and the least
    part of the viewport that showed a picture, as a part of what it shows at rest.
    """
    page.keyboard.press("/")
    page.keyboard.insert_text(gene)
    page.locator("#results").get_by_text(gene).first.wait_for(timeout=20_000)
    page.wait_for_timeout(600)
    page.evaluate(WATCH, gene)
    page.keyboard.press("Enter")
    page.wait_for_function("() => window.watched_", timeout=30_000)
    frames: list[list[float]] = page.evaluate("window.frames_")
    steady = max(frames[-1][2], 1e-6)
    first = next((at for at, fresh, _ in frames if fresh > 0), float("inf"))
    whole = next((at for at, fresh, _ in frames if fresh > 0.999), float("inf"))
    return first, whole, min(light for _, _, light in frames) / steady


@contextmanager
def opened(url: str) -> Iterator[Page]:
    """Open a page of 1440 x 900 and wait until it rests."""
    from playwright.sync_api import sync_playwright

    program = next((p for name in CHROMIUM if (p := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.locator("#map-atlas img.leaflet-tile-loaded").first.wait_for(timeout=90_000)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(1000)
        yield page
        browser.close()


@contextmanager
def served(atlas: Path, workers: int) -> Iterator[str]:
    """Serve an atlas on a free port of this machine; stop it whatever happens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as data:
        command: list[Any] = [sys.executable, "app.py", "--atlas", atlas.resolve(), "--data", data]
        command += ["--port", port, "--workers", workers]
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(f"{url}/healthz", process)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError("the server did not answer")


if __name__ == "__main__":
    main(sys.argv[1:])
