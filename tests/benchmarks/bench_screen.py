"""What a person waits for in the browser, measured in headless Chromium on a served atlas.

Run: ``python -m tests.benchmarks.bench_screen ATLAS.zarr [--repeats N] [--json]``. It starts
``app.py`` on a free port, or takes a running one by ``--url``, and measures on the montage, in the
largest embedded section, and in the UMAP of the dock:

- navigation: from the first byte asked for to the first coloured tile on screen, empty cache;
- switch: from the click on an imputed gene that was not shown before to all tiles of the viewport
  being drawn and in front, two frames included;
- lit: pixels of the map unlike its background, least of all frames of the switch, as a part of
  the less lit of the steady frames before and after;
- repeat: requests of tiles that leave the browser when the gene before is chosen again.
``bench_browser`` follows the same switch tile by tile, chosen by the search box.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
SIZE = {"width": 1440, "height": 900}
#: Difference of a colour channel from which a pixel is not background, and seconds of rest.
UNLIKE, REST = 12, 0.7
#: Longest wait for anything, milliseconds.
MOST = 60_000

#: Resolves, in milliseconds of the page's clock, when the first coloured tile is on screen.
FIRST_TILE = """() => new Promise((done) => {
  const look = () => {
    const tile = [...document.querySelectorAll("#map img.leaflet-tile-loaded")]
      .find((i) => i.src.includes("/tiles/") && i.naturalWidth > 0);
    if (tile) requestAnimationFrame(() => done(performance.now()));
    else requestAnimationFrame(look);
  };
  look();
})"""
#: Clicks a button that shows a layer; resolves with the milliseconds until all tiles of the map
#: that touch the viewport are drawn and in front, and until the picture of the UMAP is.
SWITCH = """(layer) => new Promise((done) => {
  const button = document.createElement("button");
  Object.assign(button.dataset, { act: "layer", value: layer });
  document.body.append(button);
  const wanted = `/${layer}/`;
  const box = document.getElementById("map").getBoundingClientRect();
  const seen = (i) => {
    const r = i.getBoundingClientRect();
    return r.right > box.left && r.left < box.right && r.bottom > box.top && r.top < box.bottom;
  };
  const front = () => {
    const layers = [...document.querySelectorAll("#map .leaflet-tile-pane .leaflet-layer")]
      .filter((l) => l.querySelector("img[src*='/tiles/']"))
      .sort((a, b) => (+b.style.zIndex || 0) - (+a.style.zIndex || 0));
    if (!layers.length || layers[0].style.opacity === "0") return false;
    const tiles = [...layers[0].querySelectorAll("img")].filter(seen);
    return tiles.length > 0 && tiles.every((i) => i.src.includes(wanted) && i.complete);
  };
  const umap = () => {
    const image = document.querySelector("#umap .umapbox img");
    return image && image.src.includes(wanted);
  };
  const has = document.querySelector("#umap .umapbox img");
  const found = { map: 0, umap: has ? 0 : -1 };
  const start = performance.now();
  const look = () => {
    const now = performance.now() - start;
    if (!found.map && front()) found.map = now;
    if (found.umap === 0 && umap()) found.umap = now;
    if ((found.map && found.umap !== 0) || now > 60000) {
      button.remove();
      requestAnimationFrame(() => requestAnimationFrame(() => {
        const frames = performance.now() - start - now;
        done({ map: found.map + frames, umap: found.umap > 0 ? found.umap + frames : null });
      }));
    } else requestAnimationFrame(look);
  };
  button.click();
  requestAnimationFrame(look);
})"""

Row = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas", nargs="?", type=Path)
    parser.add_argument("--url", help="of a running explorer; one is started if unset")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with served(args.atlas, args.url) as url:
        report = measure(url, args.repeats)
    sys.stdout.write((json.dumps(report, indent=1) if args.json else table(report)) + "\n")


def measure(url: str, repeats: int) -> dict[str, Any]:
    """Return all figures of a served atlas."""
    info = ask(url, "atlas")
    sections = [s for s in ask(url, "sections")["sections"] if s["embedded"]]
    largest = max(sections, key=lambda s: s["n_cells"])["id"]
    genes = [f"imputed:{g}" for g in imputable(url, 4 * repeats + 8)]
    program = next(p for name in CHROMIUM if (p := shutil.which(name)))
    rows: list[Row] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for name, query in (("montage", ""), ("section", f"?section={largest}")):
            own, genes = genes[: 2 * repeats + 3], genes[2 * repeats + 3 :]
            times = [navigation(browser, url + "/" + query) for _ in range(repeats)]
            rows.append(row(f"{name}: first coloured tile after navigation", times, "ms"))
            rows += switches(browser, url + "/" + query, name, own)
        browser.close()
    return {
        "n_cells": info["n_cells"],
        "n_sections": info["n_sections"],
        "layouts": info["layouts"],
        "window": f"{SIZE['width']} x {SIZE['height']}",
        "figures": rows,
    }


def navigation(browser: Browser, url: str) -> float:
    """Return milliseconds from navigation to the first coloured tile, with an empty cache."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(MOST)
    page.goto(url, wait_until="commit")
    found = float(page.evaluate(FIRST_TILE))
    context.close()
    return found


def switches(browser: Browser, url: str, name: str, genes: list[str]) -> Iterator[Row]:
    """Yield figures of switching from gene to gene, and back."""
    context = browser.new_context(viewport=SIZE)
    page = context.new_page()
    page.set_default_timeout(MOST)
    page.goto(url, wait_until="commit")
    page.evaluate(FIRST_TILE)
    rest(page)
    for gene in genes[:2]:  # the first imputed gene also fetches parts of the panel
        page.evaluate(SWITCH, gene)
        rest(page)
    session = context.new_cdp_session(page)
    timed, lit, again = [], [], []
    half = len(genes) // 2 + 1
    for gene in genes[2:half]:
        timed.append(page.evaluate(SWITCH, gene))
        rest(page)
    before = genes[half - 1]
    for gene in genes[half:]:
        lit.append(least_lit(page, session, gene))
        again.append(asked(page, session, lambda g=before: page.evaluate(SWITCH, g)))
        before = gene
        page.evaluate(SWITCH, gene)
        rest(page)
    yield row(f"{name}: whole viewport of a new imputed gene", [t["map"] for t in timed], "ms")
    umap = [t["umap"] for t in timed if t["umap"] is not None]
    if umap:
        yield row(f"{name}: its UMAP picture", umap, "ms")
    yield row(f"{name}: least lit during the switch", lit, "of steady", worst=min)
    yield row(f"{name}: tile requests of a repeated view", again, "requests")
    context.close()


def rest(page: Page) -> None:
    """Wait until the page asks for nothing any more, and a moment longer."""
    page.wait_for_load_state("networkidle", timeout=MOST)
    page.wait_for_timeout(1000 * REST)


def least_lit(page: Page, session: CDPSession, gene: str) -> float:
    """Return the least lit frame of a switch, as a part of the less lit of its first and last."""
    frames: list[bytes] = []
    due: list[int] = []

    def keep(event: dict[str, Any]) -> None:
        frames.append(base64.b64decode(event["data"]))
        due.append(event["sessionId"])

    first = lit_share(page, page.screenshot())
    session.on("Page.screencastFrame", keep)
    session.send("Page.startScreencast", {"format": "png", "everyNthFrame": 1})
    page.evaluate(f"(layer) => {{ window.benched = false; ({SWITCH})(layer)"
                  ".then(() => { window.benched = true; }); }", gene)  # fmt: skip
    end = None
    while end is None or time.monotonic() < end:
        page.wait_for_timeout(5)
        while due:  # not in the listener: the next frame comes when this one was received
            session.send("Page.screencastFrameAck", {"sessionId": due.pop()})
        if end is None and page.evaluate("() => window.benched"):
            end = time.monotonic() + REST
    session.send("Page.stopScreencast")
    session.remove_listener("Page.screencastFrame", keep)
    rest(page)
    last = lit_share(page, page.screenshot())
    least = min((lit_share(page, frame) for frame in frames), default=last)
    return least / max(min(first, last), 1e-9)


def lit_share(page: Page, picture: bytes) -> float:
    """Return the share of the pixels of the map that are unlike its background."""
    box = page.locator("#map").bounding_box()
    assert box is not None
    with Image.open(io.BytesIO(picture)) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.int64)
    scale = pixels.shape[1] / SIZE["width"]
    left, top = int(box["x"] * scale), int(box["y"] * scale)
    right, bottom = left + int(box["width"] * scale), top + int(box["height"] * scale)
    inside = pixels[top:bottom:2, left:right:2]
    colours, counts = np.unique(inside @ np.array([65_536, 256, 1]), return_counts=True)
    commonest = int(colours[np.argmax(counts)])
    background = np.array([commonest >> 16, commonest >> 8 & 255, commonest & 255])
    return float((np.abs(inside - background).max(axis=2) > UNLIKE).mean())


def asked(page: Page, session: CDPSession, act: Callable[[], object]) -> int:
    """Return how many tiles an act fetches from the server rather than from the browser's cache."""
    sent: dict[str, str] = {}
    cached: set[str] = set()

    def note(event: dict[str, Any]) -> None:
        sent[event["requestId"]] = event["request"]["url"]

    def kept(event: dict[str, Any]) -> None:
        cached.add(event["requestId"])

    def came(event: dict[str, Any]) -> None:
        if event["response"].get("fromDiskCache"):
            cached.add(event["requestId"])

    session.send("Network.enable")
    for name, listener in (
        ("Network.requestWillBeSent", note),
        ("Network.requestServedFromCache", kept),
        ("Network.responseReceived", came),
    ):
        session.on(name, listener)
    act()
    rest(page)
    session.send("Network.disable")
    return sum("/tiles/" in url for key, url in sent.items() if key not in cached)


def imputable(url: str, count: int) -> list[str]:
    """Return genes that can be imputed."""
    found: dict[str, None] = {}
    for letter in "aseioutmnrlcdgpk":
        hits = ask(url, f"genes?q={letter}&limit=50")["genes"]
        found |= {hit["symbol"]: None for hit in hits if hit["imputed"]}
    return list(found)[:count]


def ask(url: str, what: str) -> Any:
    """Return an answer of the interface."""
    with urllib.request.urlopen(f"{url}/api/{what}", timeout=60) as reply:
        return json.load(reply)


@contextmanager
def served(atlas: Path | None, url: str | None) -> Iterator[str]:
    """Give the address of an explorer; of one that is started for this where none is given."""
    if url is not None:
        yield url.rstrip("/")
        return
    if atlas is None:
        raise SystemExit("Name an ATLAS.zarr, or a running explorer by --url.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = Path(tempfile.mkdtemp())
    command = [sys.executable, "app.py", "--atlas", str(atlas.resolve()), "--port", str(port)]
    command += ["--data", str(folder), "--workers", "2"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/healthz", server)
            yield address
        finally:
            server.terminate()
            server.wait(timeout=30)
            shutil.rmtree(folder, ignore_errors=True)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return once a server answers."""
    until = time.monotonic() + 180
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise SystemExit("The server did not answer.")


def row(
    name: str, values: list[float], unit: str, worst: Callable[[list[float]], float] = max
) -> Row:
    """Return one line of the table."""
    return {
        "name": name,
        "median": float(np.median(values)),
        "worst": float(worst(values)),
        "n": len(values),
        "unit": unit,
    }


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['n_cells']:,} cells, {report['n_sections']} sections, {report['window']}"]
    lines.append(f"{'figure':52s} {'median':>9s} {'worst':>9s}   n")
    for r in report["figures"]:
        lines.append(
            f"{r['name']:52s} {r['median']:9.3g} {r['worst']:9.3g} {r['n']:3d} {r['unit']}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
