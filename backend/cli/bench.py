"""The bench command: how long pictures take, beside the floor measured in the same run."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from backend.cli.console import command, say, show

#: Tiles of one viewport at 1440 x 900: 5 x 4 of 256 pixels; connections that a browser opens.
VIEWPORT, CONNECTIONS = (5, 4), 8
#: Genes that are switched to over HTTP, and times that a slow floor is measured.
GENES, SLOW = 12, 3
#: Times that the fullest tile of a part is drawn.
AGAIN = 15
#: Sorts of tiles, in the order of the table.
PARTS = ("overview", "dense deep", "sparse deep")

Row = dict[str, Any]


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "bench",
        run_bench,
        about="Measure tiles, picks, genes, HTTP and memory, each beside its floor.",
        example="bench demo.zarr --json",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--repeats", type=int, default=120, help="tiles per plane and layer")
    parser.add_argument("--seconds", type=float, default=2.0, help="per figure of HTTP")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server; 0: one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs")


def run_bench(args: argparse.Namespace) -> None:
    """Print a table of medians and 95th percentiles, milliseconds."""
    from backend.core.settings import Settings
    from backend.service import Backend

    with tempfile.TemporaryDirectory() as folder:
        backend = Backend(Settings(data=Path(folder)), args.atlas)
        rng = np.random.default_rng(args.seed)
        rows = [*_in_process(backend, rng, args.repeats)]
        rows += _over_http(backend, args, rng, folder)
    atlas = backend.planes.main.atlas
    report = {
        "atlas": atlas.name,
        "n_cells": atlas.n_cells,
        "n_sections": len(atlas.sections()),
        "n_genes": len(atlas.genes.symbol),
        "cores": os.cpu_count(),
        "bytes_per_cell": round(atlas.n_bytes / atlas.n_cells, 1),
        "figures": rows,
    }
    show(report, args.json, _table)


def _in_process(backend: Any, rng: np.random.Generator, repeats: int) -> Iterator[Row]:
    from backend.cli import bench_tiles as tiles
    from backend.tiles.values import Values

    plane = backend.planes.main
    atlas, renderer = plane.atlas, plane.renderer
    values = Values(atlas)
    renderer.warm()
    for name, places in tiles.planes(atlas, renderer, rng, repeats).items():
        for key in tiles.layers(atlas):
            say(f"{name}, {key}")
            title = f"{name}, {_title(atlas, key)}"
            yield from _tiles(values, renderer, title, key, places)
    yield from _brute(atlas, renderer)
    yield _row("pick a cell", [tiles.timed(partial(backend.pick, *p)) for p in _points(backend)])
    yield from _encoding(atlas, renderer)


def _tiles(values: Any, renderer: Any, title: str, key: Any, places: list[Any]) -> Iterator[Row]:
    """Yield the first tiles, then those of each part, all drawn anew."""
    from backend.cli import bench_tiles as tiles

    first = [tiles.timed(partial(tiles.draw, renderer, key, place)) for place in places]
    yield _row(f"{title}: first 8 tiles", first[:8])
    for part in sorted({place.part for place in places}, key=PARTS.index):
        drawn, floors = [], []
        for place in (place for place in places if place.part == part):
            read = tiles.reader(values, renderer, key, place)
            # What is made once per layer is not part of a tile.
            tiles.draw(renderer, key, place)
            read()
            drawn.append(tiles.timed(partial(tiles.draw, renderer, key, place)))
            floors.append(tiles.timed(read))
        yield _row(f"{title}: {part}", drawn, floors)
    for part in PARTS[:2]:
        full = [place for place in places if place.part == part]
        if full:
            place = max(full, key=lambda place: place.n_cells)
            read = tiles.reader(values, renderer, key, place)
            draw = partial(tiles.draw, renderer, key, place)
            pairs = [(tiles.timed(draw), tiles.timed(read)) for _ in range(AGAIN)]
            name = f"{title}: fullest {part}, {place.n_cells:,} cells"
            yield _row(name, [a for a, _ in pairs], [b for _, b in pairs])


def _title(atlas: Any, key: Any) -> str:
    if key.kind == "label":
        return f"label of {len(atlas.label(key.name).categories)} categories"
    return f"{key.kind} gene" if key.kind in ("measured", "imputed") else str(key)


def _brute(atlas: Any, renderer: Any) -> Iterator[Row]:
    """Yield the tile of the whole atlas beside the product of all embeddings with the gene."""
    from backend.cli import bench_tiles as tiles
    from backend.core.geometry import TileAddress

    genes = tiles.imputable(atlas)
    if not len(genes):
        return
    key = next(key for key in tiles.layers(atlas) if key.kind == "imputed")
    whole = tiles.Place("atlas", TileAddress(0, 0, 0))
    slow = tiles.brute_force(atlas, int(genes[0]))
    slow()
    floors = [tiles.timed(slow) for _ in range(SLOW)]
    drawn = [tiles.timed(partial(tiles.draw, renderer, key, whole)) for _ in range(20)]
    yield _row("imputed gene, whole atlas in one tile, by brute force", drawn, floors)


def _encoding(atlas: Any, renderer: Any) -> Iterator[Row]:
    """Yield writing the PNG of the whole atlas beside PIL."""
    from backend.cli import bench_tiles as tiles
    from backend.core.geometry import TileAddress

    key = tiles.layers(atlas)[0]
    png = tiles.draw(renderer, key, tiles.Place("atlas", TileAddress(0, 0, 0)))
    own, slow = tiles.encoders(png)
    own()
    floors = [tiles.timed(slow) for _ in range(20)]
    yield _row("PNG of a tile, by PIL RGBA level 1", [tiles.timed(own) for _ in range(50)], floors)


def _points(backend: Any, count: int = 100) -> list[Any]:
    rng = np.random.default_rng(1)
    boxes = [s["bounds"] for s in backend.sections()]
    chosen = [boxes[int(i)] for i in rng.integers(len(boxes), size=count)]
    return [
        ("atlas", float(rng.uniform(b[0], b[2])), float(rng.uniform(b[1], b[3]))) for b in chosen
    ]


def _over_http(
    backend: Any, args: argparse.Namespace, rng: np.random.Generator, folder: str
) -> Iterator[Row]:
    from backend.cli import bench_http as http
    from backend.cli import bench_tiles as tiles

    plane = backend.planes.main
    atlas = plane.atlas
    places = tiles.planes(atlas, plane.renderer, rng, 400)["montage"]
    keys = [key for key in tiles.layers(atlas) if key.kind in ("label", "measured", "imputed")]
    with http.served(args.atlas, args.workers, folder) as (port, process):
        for clients in (1, CONNECTIONS):
            say(f"HTTP, {clients} clients")
            floor = http.rate(port, clients, [http.PING], args.seconds)
            yield _http_row(f"HTTP, {clients} clients, constant reply of 20 kB", floor, None)
            for key in keys:
                paths = [_path(place.section, key, place.address) for place in places]
                http.rate(port, clients, paths, min(1.0, args.seconds))
                found = http.rate(port, clients, paths, args.seconds)
                name = f"HTTP, {clients} clients, {_title(atlas, key)}"
                yield _http_row(name, found, floor)
        yield from _switches(atlas, port, rng)
        memory = http.private_megabytes(process)
        if memory:
            yield {"name": "private memory of the largest server process", "mb": max(memory)}


def _switches(atlas: Any, port: int, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the time until every tile of a viewport has come, for genes never asked before."""
    from backend.cli import bench_http as http
    from backend.cli import bench_tiles as tiles
    from backend.core.layers import LayerKey

    genes = tiles.imputable(atlas)
    largest = max(atlas.sections(), key=lambda s: s.n_cells)
    screens = {"one section": (largest.id, 3), "montage": ("atlas", 3)}
    for name, (section, zoom) in screens.items() if len(genes) else ():
        times, floors = [], []
        for gene in rng.choice(genes, min(GENES, len(genes)), replace=False):
            key = LayerKey("imputed", atlas.genes.symbol[int(gene)])
            paths = [_path(section, key, address) for address in _viewport(zoom)]
            times.append(tiles.timed(partial(http.ask, port, CONNECTIONS, paths)))
            constant = [http.PING] * len(paths)
            floors.append(tiles.timed(partial(http.ask, port, CONNECTIONS, constant)))
        yield _row(f"switch to another imputed gene, viewport of {name}, HTTP", times, floors)


def _viewport(zoom: int) -> list[Any]:
    """Return the tiles of one screen in the middle of a plane."""
    from backend.core.geometry import TileAddress

    columns, rows = VIEWPORT
    left, top = ((1 << zoom) - columns) // 2, ((1 << zoom) - rows) // 2
    return [TileAddress(zoom, left + x, top + y) for y in range(rows) for x in range(columns)]


def _path(section: str, key: Any, address: Any) -> str:
    z, x, y = address
    return f"/tiles/{section}/{key}/{z}/{x}/{y}.png?palette=ink-light"


def _row(name: str, times: list[float], floors: list[float] | None = None) -> Row:
    found: Row = {
        "name": name,
        "p50_ms": float(np.median(times)),
        "p95_ms": float(np.percentile(times, 95)),
        "n": len(times),
    }
    if floors is None:
        return found
    floor = float(np.median(floors))
    return found | {"floor_p50_ms": floor, "ratio": found["p50_ms"] / max(floor, 1e-6)}


def _http_row(name: str, found: dict[str, float], floor: dict[str, float] | None) -> Row:
    if floor is None:
        return {"name": name, **found}
    return {
        "name": name,
        **found,
        "floor_p50_ms": floor["p50_ms"],
        "ratio": found["p50_ms"] / floor["p50_ms"],
        "ratio_p95": found["p95_ms"] / floor["p95_ms"],
    }


def _table(report: dict[str, Any]) -> str:
    lines = [
        f"{report['atlas']}: {report['n_cells']:,} cells, {report['n_sections']} sections, "
        f"{report['n_genes']:,} genes, {report['bytes_per_cell']} bytes per cell; "
        f"{report['cores']} cores; milliseconds",
        f"{'':78s} {'p50':>8s} {'p95':>8s} {'floor':>8s} {'ratio':>8s} {'per s':>7s}",
    ]
    lines += [_line(row) for row in report["figures"]]
    return "\n".join(lines)


def _line(row: Row) -> str:
    if "mb" in row:
        return f"{row['name']:78s} {row['mb']:8.0f} MB"
    cells = [
        f"{row[name]:{width}.{digits}f}" if name in row else " " * width
        for name, width, digits in (
            ("p50_ms", 8, 2),
            ("p95_ms", 8, 2),
            ("floor_p50_ms", 8, 3),
            ("ratio", 8, 2 if row.get("ratio", 1) >= 0.1 else 4),
            ("per_second", 7, 0),
        )
    ]
    return f"{row['name'][:78]:78s} {' '.join(cells)}".rstrip()
