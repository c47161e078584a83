"""The layout command: another plane of the same cells, such as a UMAP."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, show
from backend.core.errors import BadRequest


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "layout",
        run_layout,
        about="Lay the cells of an embedded atlas out as a UMAP: a plane beside the tissue.",
        example="layout brain.zarr",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--name", default="umap", help="of the plane: tiles of layout:NAME")
    parser.add_argument("--sample", type=int, help="cells that the plane is fitted on")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same plane")
    parser.add_argument("--json", action="store_true", help="for programs")


def run_layout(args: argparse.Namespace) -> None:
    """Write the plane; run again after an interruption to go on."""
    from backend.runs.layout import layout_atlas

    if args.sample is not None and args.sample < 100:
        raise BadRequest(f"--sample is {args.sample}.", "Give 100 or more.")
    if not args.name.isidentifier():
        raise BadRequest(f"--name is '{args.name[:40]}'.", "Use letters, digits and underscores.")
    found = layout_atlas(
        args.atlas, context(args.seed), name=args.name, seed=args.seed, sample=args.sample
    )
    show(
        found,
        args.json,
        lambda f: (
            f"Laid out {f['placed']:,} cells, fitted on {f['fitted']:,}; "
            f"{f['left_out']:,} without an embedding are left out."
        ),
    )
