"""Commands on cells in contact: contacts, ligands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import command, context, show
from backend.core.errors import StoreExists

#: Pairs shown in the text of a result.
SHOWN = 12


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    _add_contacts(commands)
    _add_ligands(commands)


def _add_contacts(commands: Any) -> None:
    parser = command(
        commands,
        "contacts",
        run_contacts,
        about="Count which cell types touch more, or less, often than local chance allows.",
        example="contacts brain.zarr --sections osmfish_sscortex --label label:type "
        "--region label:region -o contacts.csv",
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.csv")
    parser.add_argument("--sections", default="", help="ids, separated by commas; all usable ones")
    parser.add_argument("--label", default="label:type", help="label whose classes are paired")
    parser.add_argument(
        "--region", default="", help="label:region for each by itself, label:region=L5,L6 for some"
    )
    parser.add_argument("--radius", type=float, default=30.0, help="distance of a contact, um")
    parser.add_argument("--reach", type=float, default=100.0, help="longest shift, um")
    parser.add_argument("--shifts", type=int, default=1000)
    parser.add_argument("--null", choices=("places", "free"), default="places",
                        help="shift onto places of cells, or freely as published")  # fmt: skip
    parser.add_argument("--tail", choices=("both", "attraction"), default="both")
    parser.add_argument("--least-contacts", type=int, default=50)
    parser.add_argument("--least-cells", type=int, default=50)
    parser.add_argument("--rate", type=float, default=0.05, help="false discovery rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all pairs on stdout")


def run_contacts(args: argparse.Namespace) -> None:
    """Count contacts and write the table."""
    # numba is loaded here, not for every command.
    from backend.analysis.contacts import ContactParams
    from backend.runs.contacts import contact_atlas, write_contacts

    if args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    params = ContactParams(
        radius_um=args.radius,
        reach_um=args.reach,
        n_shifts=args.shifts,
        null=args.null,
        tail=args.tail,
        least_contacts=args.least_contacts,
        least_cells=args.least_cells,
        rate=args.rate,
        seed=args.seed,
    )
    sections = names(args.sections)
    found = contact_atlas(args.atlas, sections, args.label, args.region, params, context(args.seed))
    write_contacts(found, args.out)
    show(found, args.json, _contacts_text)


def names(text: str) -> list[str]:
    """Return names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _contacts_text(found: dict[str, Any]) -> str:
    called = [p for p in found["pairs"] if p["call"]]
    called.sort(key=lambda p: -abs(p["z"]))
    lines = [
        f"{found['n_cells']:,} cells of {len(found['sections'])} sections, "
        f"{len(found['pairs']):,} pairs of types in {len(found['regions'])} regions; "
        f"{len(called)} called. Left out: {len(found['left_out'])} sections."
    ]
    for p in called[:SHOWN]:
        region = f"{p['region']}: " if p["region"] else ""
        lines.append(
            f"  {region}{p['name_a']} and {p['name_b']}: {p['call']}, {p['fold']:.2f} fold, "
            f"z {p['z']:.1f}, q {p['q']:.2g}, {p['contacts']:,} contacts"
        )
    if len(called) > SHOWN:
        lines.append(f"  and {len(called) - SHOWN} more in the table")
    return "\n".join(lines)


def _add_ligands(commands: Any) -> None:
    parser = command(
        commands,
        "ligands",
        run_ligands,
        about="Test ligands and receptors between two types, cells that touch against others.",
        example="ligands brain.zarr --sections osmfish_sscortex --label label:class --types "
        '"Endothelial,Astrocyte" --pairs cellchatdb_mouse_interactions.csv -o ligands.csv',
    )
    parser.add_argument("atlas", type=Path, metavar="ATLAS.zarr")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT.csv")
    parser.add_argument("--types", required=True, help="names of two types, separated by a comma")
    tables = "CellChatDB, CellTalkDB, OmniPath, or columns ligand, receptor"
    parser.add_argument("--pairs", type=Path, required=True, metavar="FILE", help=tables)
    parser.add_argument("--sections", default="", help="ids, separated by commas; all usable ones")
    parser.add_argument("--label", default="label:type")
    parser.add_argument("--region", default="", help="label:region=L5,L6 for cells of some regions")
    parser.add_argument("--values", choices=("imputed", "measured"), default="imputed")
    parser.add_argument("--resource", default="", help="rows of a table with several resources")
    parser.add_argument("--radius", type=float, default=30.0, help="distance of a contact, um")
    parser.add_argument("--complexes", choices=("geometric", "min"), default="geometric",
                        help="mean or least of the subunits")  # fmt: skip
    parser.add_argument("--rate", type=float, default=0.01, help="false discovery rate")
    parser.add_argument("--least-cells", type=int, default=20, help="of senders in each group")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="for programs: all tests on stdout")


def run_ligands(args: argparse.Namespace) -> None:
    """Test a table of pairs and write what was found."""
    # scipy's statistics are loaded here, not for every command.
    from backend.analysis.ligands import LigandParams
    from backend.runs.ligands import Meant, ligands_atlas
    from backend.runs.ligands_files import write_ligands

    if args.out.exists():
        raise StoreExists(f"'{args.out}' exists already.", "Choose another name.")
    a, _, b = args.types.partition(",")
    meant = Meant(
        tuple(names(args.sections)),
        args.label,
        a.strip(),
        b.strip() or a.strip(),
        args.region,
        args.values,
        args.resource,
    )
    params = LigandParams(args.radius, args.complexes, args.rate, args.least_cells, args.seed)
    found = ligands_atlas(args.atlas, args.pairs, meant, params, context(args.seed))
    write_ligands(found, args.out)
    show(found, args.json, _ligands_text)


def _ligands_text(found: dict[str, Any]) -> str:
    called = [row for row in found["rows"] if row["significant"]]
    trusted = sum(1 for row in called if not row["weak"])
    lines = [
        f"{found['a']} and {found['b']}: {found['n_tested']} of {found['n_pairs']} pairs have all "
        f"genes {found['values']}; {len(called)} differ, {trusted} of them by trusted genes."
    ]
    lines.append(
        f"Of {found['n_random']} random pairs of genes {100 * found['random_called']:.0f} % differ "
        "as much: a call means little where that is high."
    )
    for row in called[:SHOWN]:
        marks = [m for m, on in (("weak", row["weak"]), ("spill-over?", row["spill"])) if on]
        lines.append(
            f"  {row['sender']} {'+'.join(row['ligand'])} to {row['receiver']} "
            f"{'+'.join(row['receptor'])}: d {row['effect']:.2f}, q {row['q']:.2g}, "
            f"{row['n_touching']} against {row['n_apart']} cells, background "
            f"{row['background']:.2f} {' '.join(marks)}".rstrip()
        )
    return "\n".join([*lines, found["caution"]])
