"""Answers about a whole atlas as tables to take away: every entry, units, safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from backend.service.tables import safe_text
from backend.store.atlas import Atlas

Found = Mapping[str, Any]


def gene_table(atlas: Atlas, found: Found) -> str:
    """Return the means of a gene per section or class as CSV, highest first."""
    trust = found["trust"]
    notes = [f"{found['title']} by {found['by']}; mean of {found['unit']}"]
    if trust:
        notes.append(
            f"{trust['measure']} {trust['figure']:.3f}, {trust['baseline_name']} "
            f"{trust['baseline']:.3f} ({trust['grade']})"
        )
    notes += [f"left out: {o['n_sections']} sections, {o['why']}" for o in found["left_out"]]
    by = str(found["by"]).removeprefix("label:")
    rows = (
        (e["name"], f"{e['mean']:.6g}", e["n"], e.get("unit", found["unit"]), e.get("id", ""))
        for e in found["entries"]
    )
    return _csv(atlas, notes, (by, "mean", "cells", "unit", "section_id"), rows)


def class_table(atlas: Atlas, found: Found) -> str:
    """Return the genes of a class as CSV, those farthest above the atlas first."""
    notes = [
        f"{found['name']} ({found['layer']}), {found['n']} embedded cells; {found['unit']}",
        f"difference: mean of the class less {found['against']}",
    ]
    rows = (
        (
            g["gene"],
            f"{g['mean']:.6g}",
            f"{g['atlas_mean']:.6g}",
            f"{g['difference']:.6g}",
            "" if g["trust"] is None else f"{g['trust']:.3f}",
        )
        for g in found["genes"]
    )
    header = ("gene", "mean_imputed", "atlas_mean_imputed", "difference", "held_out_r")
    return _csv(atlas, notes, header, rows)


def section_table(atlas: Atlas, found: Found) -> str:
    """Return the cells of each class in each section as CSV, one line per pair that occurs."""
    names = [c["name"] for c in found["classes"]]
    rows = (
        (s["id"], s["name"], "" if code < 0 else names[code], n)
        for s in found["sections"]
        for code, n in _pairs(s)
    )
    header = ("section_id", "section", str(found["layer"]).removeprefix("label:"), "cells")
    return _csv(atlas, ["cells without a class have an empty name"], header, rows)


def _pairs(section: Found) -> list[tuple[int, int]]:
    known = sorted(zip(section["codes"], section["counts"], strict=True), key=lambda p: -p[1])
    return [*known, (-1, section["missing"])] if section["missing"] else known


def _csv(
    atlas: Atlas, notes: Iterable[str], header: Iterable[str], rows: Iterable[Iterable[object]]
) -> str:
    out = io.StringIO()
    out.write(f"# {atlas.name}, version {atlas.version}, {atlas.n_cells} cells\n")
    if atlas.simulated:
        out.write("# simulated data\n")
    for note in notes:
        out.write(f"# {note}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe_text(name) for name in header])
    for row in rows:
        writer.writerow([safe_text(v) if isinstance(v, str) else v for v in row])
    return out.getvalue()
