"""The spatialformer commands."""

from __future__ import annotations

from typing import Any

from backend.cli import spatialformer_model, spatialformer_tasks


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = commands.add_parser("spatialformer", help="Genes in cells in niches.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    spatialformer_model.add_verbs(verbs)
    spatialformer_tasks.add_verbs(verbs)
