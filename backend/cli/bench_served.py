"""Tiles over HTTP, for the bench: one client and a browser's eight, a crowd, a job beside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from backend.cli import bench_http as http
from backend.cli import bench_tiles as tiles
from backend.cli.bench_job import can_train, training
from backend.cli.bench_pictures import title_of
from backend.cli.bench_rows import Row, row, timed
from backend.cli.console import say
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey
from backend.store.atlas import Atlas
from backend.tiles.render import TileRenderer

#: Tiles of one viewport at 1440 x 900: 5 x 4 of 256 pixels; connections that a browser opens; and
#: those of a crowd.
VIEWPORT, CONNECTIONS, CROWD = (5, 4), 8, 64
#: Clients beside a training, as when the targets were set.
BESIDE_JOB = 2
#: Genes that are switched to, and different tiles that are asked for.
GENES, TILES = 12, 400


def over_http(
    atlas: Atlas,
    renderer: TileRenderer,
    rng: np.random.Generator,
    folder: str,
    workers: int,
    seconds: float,
) -> Iterator[Row]:
    """Yield all figures of a server of its own."""
    places = tiles.planes(atlas, renderer, rng, TILES)["montage"]
    kinds = ("label", "measured", "imputed")
    keys = [key for key in tiles.layers(atlas) if key.kind in kinds]
    paths = {key: [path(p.section, key, p.address) for p in places] for key in keys}
    with http.served(Path(str(atlas.path)), workers, folder) as (port, process):
        for own in paths.values():  # what is made once per layer is not part of a tile
            http.ask(port, CONNECTIONS, [f"{url}&lo=0&hi=2" for url in own])
        for clients in (1, CONNECTIONS):
            say(f"HTTP, {clients} clients")
            yield from _rates(atlas, port, paths, clients, seconds)
        say("HTTP, a viewport")
        yield from _switches(atlas, port, rng)
        kept = http.cache_control(port, f"{paths[keys[0]][0]}&v={atlas.edition}")
        yield {
            "name": "repeat view: requests that a browser makes for a tile it has",
            "value": 0.0 if "immutable" in kept else 1.0,
            "unit": "requests",
            "what": "repeat",
        }
        if can_train():
            say("HTTP, a training beside")
            yield from _beside_job(atlas, port, paths, seconds)
        say(f"HTTP, {CROWD} clients")
        yield from _crowd(atlas, port, paths, seconds)
        memory = http.private_megabytes(process)
        if memory:
            name = "private memory of the largest server process, pages included"
            yield {"name": name, "value": max(memory), "unit": "MB", "what": "memory"}


def _rates(
    atlas: Atlas, port: int, paths: dict[LayerKey, list[str]], clients: int, seconds: float
) -> Iterator[Row]:
    """Yield each layer beside the constant reply, asked for just before it."""
    constant = http.rate(port, clients, [http.PING], seconds)
    yield {"name": f"HTTP, {clients} clients, constant reply of 20 kB", **constant}
    for key, own in paths.items():
        floor = http.rate(port, clients, [http.PING], seconds / 2)
        found = http.rate(port, clients, own, seconds)
        yield {
            "name": f"HTTP, {clients} clients, {title_of(atlas, key)}",
            "what": "http",
            "clients": clients,
            "kind": key.kind,
            **found,
            "floor_p50_ms": floor["p50_ms"],
            "floor_p95_ms": floor["p95_ms"],
            "ratio": found["p50_ms"] / floor["p50_ms"],
            "ratio_p95": found["p95_ms"] / floor["p95_ms"],
        }


def _beside_job(
    atlas: Atlas, port: int, paths: dict[LayerKey, list[str]], seconds: float
) -> Iterator[Row]:
    """Yield tiles while a network is trained, beside tiles before and after."""
    chosen = {key: own for key, own in paths.items() if key.kind in ("label", "imputed")}
    before = {key: http.rate(port, BESIDE_JOB, own, seconds) for key, own in chosen.items()}
    with training():
        during = {key: http.rate(port, BESIDE_JOB, own, seconds) for key, own in chosen.items()}
    for key, own in chosen.items():
        after = http.rate(port, BESIDE_JOB, own, seconds)
        without = (before[key]["p95_ms"] + after["p95_ms"]) / 2
        yield {
            "name": f"HTTP, {BESIDE_JOB} clients while a network trains, {title_of(atlas, key)}",
            "what": "job",
            "kind": key.kind,
            **during[key],
            "floor_p95_ms": without,
            "ratio_p95": during[key]["p95_ms"] / without,
        }


def _crowd(
    atlas: Atlas, port: int, paths: dict[LayerKey, list[str]], seconds: float
) -> Iterator[Row]:
    """Yield what a crowd gets: answers in time, and refusals."""
    for key, own in paths.items():
        if key.kind in ("label", "imputed"):
            found = http.rate(port, CROWD, own, seconds)
            name = f"HTTP, {CROWD} clients, {title_of(atlas, key)}, {found['refused']:.0f} refused"
            yield {"name": name, "what": "crowd", "kind": key.kind, **found}


def _switches(atlas: Atlas, port: int, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the time until every tile of a viewport has come, for genes never asked before."""
    genes = tiles.imputable(atlas)
    largest = max(atlas.sections(), key=lambda s: s.n_cells)
    screens = {"one section": (largest.id, 3), "montage": ("atlas", 3)}
    for name, (section, zoom) in screens.items() if len(genes) else ():
        times, floors = [], []
        for gene in rng.choice(genes, min(GENES, len(genes)), replace=False):
            key = LayerKey("imputed", atlas.genes.symbol[int(gene)])
            own = [path(section, key, address) for address in _viewport(zoom)]
            times.append(timed(partial(http.ask, port, CONNECTIONS, own)))
            constant = [http.PING] * len(own)
            floors.append(timed(partial(http.ask, port, CONNECTIONS, constant)))
        title = f"switch to another imputed gene, viewport of {name}, HTTP"
        yield row(title, times, floors, what="switch")


def _viewport(zoom: int) -> list[TileAddress]:
    """Return the tiles of one screen in the middle of a plane."""
    columns, rows = VIEWPORT
    left, top = ((1 << zoom) - columns) // 2, ((1 << zoom) - rows) // 2
    return [TileAddress(zoom, left + x, top + y) for y in range(rows) for x in range(columns)]


def path(section: str, key: LayerKey, address: TileAddress) -> str:
    """Return the path of a tile."""
    z, x, y = address
    return f"/tiles/{section}/{key}/{z}/{x}/{y}.png?palette=ink-light"
