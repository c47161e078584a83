"""The weights command: domains and modality weights of a multi-omics section."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, say, show
from backend.core.errors import BadRequest, StoreExists


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "weights",
        run_weights,
        about="Join the modalities of a section into domains, and weigh each modality.",
        example="weights rna.h5ad protein.h5ad -o weights.h5ad --seeds 5",
    )
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE",
        help="DATA.h5mu; RNA.h5ad PROTEIN.h5ad ...; or ONE.h5ad with var.feature_type",
    )  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.h5ad")
    parser.add_argument("--clusters", type=int, help="number of domains; suggested if unset")
    parser.add_argument("--seeds", type=int, default=5, help="networks trained")
    parser.add_argument("--starts", type=int, default=3, help="partitions drawn per network")
    parser.add_argument("--mode", choices=("default", "parity"), default="default")
    parser.add_argument("--technology", default="", help="row of the reference's table; for parity")
    parser.add_argument("--components", type=int, help="per modality")
    parser.add_argument("--align", choices=("strict", "name", "union"), default="strict",
                        help="what to do where modalities have other spots")  # fmt: skip
    parser.add_argument("--empty", choices=("refuse", "missing"), default="refuse",
                        help="what to make of spots without counts in a modality")  # fmt: skip
    parser.add_argument("--kinds", default="", help="for example 'm1=rna,m2=atac'")
    parser.add_argument("--truth", default="", help="column of obs to compare domains with")
    parser.add_argument("--checkpoint", type=Path, help="place the spots by this trained model")
    parser.add_argument("--save-model", type=Path, metavar="FOLDER", help="keep the trained model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all figures")


def run_weights(args: argparse.Namespace) -> None:
    """Run the model on files, which are only read."""
    from backend.models.spatialglue.technologies import technology_of

    technology_of(args.technology)
    for path in filter(None, (args.out, args.save_model)):
        if path.exists():
            raise StoreExists(f"'{path}' exists already.", "Choose another name.")
    # torch is loaded here, not for every command.
    from backend.models.spatialglue.tasks import IntegrateParams
    from backend.runs.weights import weigh_files

    params = IntegrateParams(
        args.clusters, args.seeds, args.starts, args.mode, args.technology, args.components,
        args.empty, args.truth,
    )  # fmt: skip
    _, result = weigh_files(
        args.files, params, args.out, context(args.seed), align=args.align,
        kinds=_kinds(args.kinds), model=args.checkpoint, save_model=args.save_model,
    )  # fmt: skip
    say(f"Wrote {args.out}.")
    show(dict(result.figures), args.json, _text)


def _kinds(text: str) -> dict[str, str]:
    """Return modality to kind from ``name=kind,name=kind``."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not sign for _, sign, _ in pairs):
        raise BadRequest(f"--kinds is '{text[:60]}'.", "For example --kinds m1=rna,m2=protein.")
    return {name.strip(): kind.strip() for name, _, kind in pairs}


def _text(figures: dict[str, Any]) -> str:
    """Return the figures that a person reads first."""
    lines = [f"{figures['spots']:,} spots, {figures['count']} domains."]
    if figures["mode"] == "applied":
        return "\n".join(lines)
    names = [m["name"] for m in figures["modalities"]]
    for m in figures["modalities"]:
        lines.append(f"  {m['name']} ({m['kind']}): {m['features']:,} features, {m['axes']} "
                     f"spatial axes, {m['missing']:,} spots lack it")  # fmt: skip
    lines.append("Share of the evidence by domain, +- over seeds; bits:")
    for d in figures["domains"]:
        shown = "   ".join(_weight(d, name) for name in names)
        lines.append(f"  {d['name']:10s} {d['spots']:>8,} spots   {shown}")
    lines.append("Against baselines with as many domains:")
    for name, found in {"this model": figures["model"], **figures["baselines"]}.items():
        lines.append(f"  {name:40s} {_measures(found)}")
    lines += [f"Note: {warning}" for warning in figures["warnings"]]
    lines.append(figures["how_to_read"]["weight"])
    return "\n".join(lines)


def _weight(domain: dict[str, Any], name: str) -> str:
    weight, spread, bits = (domain[key][name] for key in ("weight", "weight_spread", "bits"))
    if weight is None:
        return f"{name} absent"
    return f"{name} {weight:.2f} +- {spread or 0:.2f} ({bits:.2f} bits)"


def _measures(found: dict[str, Any]) -> str:
    shown = [("ARI", "ari"), ("NMI", "nmi"), ("Moran's I", "median_moran"),
             ("neighbours kept", "jaccard_sum")]  # fmt: skip
    return "  ".join(f"{title} {found[key]:.3f}" for title, key in shown
                     if found.get(key) is not None)  # fmt: skip
