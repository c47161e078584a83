"""Commands on atlases: demo, build, info, tile."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import BadRequest, StoreExists
from backend.core.geometry import TileAddress
from backend.core.layers import LayerKey, Style, TileKey
from backend.core.trust import FEW_BRIDGE_GENES, few_bridges_text


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    _add_demo(commands)
    _add_build(commands)
    _add_info(commands)
    _add_tile(commands)


def _add_demo(commands: Any) -> None:
    parser = command(
        commands,
        "demo",
        run_demo,
        about="Make a simulated atlas of any size.",
        example="demo demo.zarr --sections 20 --cells 200000 --genes 3000 --seed 0",
    )
    parser.add_argument("out", type=Path, metavar="OUT.zarr")
    parser.add_argument("--sections", type=int, default=20, help="number of sections")
    parser.add_argument("--cells", type=int, default=200_000, help="cells and spots in all")
    parser.add_argument("--genes", type=int, default=3000, help="genes of the transcriptome")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same atlas")
    parser.add_argument(
        "--embedded", action="store_true", help="impute at once, by the simulation's own factors"
    )
    parser.add_argument("--dims", type=int, default=64, help="dimensions of --embedded")
    parser.add_argument("--scheduler", help="address of a Dask scheduler; this machine otherwise")
    parser.add_argument("--query", type=Path, help="also write a held-out section to annotate")


def run_demo(args: argparse.Namespace) -> None:
    """Make the simulated atlas."""
    from backend.demo.make import make_demo
    from backend.demo.query import demo_query

    for name in ("sections", "cells", "genes"):
        if getattr(args, name) < 1:
            raise BadRequest(f"--{name} is {getattr(args, name)}.", "Give a number above zero.")
    _refuse_existing(args.out)
    make_demo(
        args.out,
        sections=args.sections,
        cells=args.cells,
        genes=args.genes,
        seed=args.seed,
        embedded=args.embedded,
        dims=args.dims,
        scheduler=args.scheduler,
        ctx=context(args.seed),
    )
    if args.query:
        demo_query(args.query, genes=args.genes, seed=args.seed)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise StoreExists(f"'{path}' exists already.", "Choose another name, or delete it first.")


def _add_build(commands: Any) -> None:
    parser = command(
        commands,
        "build",
        run_build,
        about="Build an atlas from sections: .h5ad files and tables with labels.",
        example="build brain.zarr --config backend/build/brain.yaml --root datasets",
    )
    parser.add_argument("out", type=Path, metavar="OUT.zarr")
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help=".h5ad, .parquet, .csv")
    parser.add_argument("--config", type=Path, help="build.yaml: columns, units, orientation, ...")
    parser.add_argument("--root", type=Path, help="folder that paths of the config start from")
    parser.add_argument("--name", help="name of the atlas")
    parser.add_argument("--embedding", metavar="obsm/KEY", help="keep this embedding of the files")
    parser.add_argument("--scheduler", help="address of a Dask scheduler; this machine otherwise")


def run_build(args: argparse.Namespace) -> None:
    """Build an atlas; run again after an interruption to go on."""
    from backend.build import build_atlas

    if not args.files and not args.config:
        raise BadRequest("There is nothing to build from.", "Name .h5ad files, or a --config.")
    build_atlas(
        args.out,
        args.files,
        config=args.config,
        root=args.root,
        name=args.name,
        embedding=args.embedding,
        scheduler=args.scheduler,
        ctx=context(),
    )


def _add_info(commands: Any) -> None:
    parser = command(
        commands,
        "info",
        run_info,
        about="List what an atlas holds.",
        example="info brain.zarr --json",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--json", action="store_true", help="for programs")


def run_info(args: argparse.Namespace) -> None:
    """Print sections, cells, genes, layers, version and size."""
    from backend.store.atlas import Atlas

    show(_facts(Atlas.open(args.atlas)), args.json, _facts_text)


def _facts(atlas: Any) -> dict[str, Any]:
    sections = atlas.sections()
    embedding = atlas.embedding("cell")
    return {
        "name": atlas.name,
        "simulated": atlas.simulated,
        "version": atlas.version,
        "n_cells": atlas.n_cells,
        "n_sections": len(sections),
        "n_genes": len(atlas.genes.symbol),
        "labels": {name: len(atlas.label(name).categories) for name in atlas.labels()},
        "numbers": [str(key) for key in atlas.numbers()],
        "embedded_sections": len(embedding.sections) if embedding else 0,
        "few_bridge_genes": _few_bridges(embedding),
        "bytes": atlas.n_bytes,
        "sections": [
            {
                "id": s.id,
                "dataset": s.dataset,
                "technology": s.technology,
                "n_cells": s.n_cells,
                "n_genes": s.n_genes,
                "unit": s.unit,
                "xy_unit": s.xy_unit,
                "position": s.position,
                "licence": s.licence,
                "notes": list(s.notes),
            }
            for s in sections
        ],
    }


def _few_bridges(embedding: Any) -> dict[str, int]:
    """Return the data sets whose imputation rests on few shared genes, and how many those are."""
    provenance = embedding.provenance if embedding else None
    return dict(provenance.parameters.get(FEW_BRIDGE_GENES, {})) if provenance else {}


def _facts_text(facts: dict[str, Any]) -> str:
    simulated = " (simulated)" if facts["simulated"] else ""
    lines = [
        f"{facts['name']}{simulated}, version {facts['version']}: {facts['n_cells']:,} cells in "
        f"{facts['n_sections']} sections, {facts['n_genes']:,} genes, "
        f"{facts['bytes'] / 1e6:,.0f} MB",
        "Labels: " + ", ".join(f"{n} ({c})" for n, c in facts["labels"].items()),
        f"Sections with an embedding: {facts['embedded_sections']}",
    ]
    lines += [few_bridges_text(*entry) for entry in facts["few_bridge_genes"].items()]
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for section in facts["sections"]:
        key = (section["dataset"], section["technology"], section["unit"])
        groups.setdefault(key, []).append(section)
    for (dataset, technology, unit), members in groups.items():
        cells = sum(m["n_cells"] for m in members)
        genes = max(m["n_genes"] for m in members)
        noun = "section" if len(members) == 1 else "sections"
        lines.append(
            f"  {dataset} ({technology}): {len(members)} {noun}, {cells:,} cells, "
            f"{f'{genes:,} genes, {unit}' if genes else 'labels only'}"
        )
    return "\n".join(lines)


def _add_tile(commands: Any) -> None:
    parser = command(
        commands,
        "tile",
        run_tile,
        about="Draw one tile.",
        example="tile demo.zarr atlas label:region 0 0 0 -o tile.png",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("section", help="section id, or 'atlas' for the montage")
    parser.add_argument("layer", help="such as label:region, measured:Slc17a7, imputed:Slc17a7")
    for name in ("z", "x", "y"):
        parser.add_argument(name, type=int)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--palette", default="ink-light")
    parser.add_argument("--size", type=int, default=256, choices=(256, 512))


def run_tile(args: argparse.Namespace) -> None:
    """Write one tile as PNG."""
    from backend.store.atlas import Atlas
    from backend.tiles.render import TileRenderer

    key = TileKey(
        args.section,
        LayerKey.parse(args.layer),
        Style(palette=args.palette, size=args.size),
        TileAddress(args.z, args.x, args.y).checked(),
    )
    tile = TileRenderer(Atlas.open(args.atlas)).render(key)
    write_whole(args.out, tile.png)
    say(f"Wrote {args.out}{' (empty: no cells there)' if tile.empty else ''}.")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and move it there, so that no half file is ever seen."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)
