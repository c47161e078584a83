"""Tests of ligands and receptors as files: a table for people, all of it for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.runs.tables import beside, safe_text

COLUMNS = (
    "sender", "receiver", "ligand", "receptor", "pathway", "effect", "mean_touching",
    "mean_apart", "n_touching", "n_apart", "t", "p", "q", "significant", "values",
    "held_out_r_ligand", "held_out_r_receptor", "weak", "may_be_spill_over", "background",
)  # fmt: skip


def write_ligands(found: Mapping[str, Any], csv_path: Path, json_path: Path | None = None) -> None:
    """Write the table of tests, and all of it for programs; beside and renamed."""
    with beside(csv_path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        for line in _header(found):
            file.write(f"# {line}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_line(row, found["values"]) for row in found["rows"])
    if json_path is not None:
        with beside(json_path) as draft:
            draft.write_text(json.dumps(found), encoding="utf-8")


def _header(found: Mapping[str, Any]) -> list[str]:
    p = found["params"]
    ids = [s["id"] for s in found["sections"]]
    return [
        f"ligands and receptors of {found['table']}: {found['n_tested']} of {found['n_pairs']} "
        f"pairs have all genes {found['values']}",
        f"{found['a']} and {found['b']} of {found['label']}, {found['n_cells']} cells of "
        f"{' '.join(ids)}; region {found['region'] or 'not told apart'}",
        f"touching: nearer than {p['radius_um']:g} um; complexes by {p['complexes']} mean or least;"
        f" Welch's t, Benjamini-Hochberg over both directions, q < {p['rate']:g}",
        f"of {found['n_random']} random pairs of genes {100 * found['random_called']:.0f} % differ "
        "as much; background: share of them with as high a t",
        f"unit: {found['unit']}",
        found["caution"],
    ]


def _line(row: Mapping[str, Any], kind: str) -> list[Any]:
    known = ["" if row[k] is None else f"{row[k]:.3f}" for k in ("r_ligand", "r_receptor")]
    return [
        safe_text(row["sender"]), safe_text(row["receiver"]), "+".join(row["ligand"]),
        "+".join(row["receptor"]), safe_text(row["pathway"]), f"{row['effect']:.4f}",
        f"{row['mean_touching']:.4f}", f"{row['mean_apart']:.4f}", row["n_touching"],
        row["n_apart"], f"{row['t']:.3f}", f"{row['p']:.3g}", f"{row['q']:.3g}",
        int(row["significant"]), kind, *known, int(row["weak"]), int(row["spill"]),
        f"{row['background']:.3f}",
    ]  # fmt: skip
