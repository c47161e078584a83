"""The bench command: how long pictures take, beside the floor measured in the same run."""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backend.cli.console import command, say, show
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.core.settings import Settings
from backend.service import Backend
from backend.service.planes import MONTAGE

#: Connections that a browser opens to one host.
CONNECTIONS = 6
#: Tiles of one viewport at 1440 x 900: 5 x 4 of 256 pixels.
VIEWPORT = (5, 4)


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "bench",
        run_bench,
        about="Measure tiles, picks, genes and HTTP, each beside its floor.",
        example="bench demo.zarr --json",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--repeats", type=int, default=60, help="tiles per figure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs")


def run_bench(args: argparse.Namespace) -> None:
    """Print a table of medians and 95th percentiles, milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        backend = Backend(settings, args.atlas)
        rng = np.random.default_rng(args.seed)
        backend.planes.main.renderer.warm()
        rows = [*_in_process(backend, rng, args.repeats), *_over_http(backend, settings, rng)]
    atlas = backend.planes.main.atlas
    report = {"atlas": atlas.name, "n_cells": atlas.n_cells, "figures": rows}
    show(report, args.json, _table)


def _in_process(
    backend: Backend, rng: np.random.Generator, repeats: int
) -> Iterator[dict[str, Any]]:
    atlas = backend.planes.main.atlas
    addresses = _addresses(backend, rng, repeats)
    yield _row("floor: read the rows of a tile", [_read(atlas, a) for a in addresses])
    for title, keys in _layers(backend, rng, repeats).items():
        say(f"tiles: {title}")
        times = [
            _timed(partial(backend.tile, TileKey(MONTAGE, k, Style(), a)))
            for k, a in zip(keys, addresses, strict=True)
        ]
        yield _row(f"tile in process, {title}", times)
    yield _row("pick a cell", [_timed(partial(backend.pick, *p)) for p in _points(backend, rng)])


def _read(atlas: Any, address: TileAddress) -> float:
    return _timed(lambda: [np.array(atlas.morton[rows]) for _, rows in atlas.rows_in_tile(address)])


def _addresses(backend: Backend, rng: np.random.Generator, count: int) -> list[TileAddress]:
    """Return tiles under randomly drawn cells, over all zooms from the montage to single cells."""
    atlas = backend.planes.main.atlas
    sections = atlas.sections()
    share = np.array([s.n_cells for s in sections], dtype=float)
    found = []
    for i in range(count):
        info = sections[int(rng.choice(len(sections), p=share / share.sum()))]
        at = info.first + int(rng.integers(info.n_cells))
        side = atlas.world_um / (1 << info.slot.level)
        xy = np.asarray(atlas.xy[at : at + 1])[0] - info.origin + np.array(info.slot[1:]) * side
        zoom = i % (info.slot.level + 7)
        x, y = (xy / atlas.world_um * (1 << zoom)).astype(int)
        found.append(TileAddress(zoom, int(x), int(y)))
    return found


def _layers(backend: Backend, rng: np.random.Generator, repeats: int) -> dict[str, list[LayerKey]]:
    atlas = backend.planes.main.atlas
    table = atlas.genes
    found = {
        f"label {name} ({len(atlas.label(name).categories)} classes)": [LayerKey("label", name)]
        * repeats
        for name in atlas.labels()
    }
    found["density"] = [LayerKey("density", "cells")] * repeats
    measured = [e for s in atlas.sections() if (e := atlas.expression(s.id)) is not None]
    if measured:
        panel = measured[0].genes
        found["measured gene"] = [
            LayerKey("measured", table.symbol[int(g)]) for g in rng.choice(panel, repeats)
        ]
    if table.embedding is not None:
        known = np.flatnonzero(np.any(table.embedding, axis=1))
        found["imputed gene"] = [
            LayerKey("imputed", table.symbol[int(g)]) for g in rng.choice(known, repeats)
        ]
    return found


def _points(backend: Backend, rng: np.random.Generator, count: int = 100) -> list[Any]:
    boxes = [s["bounds"] for s in backend.sections()]
    chosen = [boxes[int(i)] for i in rng.integers(len(boxes), size=count)]
    return [
        (MONTAGE, float(rng.uniform(b[0], b[2])), float(rng.uniform(b[1], b[3]))) for b in chosen
    ]


def _over_http(
    backend: Backend, settings: Settings, rng: np.random.Generator, genes: int = 12
) -> Iterator[dict[str, Any]]:
    """Yield the time until every tile of one viewport has arrived, for genes never asked before."""
    table = backend.planes.main.atlas.genes
    section = max(backend.planes.main.atlas.sections(), key=lambda s: s.n_cells)
    with _server(backend, settings) as port:
        ping = [_fetch(port, ["/healthz"] * VIEWPORT[0] * VIEWPORT[1]) for _ in range(genes)]
        yield _row("floor: as many constant replies over HTTP", ping)
        if table.embedding is None:
            return
        known = np.flatnonzero(np.any(table.embedding, axis=1))
        times = []
        for gene in rng.choice(known, min(genes, len(known)), replace=False):
            layer = f"imputed:{table.symbol[int(gene)]}"
            times.append(_fetch(port, _viewport(section.id, layer)))
        yield _row(f"full viewport over HTTP, imputed gene, {section.id}", times)


def _viewport(section: str, layer: str) -> list[str]:
    """Return the tiles of one screen over a section, three zooms below its overview."""
    columns, rows = VIEWPORT
    left, top = (8 - columns) // 2, (8 - rows) // 2
    return [
        f"/tiles/{section}/{layer}/3/{left + x}/{top + y}.png?palette=ink-light"
        for y in range(rows)
        for x in range(columns)
    ]


def _fetch(port: int, paths: list[str]) -> float:
    def worker(mine: list[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for path in mine:
            connection.request("GET", path)
            reply = connection.getresponse()
            reply.read()
            if reply.status != 200:
                raise RuntimeError(f"{path} answered {reply.status}")
        connection.close()

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [paths[i::CONNECTIONS] for i in range(CONNECTIONS)]
        return _timed(lambda: list(pool.map(worker, shares)))


@contextmanager
def _server(backend: Backend, settings: Settings) -> Iterator[int]:
    from waitress.server import create_server as listen

    from backend.http import create_server

    server = listen(create_server(backend, settings), host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server.effective_port
    finally:
        server.close()
        thread.join(timeout=5)


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - start)


def _row(name: str, times: list[float]) -> dict[str, Any]:
    return {
        "name": name,
        "median_ms": float(np.median(times)),
        "p95_ms": float(np.percentile(times, 95)),
        "n": len(times),
    }


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['atlas']}, {report['n_cells']:,} cells; milliseconds"]
    lines.append(f"{'':58s} {'median':>9s} {'p95':>9s} {'n':>5s}")
    lines += [
        f"{r['name']:58s} {r['median_ms']:9.2f} {r['p95_ms']:9.2f} {r['n']:5d}"
        for r in report["figures"]
    ]
    return "\n".join(lines)
