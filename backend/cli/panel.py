"""Command that chooses a gene panel: panel."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, show
from backend.core.errors import BadRequest, StoreExists


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "panel",
        run_panel,
        about="Choose n genes that tell classes apart, scored on held-out cells beside other ways.",
        example="panel brain.zarr --genes 60 --label label:type -o panel.csv",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.csv")
    parser.add_argument("--genes", type=int, default=60, help="genes of the panel")
    parser.add_argument("--label", default="label:type", help="label to tell apart")
    parser.add_argument("--also", default="", help="another label to score; label:region if any")
    parser.add_argument("--sections", default="", help="ids; the data set with most genes if unset")
    ways = "embedding, greedy, markers, modules (as published) or variable"
    parser.add_argument("--way", default="embedding", help=ways)
    parser.add_argument("--include", default="", help="genes that must be in, by commas")
    parser.add_argument("--exclude", default="", help="genes that must not be in, by commas")
    parser.add_argument("--candidates", type=Path, metavar="FILE",
                        help="choose only from the genes of this file, one a line")  # fmt: skip
    parser.add_argument("--panel-of", default="", help="choose only from what a section measured")
    parser.add_argument("--species", default="", help="only sections of this species")
    parser.add_argument("--draws", type=int, default=20, help="random panels per size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all of it on stdout")


def run_panel(args: argparse.Namespace) -> None:
    """Choose a panel and write its table."""
    # scikit-learn is loaded here, not for every command.
    from backend.analysis.panel_curve import PanelParams
    from backend.runs.panel import Source, panel_atlas, write_panel

    if args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    source = Source(
        _names(args.sections),
        args.label,
        args.also,
        args.species,
        _listed(args.candidates),
        args.panel_of,
    )
    params = PanelParams(
        args.genes, args.way, _names(args.include), _names(args.exclude), args.draws, args.seed
    )
    found = panel_atlas(args.atlas, source, params, context(args.seed))
    write_panel(found, args.out)
    show(found, args.json, _text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _listed(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    if not path.is_file():
        raise BadRequest(f"There is no file '{path}'.", "Give a text file with one gene a line.")
    return tuple(line.strip() for line in path.read_text().splitlines() if line.strip())


def _text(found: dict[str, Any]) -> str:
    ids = ", ".join(s["id"] for s in found["sections"])
    lines = [
        f"{len(found['genes'])} of {found['n_candidates']:,} candidate genes, chosen on {ids}."
    ]
    lines += [v["text"] for v in found["verdicts"]]
    for label in dict.fromkeys(row["label"] for row in found["curve"]):
        lines += ["", f"Accuracy on held-out cells ({found['held_out']}), {label}:"]
        lines += _curve_lines([row for row in found["curve"] if row["label"] == label], found)
    return "\n".join(lines)


def _curve_lines(rows: list[dict[str, Any]], found: dict[str, Any]) -> list[str]:
    lines = [f"  {'genes':44s}" + "".join(f"{n:>13d}" for n in found["sizes"])]
    for way, title in found["ways"].items():
        own = {row["n"]: row for row in rows if row["way"] == way}
        lines.append(f"  {title:44s}" + "".join(_cell(own.get(n)) for n in found["sizes"]))
    every = next((row for row in rows if row["way"] == "all"), None)
    if every is not None:
        lines.append(f"  {'all candidates':44s}{_cell(every)}")
    return lines


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["accuracy"] is None:
        return f"{'':>13s}"
    spread = "" if row["sd"] is None else f" ±{row['sd']:.3f}"
    return f"{row['accuracy']:.3f}{spread}".rjust(13)
