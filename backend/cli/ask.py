"""The ask command: questions about a whole atlas, answered as a table or as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.cli.console import command, show
from backend.core.errors import BadRequest, did_you_mean
from backend.core.layers import LayerKey
from backend.core.settings import Settings

if TYPE_CHECKING:
    from backend.service.answers import Answers

#: Widest bar of a text table, characters.
BAR = 24


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    parser = command(
        commands,
        "ask",
        run_ask,
        about="Ask a whole atlas: where a gene is high, what a class expresses, what sections "
        "are made of.",
        example="ask brain.zarr gene Slc17a7 --by region",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument(
        "question", metavar="QUESTION", help="gene, composition, or a label such as region or type"
    )
    parser.add_argument("name", nargs="?", default="", help="gene, or class of the label")
    parser.add_argument("--by", default="", help="section or a label; all of them if unset")
    parser.add_argument("--kind", default="", choices=("", "measured", "imputed"),
                        help="measured where any section measured the gene, if unset")  # fmt: skip
    parser.add_argument("--label", default="", help="label of a composition; the first if unset")
    parser.add_argument("--top", type=int, default=20, help="lines per table")
    parser.add_argument("--data", type=Path, help="folder that keeps what was summed up once")
    parser.add_argument("--json", action="store_true", help="for programs: all entries")


def run_ask(args: argparse.Namespace) -> None:
    """Answer one question."""
    # numba is loaded here, not for every command.
    from backend.service.answers import Answers
    from backend.store.atlas import Atlas

    if args.top < 1:
        raise BadRequest(f"--top is {args.top}.", "Give a number above zero.")
    data = args.data or Settings.from_environment().data
    # No folder is made for a question; one that is there is used.
    answers = Answers(Atlas.open(args.atlas), data / "cache" / "answers" if data.is_dir() else None)
    if args.question == "gene":
        _ask_gene(answers, args)
    elif args.question == "composition":
        label = args.label or next(iter(answers.atlas.labels()), "")
        show(answers.compositions(_label(label)), args.json, lambda f: _compositions(f, args.top))
    else:
        key = _label(args.question)
        found = answers.top_genes(key, _code(answers, key, args.name), args.top)
        show(found, args.json, _top_genes)


def _ask_gene(answers: Answers, args: argparse.Namespace) -> None:
    if not args.name:
        raise BadRequest("No gene is named.", "For example: ask ATLAS.zarr gene Slc17a7")
    ways = [args.by] if args.by else [*answers.atlas.labels(), "section"]
    found = [
        answers.gene_means(args.name, args.kind, way if way == "section" else str(_label(way)))
        for way in ways
    ]
    value = found[0] if args.by else {"gene": found[0]["gene"], "answers": found}
    show(value, args.json, lambda _: "\n\n".join(_gene_means(f, args.top) for f in found))


def _label(name: str) -> LayerKey:
    return LayerKey("label", name.removeprefix("label:"))


def _code(answers: Answers, key: LayerKey, name: str) -> int:
    """Return the code of a class by its name, case ignored, or by the code itself.

    Raises
    ------
    BadRequest
    """
    from backend.service.summary import require_label

    require_label(answers.atlas, key)
    names = [c.name for c in answers.atlas.label(key.name).categories]
    for code, known in enumerate(names):
        if known.casefold() == name.casefold():
            return code
    if name.isdecimal():
        return int(name)
    raise BadRequest(
        f"{key} has no class '{name[:60]}'.",
        did_you_mean(name[:60], names) or f"Classes are {', '.join(names[:8])}, ...",
    )


def _gene_means(found: dict[str, Any], top: int) -> str:
    by, entries = found["by"].removeprefix("label:"), found["entries"]
    mean = "none" if found["mean"] is None else f"{found['mean']:.3f}"
    lines = [
        f"{found['title']} by {by}; mean of {found['unit']}. All: {mean}, "
        f"{found['n']:,} cells in {found['n_sections']} sections.",
        *(f"Left out: {e['n_sections']} sections, {e['why']}." for e in found["left_out"]),
    ]
    if found["trust"]:
        trust = found["trust"]
        lines.append(
            f"Imputation: {trust['measure']} {trust['figure']:.2f}, {trust['baseline_name']} "
            f"{trust['baseline']:.2f} ({trust['grade']})."
        )
    most = max((e["mean"] for e in entries), default=0.0)
    for entry in entries[:top]:
        few = f" (fewer than {found['few']})" if entry["n"] < found["few"] else ""
        other = "" if entry.get("comparable", True) else f" [{entry['unit']}]"
        bar = _bar(entry["mean"], most)
        lines.append(f"  {entry['name'][:36]:36s} {entry['mean']:7.3f} {bar} "
                     f"{entry['n']:>11,} cells{few}{other}")  # fmt: skip
    if len(entries) > top:
        lines.append(f"  and {len(entries) - top} more")
    return "\n".join(lines)


def _top_genes(found: dict[str, Any]) -> str:
    lines = [
        f"{found['name']} ({found['layer']}): {found['n']:,} embedded cells in "
        f"{found['n_sections']} sections; {found['unit']}, above the {found['against']}.",
        f"  {'gene':16s} {'mean':>7s} {'atlas':>7s} {'above':>7s}   held-out r",
    ]
    most = max((g["difference"] for g in found["genes"]), default=0.0)
    for g in found["genes"]:
        trust = "   -" if g["trust"] is None else f"{g['trust']:.2f}"
        bar = _bar(g["difference"], most)
        lines.append(f"  {g['gene'][:16]:16s} {g['mean']:7.3f} {g['atlas_mean']:7.3f} "
                     f"{g['difference']:7.3f}   {trust}  {bar}")  # fmt: skip
    return "\n".join(lines)


def _compositions(found: dict[str, Any], top: int) -> str:
    names = [c["name"] for c in found["classes"]]
    lines = [f"{found['title']}: cells of each class per section."]
    for section in found["sections"]:
        known = sum(section["counts"])
        pairs = sorted(zip(section["counts"], section["codes"], strict=True), reverse=True)
        shown = ", ".join(f"{names[c]} {100 * n / known:.1f} %" for n, c in pairs[: min(top, 5)])
        rest = f", and {len(pairs) - min(top, 5)} more" if len(pairs) > min(top, 5) else ""
        missing = f"; {section['missing']:,} without one" if section["missing"] else ""
        lines.append(
            f"  {section['name']}: {section['n']:,} cells. {shown or 'None'}{rest}{missing}"
        )
    return "\n".join(lines)


def _bar(value: float, most: float) -> str:
    return ("█" * round(BAR * value / most) if most > 0 else "").ljust(BAR)
