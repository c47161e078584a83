"""Partners of cells and gene pairs of two types on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.console import command, context, say, show
from backend.core.errors import BadRequest, StoreExists
from backend.core.settings import Settings

if TYPE_CHECKING:
    from backend.core.data import SectionData
    from backend.runs.partners import Chosen

#: Lines shown in the text of a result.
SHOWN = 12


def add_verbs(verbs: Any) -> None:
    """Add ``colocalise``, ``perturb`` and ``annotate`` to the verbs of ``spatialformer``."""
    colocalise = command(
        verbs,
        "colocalise",
        run_colocalise,
        about="Predict which cells lie beside which, from expression alone, and test it.",
        example="spatialformer colocalise brain.zarr --section osmfish_sscortex --cells 10,11 "
        "-o partners",
    )
    _add_common(colocalise, "FOLDER")
    colocalise.add_argument("--cells", default="", help="rows whose partners are asked for")
    colocalise.add_argument(
        "--query", type=Path, metavar="CELLS.h5ad", help="other cells, also dissociated ones"
    )
    colocalise.add_argument("--no-embedding", action="store_true", help="expression only")
    colocalise.add_argument("--no-transformer", action="store_true", help="seconds less")
    perturb = command(
        verbs,
        "perturb",
        run_perturb,
        about="Test which gene of one type goes with which gene of another where they touch.",
        example="spatialformer perturb brain.zarr --section osmfish_sscortex --label label:class "
        '--types "Endothelial,Astrocyte" -o pairs.csv',
    )
    _add_common(perturb, "OUT.csv")
    perturb.add_argument("--types", required=True, help="names of two types, by a comma")
    perturb.add_argument("--pairs", type=Path, metavar="FILE", help="ligands and receptors")
    perturb.add_argument("--rate", type=float, default=0.05, help="false discovery rate")
    perturb.add_argument(
        "--forward", action="store_true", help="also remove genes and ask the transformer"
    )
    annotate = command(
        verbs,
        "annotate",
        run_annotate,
        about="Name the types of cells by a calibrated probe of labelled sections.",
        example="spatialformer annotate brain.zarr cells.h5ad --sections osmfish_sscortex "
        "-o types.csv",
    )
    annotate.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    annotate.add_argument("file", type=Path, metavar="CELLS.h5ad", help="only read")
    annotate.add_argument("--sections", required=True, help="ids to learn from, by commas")
    annotate.add_argument("--label", default="label:type")
    annotate.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.csv")
    annotate.add_argument("--seed", type=int, default=0)
    annotate.add_argument("--json", action="store_true", help="for programs: all figures")


def _add_common(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar=out)
    parser.add_argument("--section", required=True)
    parser.add_argument("--label", default="label:type")
    parser.add_argument("--region", default="", help="label:region=L5,L6 for cells of some regions")
    parser.add_argument("--radius", type=float, default=30.0, help="of neighbours, um")
    parser.add_argument(
        "--checkpoint", type=Path, help="transformer; the one in the data folder where left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all figures")


def run_colocalise(args: argparse.Namespace) -> None:
    """Predict partners and write a folder: atlas.zarr, colocalise.json, colocalise.csv."""
    # scikit-learn is loaded here, not for every command.
    from backend.models.spatialformer.colocalise import ColocaliseParams
    from backend.runs.partners import colocalise_atlas, write_partners

    _refuse(args.out)
    params = ColocaliseParams(args.radius, not args.no_embedding, not args.no_transformer)
    query = _query(args.query) if args.query else None
    section, result = colocalise_atlas(
        args.atlas, args.section, args.label, _chosen(args), params, context(args.seed), query,
        _transformer(args),
    )  # fmt: skip
    args.out.mkdir(parents=True)
    write_partners(args.out, section, result)
    say(f"Wrote {args.out}.")
    show(dict(result.figures), args.json, _partners_text)


def run_perturb(args: argparse.Namespace) -> None:
    """Test gene pairs and write the table."""
    from backend.models.spatialformer.perturb import PerturbParams
    from backend.runs.partners import perturb_atlas, write_gene_pairs

    _refuse(args.out)
    a, _, b = args.types.partition(",")
    params = PerturbParams(a.strip(), b.strip() or a.strip(), args.radius, args.rate, args.forward)
    result = perturb_atlas(
        args.atlas, args.section, args.label, _chosen(args), params, context(args.seed), args.pairs,
        _transformer(args),
    )  # fmt: skip
    write_gene_pairs(args.out, result.figures)
    say(f"Wrote {args.out}.")
    show(dict(result.figures), args.json, _pairs_text)


def run_annotate(args: argparse.Namespace) -> None:
    """Name types and write the table."""
    from backend.runs.probe import probe_file, write_probe

    _refuse(args.out)
    query = _query(args.file)
    sections = [name.strip() for name in args.sections.split(",") if name.strip()]
    result = probe_file(args.atlas, sections, args.label, query, context(args.seed))
    write_probe(args.out, query, result)
    say(f"Wrote {args.out}.")
    show(dict(result.figures), args.json, _probe_text)


def _probe_text(figures: dict[str, Any]) -> str:
    scores = ", ".join(f"{k} {v:.3f}" for k, v in figures["held_out_macro_f1"].items())
    lines = [
        f"{figures['n_cells']:,} cells, {figures['n_types']} types, by "
        f"{' and '.join(figures['features'])}; macro-F1 on held-out training cells: {scores}."
    ]
    counts = sorted(figures["counts"].items(), key=lambda item: -item[1])
    return "\n".join([*lines, *(f"  {name}: {n:,}" for name, n in counts[:SHOWN])])


def _transformer(args: argparse.Namespace) -> Path | None:
    """Return the checkpoint that is named, or the one of this installation where it has one."""
    if args.checkpoint is not None:
        return Path(args.checkpoint)
    kept = Settings.from_environment().transformer
    return kept if (kept / "card.json").is_file() else None


def _refuse(out: Path) -> None:
    if out.exists():
        raise StoreExists(f"'{out}' exists already.", "Choose another name.")


def _query(path: Path) -> SectionData:
    from backend.intake.mapping import ReadMapping, safe_id
    from backend.intake.read import read_h5ad

    mapping = ReadMapping(id=safe_id(path.stem), title=path.stem, need_places=False)
    sections = read_h5ad(path, mapping)
    if len(sections) != 1:
        raise BadRequest(f"'{path}' holds {len(sections)} sections.", "Give a file of one.")
    return sections[0]


def _chosen(args: argparse.Namespace) -> Chosen:
    from backend.runs.partners import Chosen

    given = [part.strip() for part in getattr(args, "cells", "").split(",") if part.strip()]
    wrong = [part for part in given if not part.isdigit()]
    if wrong:
        raise BadRequest(f"--cells holds '{wrong[0][:40]}'.", "Give rows, such as 10,11.")
    return Chosen(rows=tuple(map(int, given)), region=args.region)


def _partners_text(figures: dict[str, Any]) -> str:
    lines = [f"{figures['n_cells']:,} cells; {figures['query']['said']}.", "Held-out AUC:"]
    for name, own in figures["auc"].items():
        shown = "  ".join(f"{k} {v:.3f}" for k, v in own.items() if v is not None)
        lines.append(f"  {name:28s} {shown}")
    lines.append("Predicted niche, Jensen-Shannon divergence from the real one (held out):")
    lines += [f"  {name:28s} {v:.3f}" for name, v in figures["composition_jsd"].items()]
    for row in figures["niche"][:SHOWN]:
        seen = "" if row["observed"] is None else f", observed {row['observed']:.2f}"
        lines.append(f"  {row['name']}: predicted {row['predicted']:.2f}{seen}")
    notes = [*figures["transformer"], *figures["warnings"]]
    return "\n".join([*lines, *(f"Note: {w}" for w in notes)])


def _pairs_text(figures: dict[str, Any]) -> str:
    lines = [
        f"{figures['a']} and {figures['b']}: {figures['n_contacts']:,} contacts, "
        f"{figures['n_tested']:,} gene pairs tested, {figures['n_called']} called, "
        f"{figures['n_called_clean']} of them without a sign of spill-over."
    ]
    for row in figures["rows"][:SHOWN]:
        marks = [m for m, on in (("same gene", row["is_same"]), ("spill-over?", row["is_spill"]),
                                 ("ligand-receptor", row["is_ligand_receptor"])) if on]  # fmt: skip
        lines.append(f"  {row['gene_a']} and {row['gene_b']}: z {row['z']:.1f}, q {row['q']:.2g}, "
                     f"risk ratio {row['risk_ratio']:.2f} {' '.join(marks)}".rstrip())  # fmt: skip
    said = [figures["spill"]["said"], figures["how_to_read"]["q"]]
    return "\n".join([*lines, *said, *_forward_lines(figures["forward"])])


def _forward_lines(forward: dict[str, Any] | None) -> list[str]:
    if forward is None:
        return []
    head = (
        f"Forward, by removing genes: {forward['n_tested']:,} pairs that at least 20 of "
        f"{forward['n_contacts']:,} contacts show, {forward['n_called']:,} called, "
        f"{forward['seconds']:,.0f} s."
    )
    rows = [
        f"  {r['gene_a']} and {r['gene_b']}: effect {r['effect']:+.2g}, z {r['z']:.1f}, "
        f"q {r['q']:.2g}, {r['support']} contacts"
        for r in forward["rows"][:SHOWN]
    ]
    return [head, *rows, forward["said"]]
