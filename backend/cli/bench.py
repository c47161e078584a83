"""The bench command: how long pictures take, beside the floor measured in the same run."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from backend.cli.console import command, say, show


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "bench",
        run_bench,
        about="Measure tiles, picks, genes, HTTP, memory and building, each beside its floor.",
        example="bench demo.zarr --beside small.zarr --json",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="SMALL.zarr",
        help="to compare the same screen by",
    )
    parser.add_argument("--repeats", type=int, default=120, help="tiles per plane and layer")
    parser.add_argument("--seconds", type=float, default=2.0, help="per figure of HTTP")
    parser.add_argument("--workers", type=int, default=2, help="processes of the server; 0: one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--markdown", action="store_true", help="tables for a report")


def run_bench(args: argparse.Namespace) -> None:
    """Print what must be reached, and all medians and 95th percentiles in milliseconds."""
    from backend.cli.bench_targets import verdicts
    from backend.core.settings import Settings
    from backend.service import Backend

    with tempfile.TemporaryDirectory() as folder:
        backend = Backend(Settings(data=Path(folder)), args.atlas)
        rows = list(_figures(backend, args, folder))
    atlas = backend.planes.main.atlas
    report = {
        "atlas": atlas.name,
        "n_cells": atlas.n_cells,
        "n_sections": len(atlas.sections()),
        "n_genes": len(atlas.genes.symbol),
        "cores": os.cpu_count(),
        "bytes_per_cell": round(atlas.n_bytes / atlas.n_cells, 1),
        "targets": [
            {**verdict._asdict(), "verdict": verdict.word}
            for verdict in verdicts(rows, atlas.n_cells)
        ],
        "figures": rows,
    }
    show(report, args.json, partial(_text, as_markdown=args.markdown))


def _figures(backend: Any, args: argparse.Namespace, folder: str) -> Iterator[dict[str, Any]]:
    """Yield all rows; what needs torch comes last, and is left out where there is none."""
    import numpy as np

    from backend.cli import bench_build as build
    from backend.cli import bench_pictures as pictures
    from backend.cli.bench_job import can_train
    from backend.cli.bench_rows import row, timed
    from backend.cli.bench_served import over_http

    plane = backend.planes.main
    atlas, renderer = plane.atlas, plane.renderer
    rng = np.random.default_rng(args.seed)
    yield from pictures.in_process(atlas, renderer, rng, args.repeats)
    yield from pictures.brute(atlas, renderer, rng)
    if args.beside:
        yield from pictures.same_screen(atlas, renderer, args.beside)
    points = _points(backend, rng)
    yield row("pick a cell", [timed(partial(backend.pick, *point)) for point in points])
    yield from pictures.encoding(atlas, renderer)
    yield from over_http(atlas, renderer, rng, folder, args.workers, args.seconds)
    say("Building the overview")
    yield from build.overview(atlas)
    if can_train():
        say("Sorting all cells")
        yield from build.sorting(atlas)


def _points(backend: Any, rng: Any, count: int = 100) -> list[Any]:
    boxes = [s["bounds"] for s in backend.sections()]
    chosen = [boxes[int(i)] for i in rng.integers(len(boxes), size=count)]
    return [
        ("atlas", float(rng.uniform(b[0], b[2])), float(rng.uniform(b[1], b[3]))) for b in chosen
    ]


def _text(report: dict[str, Any], as_markdown: bool) -> str:
    from backend.cli import bench_rows as rows
    from backend.cli import bench_targets as targets

    names = targets.Verdict._fields
    found = [targets.Verdict(*(line[name] for name in names)) for line in report["targets"]]
    shown = targets.markdown(found) if as_markdown else targets.table(found)
    figures = rows.markdown if as_markdown else rows.table
    lines = [
        f"{report['atlas']}: {report['n_cells']:,} cells, {report['n_sections']} sections, "
        f"{report['n_genes']:,} genes, {report['bytes_per_cell']} bytes per cell; "
        f"{report['cores']} cores",
        "",
        *shown,
        "",
        "Milliseconds; floors are those of the targets, strict ones a bare copy of a tile's rows.",
        "",
        *figures(report["figures"]),
    ]
    return "\n".join(lines)
