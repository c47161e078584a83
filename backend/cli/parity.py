"""The parity command: runs the published procedure of a method beside its reference figures."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, show
from backend.core.errors import BadRequest, did_you_mean
from backend.core.job import RunContext
from backend.core.parity import ParityReport

#: What runs the parity mode of a method on a fixture. ``epochs`` shortens the training; None is
#: the published number.
Runner = Callable[[Path, RunContext, int | None], ParityReport]

#: Exit status where a tensor or metric is outside its tolerance.
MISSED = 1


def _fusemap(path: Path, ctx: RunContext, epochs: int | None) -> ParityReport:
    from backend.runs.parity_fusemap import check_fusemap

    return check_fusemap(path, ctx, epochs)


def _inspire(path: Path, ctx: RunContext, epochs: int | None) -> ParityReport:
    from backend.runs.parity_inspire import check_inspire

    return check_inspire(path, ctx, epochs)


def _spatialglue(path: Path, ctx: RunContext, epochs: int | None) -> ParityReport:
    from backend.runs.parity_spatialglue import check_spatialglue

    return check_spatialglue(path, ctx, epochs)


def _soscope(path: Path, ctx: RunContext, epochs: int | None) -> ParityReport:
    from backend.runs.parity_soscope import check_soscope

    return check_soscope(path, ctx, epochs)


#: Methods by name.
METHODS: dict[str, Runner] = {
    "fusemap": _fusemap,
    "inspire": _inspire,
    "soscope": _soscope,
    "spatialglue": _spatialglue,
}


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "parity",
        run_parity,
        about="Run the published procedure of a method on a fixture; compare with the reference.",
        example="parity fusemap parity/threesections_truth.npz --json",
    )
    parser.add_argument("method", metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("fixture", type=Path, metavar="FIXTURE")
    parser.add_argument("--epochs", type=int, help="fewer than published, for a first look")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs")


def run_parity(args: argparse.Namespace) -> int:
    """Print the comparison; return 0 where all is within tolerance, 1 where something is not."""
    if args.method not in METHODS:
        raise BadRequest(
            f"There is no parity mode of '{args.method}'.",
            did_you_mean(args.method, METHODS),
            f"Known methods: {', '.join(METHODS)}.",
        )
    if args.epochs is not None and args.epochs < 1:
        raise BadRequest(f"--epochs is {args.epochs}.", "Give a number above zero.")
    found = METHODS[args.method](args.fixture, context(args.seed, args.device), args.epochs)
    show(found.as_json() if args.json else found, args.json, ParityReport.table)
    return 0 if found.ok else MISSED
