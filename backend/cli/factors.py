"""The factors command: spatial factors and gene programs of many sections."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import StoreExists


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "factors",
        run_factors,
        about="Find spatial factors and gene programs that sections share, or that some have.",
        example="factors serial.h5ad --section section -o factors.h5ad --programs programs.csv",
    )
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="ATLAS|FILE",
        help="an atlas, or .h5ad files of sections",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.h5ad")
    parser.add_argument("--programs", type=Path, metavar="OUT.csv", help="loadings of all genes")
    parser.add_argument(
        "--section", metavar="COLUMN", help="column of obs that tells sections apart"
    )
    parser.add_argument("--only", default="", help="sections to use, by id, with commas")
    parser.add_argument("--factors", type=int, default=0, help="number; chosen if unset")
    parser.add_argument(
        "--domains", type=int, default=0, help="number; as many as factors if unset"
    )
    parser.add_argument("--hold", type=float, default=5.0,
                        help="5 for sections of one animal, 50 for different donors")  # fmt: skip
    parser.add_argument("--radius", type=float, default=0.0,
                        help="refuse cells that have no neighbour within it")  # fmt: skip
    parser.add_argument("--truth", default="", help="label to compare with")
    parser.add_argument(
        "--label", default="", metavar="COLUMN", help="column of obs to read as label"
    )
    parser.add_argument("--gene-sets", type=Path, metavar="SETS.gmt", help="held against programs")
    parser.add_argument("--save-model", type=Path, metavar="FOLDER", help="keep the trained model")
    parser.add_argument("--place", type=Path, metavar="FOLDER",
                        help="place sections by this trained model; nothing is learnt")  # fmt: skip
    parser.add_argument("--no-checks", action="store_true", help="without plain methods beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all figures")


def run_factors(args: argparse.Namespace) -> None:
    """Run the model on files, which are only read."""
    for path in filter(None, (args.out, args.programs, args.save_model)):
        if path.exists():
            raise StoreExists(f"'{path}' exists already.", "Choose another name.")
    # torch is loaded here, not for every command.
    from backend.models.inspire.tasks import SectionsParams
    from backend.runs.factors import factor_sections, read_gene_sets
    from backend.runs.factors_place import place_sections

    ctx = context(args.seed)
    sections = _sections(args, ctx)
    if args.place is not None:
        show(place_sections(sections, args.place, args.out, ctx), args.json, _placed)
        return
    params = SectionsParams(
        args.factors, args.domains, args.hold, args.truth, not args.no_checks, args.radius
    )
    sets = read_gene_sets(args.gene_sets) if args.gene_sets else None
    result = factor_sections(
        sections, params, ctx, gene_sets=sets, out_h5ad=args.out, out_csv=args.programs,
        save_model=args.save_model,
    )  # fmt: skip
    say(f"Wrote {args.out}.")
    show(dict(result.figures), args.json, _text)


def _sections(args: argparse.Namespace, ctx: Any) -> Any:
    from backend.intake.mapping import LabelMap, ReadMapping
    from backend.intake.read import read_h5ad
    from backend.runs.factors import sections_of_atlas

    only = tuple(filter(None, args.only.split(",")))
    labels = {args.label: LabelMap(args.label)} if args.label else None
    found = []
    for path in args.files:
        ctx.step(0.0, f"Reading {path.name}")
        if path.is_dir():
            found += sections_of_atlas(path, only)
            continue
        mapping = ReadMapping(section=args.section)
        read = read_h5ad(path, replace(mapping, labels=labels) if labels else mapping)
        found += [s for s in read if not only or s.id in only]
    return found


def _text(figures: dict[str, Any]) -> str:
    """Return the figures that a person reads first."""
    lines = [
        f"{figures['cells']:,} cells of {len(figures['sections'])} sections, "
        f"{figures['genes']:,} genes, {len(figures['factors'])} factors."
    ]
    for f in figures["factors"]:
        where = "all sections" if f["is_shared"] else ", ".join(
            s["title"] for s, p in zip(figures["sections"], f["present"], strict=True) if p
        )  # fmt: skip
        genes = ", ".join(g["gene"] for g in f["specific"][:6])
        mark = "" if f["is_stable"] else "  (not in half of the counts)"
        head = f"  {f['name']:>3s}  {f['share']:5.1%}  r {f['stability']:.2f}"
        lines.append(f"{head}  {genes}  in {where}{mark}")
    lines.append(_domains(figures["found_domains"], len(figures["domains"])))
    if figures["held_out"]:
        lines.append("Nats per held-out count above the mean profile of a section:")
        lines += [f"  {name:28s} {value:.4f}" for name, value in figures["held_out"].items()]
    lines.append("Mixing of sections, and agreement with the label where there is one:")
    model = figures["model"]
    shown = {"factors of cells": model["cells"], "factors of places": model["places"],
             "domains": model.get("domains", {}), **figures["baselines"]}  # fmt: skip
    for name, found in shown.items():
        values = [f"{key} {found[key]:.3f}" for key in ("mixing", "ari", "nmi", "silhouette")
                  if found.get(key) is not None]  # fmt: skip
        if values:
            lines.append(f"  {name:28s} {'  '.join(values)}")
    hidden = figures["hidden_genes"]
    if hidden:
        lines.append(f"Genes hidden in {hidden['across']} and imputed, mean r over cells:")
        groups = {"all": hidden, **hidden["by_group"]}
        lines += [
            f"  {name:28s} {own['r']:.3f}  nearest neighbours {own['knn_r']:.3f}  FuseMap's factor "
            f"analysis {own['fusemap_r']:.3f}  ({own['genes']} genes)"
            for name, own in groups.items()
        ]
    carried = figures.get("transfer")
    if carried:
        tested = ", ".join(f"{n} {v:.3f}" for n, v in carried["accuracy"].items())
        n = sum(carried["transferred"])
        lines.append(
            f"Label '{carried['label']}' carried to {n:,} cells by shares of {carried['space']}; "
            f"right on held-out cells: {tested or 'not tested'}."
        )
    return "\n".join([*lines, *(f"Note: {w}" for w in figures["warnings"])])


def _domains(found: dict[str, Any], count: int) -> str:
    """Return how domains were found, as a sentence."""
    way = found["chosen"]
    ties = f"neighbours weigh {found['ties']:.1f} nats" if way["tied"] else "not tied to neighbours"
    levels = f", levels of genes heeded by {way['trust']:g}" if way["trust"] else ""
    return (
        f"{count} domains of {found['of']}: start smoothed {way['rounds']} times, {ties}{levels}; "
        f"the best of {len(found['tried'])} ways by what they foretell."
    )


def _placed(found: dict[str, Any]) -> str:
    lines = []
    for s in found["sections"]:
        free = ""
        if s["has_free"]:
            free = f"; one program more is worth {s['gain_free'] - s['gain']:.4f} nats per count"
        lines.append(
            f"{s['title']}: {s['cells']:,} cells, {s['shared']} genes shared, gain "
            f"{s['gain']:.4f}{free}."
        )
    return "\n".join([*lines, f"Wrote {found['out']}."])
