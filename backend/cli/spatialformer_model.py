"""The transformer on the command line: train it, and embed cells with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import BadRequest, StoreExists

#: The corpus that the shipped checkpoint was trained on.
LISTING = Path(__file__).parents[1] / "runs" / "former_corpus.yaml"


def add_verbs(verbs: Any) -> None:
    """Add ``train`` and ``embed`` to the verbs of ``spatialformer``."""
    parser = command(
        verbs,
        "train",
        run_train,
        about="Pretrain the small transformer; go on where it stopped with --resume.",
        example="spatialformer train DATASETS -o CHECKPOINT --steps 4000",
    )
    parser.add_argument("folder", type=Path, metavar="DATASETS", help="where the paths begin")
    parser.add_argument("--corpus", type=Path, default=LISTING, metavar="CORPUS.yaml")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--seed", type=int, default=0)
    embed = command(
        verbs,
        "embed",
        run_embed,
        about="Embed the cells of a file with a trained transformer.",
        example="spatialformer embed cells.h5ad -c CHECKPOINT -o embedded.h5ad --tissue brain",
    )
    embed.add_argument("file", type=Path, metavar="CELLS.h5ad", help="only read")
    embed.add_argument("-c", "--checkpoint", type=Path, required=True)
    embed.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.h5ad")
    for name in ("condition", "tissue", "species", "assay"):
        embed.add_argument(f"--{name}", default="", help="as far as known")
    embed.add_argument("--json", action="store_true", help="for programs: all figures")


def run_train(args: argparse.Namespace) -> None:
    """Train, or go on training."""
    if args.steps < 1 or args.every < 1:
        raise BadRequest("--steps and --every are at least 1.", "Use for example --steps 4000.")
    # torch is loaded here, not for every command.
    from backend.models.spatialformer.transformer.train import TrainParams
    from backend.runs.former_train import train_former

    params = TrainParams(steps=args.steps, every=args.every)
    ctx = context(args.seed, args.device)
    card = train_former(args.corpus, args.folder, args.out, params, ctx, args.resume)
    say(f"Wrote {args.out}.")
    show(dict(card["metrics"]), False, _trained)


def run_embed(args: argparse.Namespace) -> None:
    """Embed the cells of one file."""
    if args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    from backend.runs.former_embed import embed_file

    meta = {k: getattr(args, k) for k in ("condition", "tissue", "species", "assay")}
    figures = embed_file(
        args.file, args.checkpoint, args.out, {k: v for k, v in meta.items() if v}, context()
    )
    say(f"Wrote {args.out}.")
    show(dict(figures), args.json, _embedded)


def _trained(figures: dict[str, Any]) -> str:
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in figures["loss"].items())
    return (
        f"{figures['steps']:,} steps, {figures['cells_seen']:,} cells seen, "
        f"{figures['seconds']:,.0f} s. Losses: {losses}."
    )


def _embedded(figures: dict[str, Any]) -> str:
    lines = [
        f"{figures['cells']:,} cells, {figures['dimensions']} dimensions, "
        f"{figures['cells_per_second']:,.0f} cells per second."
    ]
    return "\n".join(lines + [f"Note: {note}" for note in figures["notes"]])
