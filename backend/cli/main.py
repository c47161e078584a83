"""The command line: one parser, one function per command, one place that reports errors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backend.cli import (
    ask,
    atlas,
    bench,
    contacts,
    factors,
    fusemap,
    harmonise,
    layout,
    panel,
    parity,
    register,
    serve,
    soscope,
    spatialformer,
    spatialglue,
)
from backend.cli.console import say
from backend.core.errors import AtlasError

#: Exit status of a command that was given something it cannot use.
BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0 on success, 2 on bad input.

    A command may return a status of its own, as ``parity`` does where a figure is missed.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        status: int | None = args.run(args)
    except AtlasError as error:
        say(_readable(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        say("\nStopped. Run the same command again to go on.")
        return INTERRUPTED
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m backend",
        description="Build, inspect and serve molecular atlases; run models on them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (
        atlas,
        ask,
        fusemap,
        harmonise,
        layout,
        factors,
        spatialglue,
        soscope,
        spatialformer,
        panel,
        contacts,
        serve,
        bench,
        parity,
        register,
    ):
        module.add_commands(commands)
    return parser


def _readable(error: AtlasError) -> str:
    lines = [f"{type(error).__name__}: {error.message}"]
    lines += [f"  {hint}" for hint in error.hints if hint]
    lines += [f"  {note}" for note in getattr(error, "__notes__", [])]
    return "\n".join(lines)
