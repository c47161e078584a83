"""How fast the store is, each figure beside a floor measured in the same run.

Run: ``python -m tests.benchmarks.bench_store [--cells N --sections S --genes G] [--json]`` writes
a synthetic atlas, with its embeddings, into a temporary folder and measures that; or name an
``ATLAS.zarr``. Floors: a copy of the rows out of memory, ``torch.sort`` of the codes, one sum over
the embeddings.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from backend.cli import bench_build
from backend.core.data import Label, SectionData
from backend.core.geometry import Bounds, TileAddress
from backend.core.layers import Category, LayerKey
from backend.store import pyramid, schema
from backend.store.atlas import Atlas
from backend.store.finish import all_codes
from backend.store.write import AtlasWriter, PlannedSection

REGIONS, TYPES, WIDTH, PANEL, PER_CELL, SIDE = 300, 60, 64, 500, 60, 10_000.0

Row = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("atlas", nargs="?", type=Path)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--sections", type=int, default=8)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="where the synthetic atlas is written")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        rows: list[Row] = []
        path = args.atlas
        if path is None:
            path = folder / "a.zarr"
            rows += build(path, args.cells, args.sections, args.genes)
        rows += measure(path, args.repeats)
        report = {"n_cells": Atlas.open(path).n_cells, "figures": rows}
        sys.stdout.write((json.dumps(report, indent=1) if args.json else table(report)) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build(path: Path, cells: int, sections: int, genes: int) -> Iterator[Row]:
    """Write a synthetic atlas; yield how long writing took, without making the data."""
    rng = np.random.default_rng(0)
    sizes = np.full(sections, cells // sections)
    sizes[: cells % sections] += 1
    plan = [
        PlannedSection(
            id=f"s{i}", n_cells=int(n), extent=Bounds(0, 0, SIDE, SIDE), position=float(i)
        )
        for i, n in enumerate(sizes)
    ]
    scale = np.full(WIDTH, 0.02, np.float32)
    tables = (rng.normal(size=(genes, WIDTH)), np.zeros(genes), np.full((genes, 3), np.nan))
    symbols = [f"Gene{i}" for i in range(genes)]
    times, start = [], time.perf_counter()
    with peak_memory() as peak:
        writer = AtlasWriter(
            path, "bench", True, (symbols, [""] * genes), plan, scale={"cell": scale},
            gene_embedding=tables, expression_bytes=cells * PER_CELL * 3 // 2,
        )  # fmt: skip
        for planned in plan:
            data, cell = section(planned, symbols, rng)
            times.append(timed(lambda d=data, c=cell: writer.add(d, (c, None))))
        finishing = timed(writer.finish)
    whole = time.perf_counter() - start
    yield row("write: all sections", sum(times), "s")
    yield row("write: finish", finishing, "s")
    yield row("write: whole build, making the data included", whole, "s")
    yield row("write: peak memory of its own (anonymous)", max(peak) / 1e9, "GB")


def section(
    planned: PlannedSection, symbols: list[str], rng: np.random.Generator
) -> tuple[SectionData, np.ndarray]:
    """Return a section of random cells in patches, and its embedding."""
    n = planned.n_cells
    xy = rng.uniform(0, SIDE, (n, 2)).astype(np.float32)
    patch = (xy // (SIDE / 18)).astype(int)
    regions = ((patch[:, 0] * 18 + patch[:, 1]) % REGIONS).astype(np.int16)
    types = ((regions + rng.integers(0, 6, n)) % TYPES).astype(np.int16)
    step = rng.integers(0, PANEL - PER_CELL, (n, PER_CELL), dtype=np.int32)
    step.sort(axis=1)
    columns = (step + np.arange(PER_CELL, dtype=np.int32)).ravel()
    values = rng.integers(1, 9, n * PER_CELL).astype(np.float32)
    indptr = np.arange(0, n * PER_CELL + 1, PER_CELL)
    at = int(rng.integers(0, max(1, len(symbols) - PANEL)))
    data = SectionData(
        id=planned.id,
        title=planned.id,
        xy=xy,
        counts=csr_matrix((values, columns, indptr), shape=(n, PANEL)),
        genes=tuple(symbols[at : at + PANEL]),
        names=np.arange(n),
        labels={
            "region": Label(regions, tuple(Category(f"r{i}", "#808080") for i in range(REGIONS))),
            "type": Label(types, tuple(Category(f"t{i}", "#808080") for i in range(TYPES))),
        },
        numbers={LayerKey("confidence", "type"): rng.random(n, np.float32)},
    )
    return data, rng.integers(-127, 128, (n, WIDTH), dtype=np.int8)


def measure(path: Path, repeats: int) -> Iterator[Row]:
    """Yield all figures of an atlas."""
    rng = np.random.default_rng(1)
    atlas, slow = Atlas.open(path), Atlas.open(path, fast=False)
    yield row("open", median(lambda: Atlas.open(path).morton[:1], 7) * 1e3, "ms")
    tiles = addresses(atlas, rng, repeats)
    atlas.rows_in_tile(tiles[0])
    times = [timed(lambda t=t: atlas.rows_in_tile(t)) for t in tiles]
    yield row("tile look-up", float(np.median(times)) * 1e6, "us", p95(times) * 1e6)
    yield from tile_rows(atlas, slow, tiles)
    yield from columns(atlas, slow, rng, repeats)
    yield from building(atlas)
    sizes = parts(path)
    per = 1e6 / atlas.n_cells / 1e6
    for name, size in sizes.items():
        yield row(f"bytes per million cells: {name}", size * per, "MB")
    yield row("bytes per million cells: all", sum(sizes.values()) * per, "MB")


def tile_rows(atlas: Atlas, slow: Atlas, tiles: list[TileAddress]) -> Iterator[Row]:
    """Yield reading the codes and labels of single tiles."""
    name = atlas.labels()[0]
    memory = np.array(atlas.morton[:]), np.array(atlas.label(name).codes[:])
    spans = [(p[0][1].start, p[-1][1].stop) for t in tiles if (p := atlas.rows_in_tile(t))]
    spans = [(a, min(b, a + 250_000)) for a, b in spans]  # above that, overviews are read
    for title, arrays in (
        ("floor, copied from memory", memory),
        ("mapped", (atlas.morton, atlas.label(name).codes)),
        ("zarr", (slow.morton, slow.label(name).codes)),
    ):
        times = [timed(lambda s=s, r=arrays: [np.array(x[s[0] : s[1]]) for x in r]) for s in spans]
        yield row(f"rows of a tile: {title}", float(np.median(times)) * 1e3, "ms", p95(times) * 1e3)


def columns(atlas: Atlas, slow: Atlas, rng: np.random.Generator, repeats: int) -> Iterator[Row]:
    """Yield reading a gene of a section, and the counts of a cell."""
    known = [s for s in atlas.sections() if s.n_genes]
    if not known:
        return
    chosen = [known[int(i)] for i in rng.integers(len(known), size=repeats)]
    for title, of in (("mapped", atlas), ("zarr", slow)):
        times = []
        for info in chosen:
            expression = of.expression(info.id)
            assert expression is not None
            gene = int(rng.choice(expression.genes))
            times.append(timed(lambda e=expression, g=gene: e.column(g)))
        yield row(
            f"gene of a section: {title}", float(np.median(times)) * 1e3, "ms", p95(times) * 1e3
        )
    expression = atlas.expression(chosen[0].id)
    assert expression is not None
    yield row(
        "counts of a cell: first of its section", timed(lambda: expression.cell(0)) * 1e3, "ms"
    )
    yield row("counts of a cell: next", median(lambda: expression.cell(1), 9) * 1e6, "us")


def building(atlas: Atlas) -> Iterator[Row]:
    """Yield what the bench command measures of building; and the commonest classes of bins."""
    for figure in (*bench_build.sorting(atlas), *bench_build.overview(atlas)):
        seconds, ratio = figure["p50_ms"] / 1e3, figure["ratio"]
        yield row(figure["name"], seconds, "s", ratio=ratio)
    levels = atlas.pyramid_levels() or schema.ALWAYS_LEVELS
    codes = all_codes(atlas.sections(), atlas.morton)
    name = atlas.labels()[0]
    label = np.asarray(atlas.label(name).codes[:])
    size = len(atlas.label(name).categories)

    def tops() -> None:
        for _, first, _ in pyramid.levels_of(codes, levels).values():
            pyramid.top_categories(label, first, size)

    tops()
    yield row(f"overview: commonest of {size} classes", median(tops, 3), "s")


def addresses(atlas: Atlas, rng: np.random.Generator, count: int) -> list[TileAddress]:
    """Return tiles under random cells, at zooms from the montage to single cells."""
    found = []
    sections = atlas.sections()
    for i in range(count):
        info = sections[int(rng.integers(len(sections)))]
        at = info.first + int(rng.integers(info.n_cells))
        inside = (np.asarray(atlas.xy[at : at + 1])[0] - info.origin) / info.side
        place = (inside + np.array(info.slot[1:])) / (1 << info.slot.level)
        zoom = i % (info.slot.level + 8)
        x, y = (place * (1 << zoom)).astype(int)
        found.append(TileAddress(zoom, int(x), int(y)))
    return found


def parts(path: Path) -> dict[str, int]:
    """Return the bytes of an atlas by its top folders."""
    return {
        part.name: sum(f.stat().st_size for f in part.rglob("*") if f.is_file())
        for part in sorted(path.iterdir())
        if part.is_dir()
    }


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Give a list that holds the largest anonymous memory of this process, sampled."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            text = Path("/proc/self/status").read_text()
            kilobytes = text.split("RssAnon:")[1].split()[0]
            peak[0] = max(peak[0], int(kilobytes) * 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def timed(act: Callable[[], object]) -> float:
    """Return the seconds an act takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def median(act: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of an act."""
    return float(np.median([timed(act) for _ in range(repeats)]))


def p95(times: list[float]) -> float:
    """Return the 95th percentile."""
    return float(np.percentile(times, 95))


def row(
    name: str, value: float, unit: str, p95: float | None = None, ratio: float | None = None
) -> Row:
    """Return one line of the table."""
    more = {"p95": p95, "ratio_to_floor": ratio}
    return {"name": name, "value": value, "unit": unit} | {
        k: v for k, v in more.items() if v is not None
    }


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f"{report['n_cells']:,} cells"]
    for r in report["figures"]:
        more = f"  p95 {r['p95']:.3g}" if "p95" in r else ""
        more += f"  {r['ratio_to_floor']:.2f} x floor" if "ratio_to_floor" in r else ""
        lines.append(f"{r['name']:56s} {r['value']:10.4g} {r['unit']}{more}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
