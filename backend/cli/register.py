"""The command ``register``: sections in common coordinates."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import StoreExists


def add_commands(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "register",
        run_register,
        about="Place sections in common coordinates (Allen CCFv3), and write them into the atlas.",
        example="register brain.zarr --reference reference -o report.json",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="DIR",
        help="folder with dsurqe_ccfv3_200um.npz and dsurqe_tree.json.gz; without it the "
        "reference that the atlas keeps, or else its sections laid over one another",
    )
    parser.add_argument("--sections", default="", help="section ids, separated by commas; else all")
    parser.add_argument(
        "--corrections",
        type=Path,
        metavar="FILE",
        help="json or csv: per section skip, plane, position_um, part, flip, rotate_deg, "
        "shift_right_um, shift_down_um, landmarks (x, y, right_um, down_um)",
    )
    parser.add_argument(
        "--validate", action="store_true", help="also hide half of the regions, and score those"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="REPORT.json", help="write the report")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs")


def run_register(args: argparse.Namespace) -> None:
    """Register sections; run again after an interruption to go on."""
    from backend.analysis.registration.corrections import read_corrections
    from backend.runs.register import register_atlas
    from backend.runs.tables import beside

    if args.out is not None and args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    found = register_atlas(
        args.atlas,
        args.reference,
        context(args.seed),
        sections=tuple(filter(None, args.sections.split(","))),
        corrections=read_corrections(args.corrections) if args.corrections else None,
        validate=args.validate,
        seed=args.seed,
    )
    if args.out is not None:
        with beside(args.out) as draft:
            draft.write_text(json.dumps(found, indent=2), "utf-8")
        say(f"Wrote {args.out}.")
    show(found, args.json, _text)


def _text(found: dict[str, Any]) -> str:
    """Return a line per section, refusals last, then how well the order by composition fits."""
    records = found["sections"]
    done = {s: r for s, r in records.items() if r["status"] == "registered"}
    lines = [f"{len(done)} of {len(records)} sections placed in {found['space']}."]
    lines += [f"  {section}: {_line(record)}" for section, record in done.items()]
    lines += [f"  {s}: refused. {r['reason']}" for s, r in records.items() if s not in done]
    for group in found["order"]:
        if group["agreement"]:
            tau, rho = group["agreement"]["kendall_tau"], group["agreement"]["spearman_rho"]
            lines.append(
                f"Order by {group['label']} composition, {len(group['sections'])} {group['axis']} "
                f"sections: Kendall's tau {tau:.2f}, Spearman's rho {rho:.2f} against positions."
            )
    return "\n".join(lines)


def _line(record: dict[str, Any]) -> str:
    met = record["agreement"]
    shares = "" if met is None else (
        f", in their region {100 * met['start']:.0f} -> {100 * met['affine']:.0f} -> "
        f"{100 * met['smooth']:.0f} %"
    )  # fmt: skip
    return (
        f"{record['grade']}; {record['plane']} {record['position_um']:.0f} um, {record['part']}, "
        f"outline {record['dice']:.2f}{shares}"
    )
