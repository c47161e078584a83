"""What every command shares: arguments, progress on stderr, results on stdout."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from backend.core.job import RunContext

#: Seconds between two lines of progress where stderr is not a terminal.
QUIET = 5.0


def command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    *,
    about: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command with its help and example; return its parser for the arguments."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"Example: python -m backend {example}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def context(seed: int = 0, device: str = "cpu") -> RunContext:
    """Return a run context that reports on stderr."""
    return RunContext(seed=seed, device=device, report=Progress())


class Progress:
    """Prints fraction and message on stderr: in place on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = 0.0
        self._message = ""

    def __call__(self, fraction: float, message: str) -> None:
        """Show one step."""
        now = time.monotonic()
        ended = fraction >= 1.0
        fresh = message != self._message and now - self._last > 1.0
        if not (self._live or ended or fresh or now - self._last > QUIET):
            return
        self._last, self._message = now, message
        line = f"{100 * fraction:5.1f} %  {message}"
        if self._live:
            sys.stderr.write(f"\r\033[K{line}" + ("\n" if ended else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


def show(value: Any, as_json: bool, text: Callable[[Any], str]) -> None:
    """Write a result on stdout, for people or for programs."""
    out = json.dumps(value, indent=2, default=str) if as_json else text(value)
    sys.stdout.write(out + "\n")


def say(line: str) -> None:
    """Write one line for people on stderr, so that stdout stays machine-readable."""
    sys.stderr.write(line + "\n")
