"""Commands of the FuseMap model: train, embed, annotate, impute."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import BadCheckpoint, BadRequest, StoreExists
from backend.core.trust import FEW_BRIDGE_GENES, few_bridges, few_bridges_text

#: Models that ``train`` knows.
MODELS = ("fusemap",)


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    _add_train(commands)
    _add_embed(commands)
    _add_annotate(commands)
    _add_impute(commands)


def _add_train(commands: Any) -> None:
    parser = command(
        commands,
        "train",
        run_train,
        about="Train a model on all sections of an atlas that have expression.",
        example="train fusemap brain.zarr -o brain.ckpt --seed 0",
    )
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument(
        "--mode", choices=("default", "parity"), default="default", help="parity: as published"
    )
    parser.add_argument(
        "--epochs", type=int, help="iterations of EM (100), or epochs of each published phase (15)"
    )
    parser.add_argument("--factors", type=int, help="number of factors; chosen on hidden genes")
    parser.add_argument(
        "--cells-per-section", type=int, help="cells that the fit sees of a section at most"
    )
    parser.add_argument(
        "--batch", type=int, help="online EM: cells of a wide section that an iteration sees"
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, for a demo")
    parser.add_argument("--leave-out", default="", help="section ids that training must not see")
    parser.add_argument("--replace", action="store_true", help="replace an existing checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs")


def run_train(args: argparse.Namespace) -> None:
    """Train; run again after an interruption to go on."""
    if args.epochs is not None and args.epochs < 1:
        raise BadRequest(f"--epochs is {args.epochs}.", "Give a number above zero.")
    checkpoint = _train_published(args) if args.mode == "parity" else _train_default(args)
    metrics = checkpoint.card.get("metrics", {})
    few = few_bridges(checkpoint.card)
    found = {**metrics, FEW_BRIDGE_GENES: few} if few else metrics
    if os.environ.get("RANK", "0") == "0":
        show(found, args.json, lambda _: _trained(args.out, metrics, few))


def _trained(out: Path, metrics: dict[str, Any], few: dict[str, int]) -> str:
    """Return the figures of a training, and which data sets rest on few shared genes."""
    flagged = [few_bridges_text(*entry) for entry in few.items()]
    return "\n".join([f"Wrote {out}.", _lines(metrics), *flagged])


def _left_out(args: argparse.Namespace) -> tuple[str, ...]:
    return tuple(filter(None, args.leave_out.split(",")))


def _train_published(args: argparse.Namespace) -> Any:
    """Train as published, alone or as one of the processes of torchrun."""
    from backend.models.common.device import device_of
    from backend.models.fusemap.parity.settings import Settings
    from backend.runs.train_published import train_published

    if args.factors or args.quick:
        raise BadRequest("--factors and --quick belong to the default mode.", "Leave them out.")
    settings = Settings() if args.epochs is None else Settings(epochs=args.epochs)
    ctx = context(args.seed, device_of(args.device))
    return train_published(
        args.atlas, args.out, settings, ctx, leave_out=_left_out(args), replace=args.replace
    )


def _train_default(args: argparse.Namespace) -> Any:
    from backend.models.common.device import device_of
    from backend.models.fusemap.train import TrainParams
    from backend.runs.train import train_fusemap

    given = TrainParams.quick() if args.quick else TrainParams()
    if not args.quick:
        given = replace(given, k=args.factors, iterations=args.epochs or given.iterations)
    if args.cells_per_section is not None:
        if args.cells_per_section < 1:
            raise BadRequest("--cells-per-section is below 1.", "Give a number above zero.")
        given = replace(given, cells_per_section=args.cells_per_section)
    if args.batch is not None:
        if args.batch < 10 * (args.factors or 1):
            raise BadRequest("--batch is too small.", "Give at least ten cells per factor.")
        given = replace(given, batch=args.batch)
    return train_fusemap(
        args.atlas,
        args.out,
        given,
        context(args.seed, device_of(args.device)),
        leave_out=_left_out(args),
        replace=args.replace,
    )


def _lines(values: Any, indent: str = "  ") -> str:
    """Return nested figures as indented lines; long lists are left to ``--json``."""
    lines = []
    for name, value in values.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", _lines(value, indent + "  ")]
        elif not isinstance(value, list | tuple):
            shown = f"{value:.3f}" if isinstance(value, float) else value
            lines.append(f"{indent}{name}: {shown}")
    return "\n".join(line for line in lines if line)


def _add_embed(commands: Any) -> None:
    parser = command(
        commands,
        "embed",
        run_embed,
        about="Write embeddings into an atlas, so that every gene can be imputed.",
        example="embed brain.zarr --checkpoint brain.ckpt",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--no-umap", action="store_true", help="leave out the UMAP plane")
    parser.add_argument("--json", action="store_true", help="for programs")


def run_embed(args: argparse.Namespace) -> None:
    """Embed all sections with expression; lay the cells out as a UMAP."""
    from backend.runs.embed import embed_atlas
    from backend.runs.layout import layout_atlas

    ctx = context()
    found = embed_atlas(args.atlas, args.checkpoint, ctx.part(0.0, 0.4))
    if not args.no_umap:
        found["layout"] = layout_atlas(args.atlas, ctx.part(0.4, 1.0))
    show(
        found,
        args.json,
        lambda f: (
            f"Embedded {len(f['embedded'])} sections in {f['dimensions']} dimensions; "
            f"{f['genes']:,} genes can be imputed. Passed over {len(f['passed_over'])} sections "
            "without enough expression."
        ),
    )


def _add_annotate(commands: Any) -> None:
    parser = command(
        commands,
        "annotate",
        run_annotate,
        about="Annotate a section: types, regions, confidence, and an honest 'unassigned'.",
        example="annotate brain.zarr query.h5ad -o out.h5ad --csv out.csv --json out.json",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("query", type=Path, metavar="QUERY.h5ad")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.h5ad")
    parser.add_argument("--csv", type=Path, help="also a table with the columns of MapMyCells")
    parser.add_argument("--labels", default="", help="only these, by commas; all if unset")
    parser.add_argument(
        "--taxonomy",
        action="append",
        default=[],
        metavar="LABEL=NAME",
        help="taxonomy, data set or section whose names to use; the most similar if unset",
    )
    parser.add_argument("--error", type=float, help="share of wrong labels to allow, such as 0.05")
    parser.add_argument(
        "--prefer",
        choices=("auto", "model", "knn"),
        default="auto",
        help="per label whichever was right more often on held-out cells, or always one",
    )
    parser.add_argument("--checkpoint", type=Path, help="NAME.ckpt beside the atlas if unset")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json",
        nargs="?",
        const=True,
        metavar="OUT.json",
        help="figures for programs; with a name, also the JSON file of MapMyCells",
    )


def run_annotate(args: argparse.Namespace) -> None:
    """Annotate a file; the file itself is only read."""
    from backend.models.fusemap.tasks import AnnotateParams
    from backend.runs.annotate import annotate_file

    out_json = Path(args.json) if isinstance(args.json, str) else None
    for path in filter(None, (args.out, args.csv, out_json)):
        if path.exists():
            raise StoreExists(f"'{path}' exists already.", "Choose another name.")
    if args.error is not None and not 0 < args.error < 1:
        raise BadRequest(f"--error is {args.error}.", "Give a share, such as 0.05 for 5 %.")
    labels = tuple(name.strip() for name in args.labels.split(",") if name.strip())
    taxonomies = _taxonomies(args.taxonomy)
    asked = AnnotateParams(labels or None, taxonomies, args.error, args.prefer)
    found = annotate_file(
        args.atlas,
        args.query,
        _checkpoint(args),
        out_h5ad=args.out,
        out_csv=args.csv,
        out_json=out_json,
        ctx=context(args.seed),
        params=asked,
    )
    show(found, args.json is True, _annotated)


def _taxonomies(given: list[str]) -> dict[str, str] | None:
    """Read LABEL=NAME as often as it was given."""
    pairs = [text.partition("=") for text in given]
    wrong = [text for text, (label, sign, name) in zip(given, pairs, strict=True)
             if not (label and sign and name)]  # fmt: skip
    if wrong:
        said = f"--taxonomy '{wrong[0][:80]}' is not LABEL=NAME."
        raise BadRequest(said, "For example --taxonomy type=osmfish_sscortex.")
    return {label.removeprefix("label:"): name for label, _, name in pairs} or None


def _checkpoint(args: argparse.Namespace) -> Path:
    path: Path = args.checkpoint or args.atlas.with_suffix(".ckpt")
    if not (path / "card.json").is_file():
        raise BadCheckpoint(
            f"There is no checkpoint at '{path}'.",
            f"Train one: python -m backend train fusemap {args.atlas} -o {path}",
        )
    return path


def _annotated(found: dict[str, Any]) -> str:
    lines = [f"{found['cells']:,} cells annotated."]
    for section, figures in found["figures"].items():
        lines.append(f"{section}: {figures['genes']['matched']} genes matched.")
        if figures["foreign"]:
            lines.append("  Its genes do not go together as in this atlas: no cell is assigned.")
        lines += [f"  {name}: {_level(entry)}" for name, entry in figures["labels"].items()]
    return "\n".join(lines)


def _level(entry: dict[str, Any]) -> str:
    """Return one level in words: unassigned, and how far held-out cells were right."""
    if "skipped" in entry:
        return str(entry["skipped"])
    held = entry["held_out"]
    plain = "".join(f", {n} {b['accuracy']:.2f}" for n, b in held["baselines"].items())
    return (
        f"{100 * entry['unassigned']:.1f} % unassigned, by {entry['method']} ({entry['why']}); on "
        f"{entry['calibrated_on']}: accuracy {held['accuracy']:.2f}{plain}, calibration error "
        f"{held['ece']:.3f} ({held['ece_by_chance']:.3f} by chance)"
    )


def _add_impute(commands: Any) -> None:
    parser = command(
        commands,
        "impute",
        run_impute,
        about="Impute genes in a section and write them as .h5ad.",
        example="impute brain.zarr --section BZ9 --genes Slc17a7,Gad1 -o imputed.h5ad",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("--section", required=True)
    parser.add_argument("--genes", required=True, help="symbols, separated by commas")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.h5ad")
    parser.add_argument("--checkpoint", type=Path, help="NAME.ckpt beside the atlas if unset")
    parser.add_argument("--json", action="store_true", help="for programs")


def run_impute(args: argparse.Namespace) -> None:
    """Impute genes."""
    from backend.runs.impute import impute_section

    if args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    genes = [g.strip() for g in args.genes.split(",") if g.strip()]
    if not genes:
        raise BadRequest("--genes names no gene.", "For example --genes Slc17a7,Gad1.")
    found = impute_section(args.atlas, args.section, genes, _checkpoint(args), args.out, context())
    say(f"Wrote {args.out}.")
    show(found, args.json, lambda f: _lines(f["trust"]))
