"""The worker command: computes what the web process only asks for."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.cli.console import command
from backend.core.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "worker",
        run_worker_command,
        about="Run queued jobs until stopped. `python app.py` starts one by itself.",
        example="worker --atlas data/atlases/demo.zarr",
    )
    parser.add_argument("--atlas", type=Path, required=True, metavar="ATLAS.zarr")
    parser.add_argument("--checkpoint", type=Path, help="model that annotates uploads")
    parser.add_argument("--data", type=Path, help="folder of uploads, results and the job table")
    parser.add_argument("--queue", default="", help="redis:// URL; SQLite if unset")


def run_worker_command(args: argparse.Namespace) -> None:
    """Run the worker."""
    from backend.worker import run_worker

    settings = Settings.from_environment()
    settings = replace(
        settings, data=args.data or settings.data, queue=args.queue or settings.queue
    )
    run_worker(settings, args.atlas, args.checkpoint)
