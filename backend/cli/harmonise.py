"""The command that brings the labels of the data sets of an atlas together: harmonise."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import StoreExists

#: Lines of the text of a result.
SHOWN = 40


def add_commands(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "harmonise",
        run_harmonise,
        about="Say which class of one data set is which class of another, with scores.",
        example="harmonise brain.zarr --checkpoint brain.ckpt -o harmonised.csv",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.csv|json")
    parser.add_argument("--labels", default="", help="names, separated by commas; all if unset")
    parser.add_argument("--json", action="store_true", help="for programs: all of it on stdout")


def run_harmonise(args: argparse.Namespace) -> None:
    """Harmonise the labels of an atlas and write the table."""
    from backend.runs.harmonise import harmonise_atlas, write_harmonised

    if args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    labels = [name.strip() for name in args.labels.split(",") if name.strip()]
    found = harmonise_atlas(args.atlas, args.checkpoint, labels, context())
    write_harmonised(found, args.out)
    say(f"Wrote {args.out}.")
    show(found, args.json, _text)


def _text(found: dict[str, Any]) -> str:
    lines = []
    for label, entry in found["labels"].items():
        lines.append(f"{label}: {len(entry['datasets'])} data sets")
        for m in entry["harmonised"][:SHOWN]:
            of = f"{m['dataset']} {m['name']}"
            lines.append(f"  {of}: {m['relation']} {m['harmonised']} ({m['score']:.2f})")
    return "\n".join(lines)
