"""The enhance command: expression of subspots between the spots of a section."""

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
        "enhance",
        run_enhance,
        about="Estimate the expression of the parts of every spot, with the tissue image.",
        example="enhance spots.h5ad --image slide.jpg --factor 2 -o enhanced.h5ad",
    )
    parser.add_argument("file", type=Path, metavar="SPOTS.h5ad", help="spots with raw counts")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.h5ad")
    parser.add_argument("--image", action="append", default=[], metavar="[SECTION=]FILE",
                        help="tissue image; that inside the file if unset")  # fmt: skip
    parser.add_argument("--image-features", choices=("bank", "cnn"), default="bank",
                        help="colours and textures, or a network with your --weights")  # fmt: skip
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors",
                        help="ResNet-18 by torchvision's names; none are shipped")  # fmt: skip
    parser.add_argument("--no-image", action="store_true", help="leave an image of the file out")
    parser.add_argument("--factor", type=int, default=2,
                        help="subspots per side of a square spot; 7 or 6 for hexagons")  # fmt: skip
    parser.add_argument("--shape", choices=("square", "hexagon"), help="found if unset")
    parser.add_argument("--cells", type=Path, metavar="CELLS.h5ad",
                        help="single cells in the frame of the spots, not a factor")  # fmt: skip
    parser.add_argument("--width", type=float, default=0.0,
                        help="of a spot, to tell its cells; .55 pitches if unset")  # fmt: skip
    parser.add_argument(
        "--section",
        default="",
        help="the one that is enhanced; all, or those with --image, if unset",
    )
    parser.add_argument("--pixels", default="",
                        help="obsm/KEY with pixel coordinates of spots, or 'stretch' where the "
                             "image covers their grid")  # fmt: skip
    parser.add_argument("--scale", type=float,
                        help="pixels of the image per unit of these coordinates")  # fmt: skip
    parser.add_argument("--counts", help="field with raw counts, such as layers/counts")
    parser.add_argument("--genes", type=int, default=0, help="most abundant ones; all that fit")
    parser.add_argument("--domains", type=int, default=0, help="suggested if unset")
    parser.add_argument("--no-check", action="store_true", help="skip the self-merge check")
    parser.add_argument("--mode", choices=("default", "generative"), default="default")
    parser.add_argument("--law", choices=("nb", "poisson"), default="nb",
                        help="of the counts, in generative mode")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=3, help="models averaged, likewise")
    parser.add_argument("--gain", type=Path, metavar="GAIN.csv", help="expected gain by gene")
    parser.add_argument("--atlas", type=Path, metavar="ATLAS.zarr", help="sections to look at")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all figures")


def run_enhance(args: argparse.Namespace) -> None:
    """Enhance a file, which is only read."""
    from backend.intake.mapping import ReadMapping
    from backend.models.soscope.tasks import EnhanceParams
    from backend.runs.enhance import ImageChoice, enhance_file
    from backend.runs.enhance_atlas import write_enhanced_atlas
    from backend.runs.enhance_spots import images_by_section

    for path in filter(None, (args.out, args.gain, args.atlas)):
        if path.exists():
            raise StoreExists(f"'{path}' exists already.", "Choose another name.")
    params = EnhanceParams(
        args.factor,
        args.shape or "",
        args.genes,
        args.domains,
        not args.no_check,
        args.mode,
        args.law,
        args.seeds,
    )
    images = images_by_section(args.image)
    image = ImageChoice(
        images.get(""), args.pixels, args.scale, not args.no_image,
        args.out.with_suffix(".overlay.png"), weights=_weights(args),
    )  # fmt: skip
    sections, result = enhance_file(
        args.file, params, context(args.seed), out_h5ad=args.out, out_csv=args.gain, image=image,
        images={s: path for s, path in images.items() if s}, section=args.section,
        cells=args.cells, width=args.width, mapping=ReadMapping(counts=args.counts),
    )  # fmt: skip
    if args.atlas is not None:
        write_enhanced_atlas(args.atlas, sections, result)
    say(f"Wrote {args.out}.")
    show(dict(result.figures), args.json, _text)


def _weights(args: argparse.Namespace) -> Path | None:
    """Return the weights of the image network; both options are given, or neither."""
    if (args.image_features == "cnn") != (args.weights is not None):
        raise BadRequest(
            "--image-features cnn and --weights FILE.safetensors go together.",
            "No weights are shipped; without them the bank of colours and textures is used.",
        )
    found: Path | None = args.weights
    return found


def _text(figures: dict[str, Any]) -> str:
    """Return the figures that a person reads first."""
    lines = [
        f"{figures['spots']:,} spots, {figures['subspots']:,} subspots, "
        f"{figures['genes_enhanced']:,} genes; method: {figures['method']}."
    ]
    gain, gate = figures["gain"], figures["gate"]
    if gain is not None:
        lines.append(
            f"Merged and recovered ({gain['blocks']:,} blocks): deviance {gain['expected']:+.1%} "
            f"against bilinear rescaled to the sums; copying {gain['copy']:+.1%}."
        )
    for row in figures["methods"]:
        lines.append(
            f"  {row['name']:24s} r {row['r']:.3f} ({row['gain_r']:+.3f})  within spots "
            f"{row['within']:+.3f}  deviance {row['deviance']:+.1%}"
        )
    if gate is not None:
        lines.append(
            f"Evidence for the image {gate['image']:.2f} (needed: {gate['threshold']}); of "
            f"{len(gate['controls'])} controls at most: shuffled {gate['shuffled']:.2f}, turned "
            f"{gate['rotated']:.2f}, mirrored {gate['mirrored']:.2f}, moved {gate['moved']:.2f}; "
            f"{'none' if not gate['better'] else gate['better']} fits better "
            f"(chance {gate['chance']:.2f})."
        )
    kernel = figures["kernel"]
    lines.append(
        f"Kernel: length {kernel['length']:.1f} pitches, image {kernel['image_share']:.2f}, noise "
        f"{kernel['noise']:.2f}. Uncertainty {figures['uncertainty_median']:.2f} (median)."
    )
    lines += [f"Note: {warning}" for warning in figures["warnings"]]
    return "\n".join(lines)
