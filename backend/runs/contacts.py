"""Cell contacts of an atlas: cells read by section and region, pairs counted, tables written."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.contacts import (
    ContactParams,
    Patch,
    as_record,
    count_contacts,
    params_record,
)
from backend.analysis.contacts_network import network
from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, UnknownLayer, did_you_mean
from backend.core.job import RunContext
from backend.core.layers import LayerKey
from backend.runs.tables import beside, safe_text
from backend.store.atlas import Atlas

#: Columns of the table, in order.
COLUMNS = (
    "region", "type_a", "type_b", "call", "contacts", "expected", "sd", "z", "p", "q", "fold",
    "log2_fold", "cells_a", "cells_b", "animals", "animals_agree", "p_animals",
)  # fmt: skip
#: Distances between neighbours differ; a median above the radius means spots, not cells.
TEST = {
    "places": "types exchanged among the places of cells, mean shift as in a disc",
    "free": "cells shifted freely in a disc, as published",
}


@dataclass(frozen=True, slots=True)
class Where:
    """Cells of one region of one section, rows counted from the first of the section."""

    info: SectionInfo
    region: str
    rows: NDArray[np.int64]


def contact_atlas(
    atlas_path: Path | str,
    sections: Sequence[str],
    label: str,
    region: str = "",
    params: ContactParams | None = None,
    ctx: RunContext | None = None,
) -> dict[str, Any]:
    """Return which types of a label are in contact more or less than local chance allows.

    Parameters
    ----------
    atlas_path : Path
    sections : sequence of str
        Ids; all sections with single cells, the label and micrometres where empty.
    label : str
        Such as "label:type".
    region : str
        Such as "label:region" for each region by itself, or "label:region=L5,L6" for some;
        regions are not told apart where empty.
    params : ContactParams, optional
    ctx : RunContext, optional

    Raises
    ------
    UnknownSection, UnknownLayer, BadRequest, TooFewCells
    """
    params, ctx = (params or ContactParams()).checked(), ctx or RunContext()
    atlas = Atlas.open(atlas_path)
    key = label_key(atlas, label)
    infos, left_out = usable_sections(atlas, sections, key, params.radius_um)
    codes = atlas.label(key.name)
    where = [w for info in infos for w in regions_of(atlas, info, region)]
    patches = [
        Patch(
            w.info.id,
            animal_of(w.info),
            w.region,
            np.asarray(atlas.xy[w.info.rows])[w.rows],
            np.asarray(codes.codes[w.info.rows])[w.rows],
        )
        for w in where
    ]
    found = count_contacts(patches, params, ctx.part(0, 0.98))
    names = [c.name for c in codes.categories]
    ctx.step(0.98, "Laying out the network")
    return {
        "label": str(key),
        "region": region,
        "params": params_record(params),
        "test": TEST[params.null],
        "sections": [
            {"id": i.id, "title": i.title, "animal": animal_of(i), "n_cells": i.n_cells}
            for i in infos
        ],
        "left_out": left_out,
        "n_cells": sum(len(w.rows) for w in where),
        "types": [
            {"code": c, "name": t.name, "colour": t.colour} for c, t in enumerate(codes.categories)
        ],
        "regions": [
            {"name": name, "network": network([c for c in found if c.region == name])}
            for name in dict.fromkeys(c.region for c in found)
        ],
        "pairs": [as_record(c, names) for c in found],
    }


def label_key(atlas: Atlas, text: str) -> LayerKey:
    """Return a label of the atlas; the word ``label:`` may be left out.

    Raises
    ------
    UnknownLayer
    """
    name = text.removeprefix("label:")
    if name not in atlas.labels():
        raise UnknownLayer(
            f"'{text[:80]}' is not a label of atlas '{atlas.name}'.",
            f"Labels are {', '.join(f'label:{n}' for n in atlas.labels()) or 'none'}.",
        )
    return LayerKey("label", name)


def usable_sections(
    atlas: Atlas, named: Sequence[str], key: LayerKey, radius_um: float
) -> tuple[list[SectionInfo], list[dict[str, str]]]:
    """Return the sections whose cells can touch, and which others were left out and why.

    Raises
    ------
    UnknownSection
    BadRequest
        If a named section cannot be used, all of them at once; or if none can.
    """
    infos = [atlas.section(name) for name in named] or list(atlas.sections())
    why = {info.id: _why_not(atlas, info, key, radius_um) for info in infos}
    bad = [{"id": name, "why": reason} for name, reason in why.items() if reason]
    if bad and (named or len(bad) == len(infos)):
        said = [f"{b['id']}: {b['why']}." for b in bad[:5]]
        raise BadRequest("Contacts cannot be counted in these sections.", *said)
    return [info for info in infos if not why[info.id]], bad


def _why_not(atlas: Atlas, info: SectionInfo, key: LayerKey, radius_um: float) -> str:
    if key not in atlas.layers(info.id):
        return f"no {key}"
    if info.xy_unit != "um":
        return f"positions are in {info.xy_unit}, not µm"
    # The radius of a drawn cell is half the median distance to the nearest neighbour.
    if 2 * info.radius > radius_um:
        return f"neighbours are {2 * info.radius:.0f} µm apart, so these are spots, not cells"
    return ""


def animal_of(info: SectionInfo) -> str:
    """Return what a section is a sample of: its animal, else its data set."""
    return f"{info.dataset} {info.animal}".strip()


def regions_of(atlas: Atlas, info: SectionInfo, region: str) -> list[Where]:
    """Return the rows of each region of a section; all rows where ``region`` is empty.

    Raises
    ------
    UnknownLayer, BadRequest
    """
    if not region:
        return [Where(info, "", np.arange(info.n_cells))]
    text, _, wanted = region.partition("=")
    label = atlas.label(label_key(atlas, text).name)
    names = [c.name for c in label.categories]
    chosen = _chosen(names, wanted) if wanted else range(len(names))
    codes = np.asarray(label.codes[info.rows])
    found = [Where(info, names[code], np.flatnonzero(codes == code)) for code in chosen]
    return [w for w in found if len(w.rows)]


def _chosen(names: Sequence[str], wanted: str) -> list[int]:
    """Return the codes of named classes; a name may itself hold a comma."""
    at = {name.casefold(): code for code, name in enumerate(names)}
    parts = [wanted] if wanted.casefold() in at else [w.strip() for w in wanted.split(",")]
    unknown = [w for w in parts if w.casefold() not in at]
    if unknown:
        raise BadRequest(
            f"There is no region '{unknown[0][:60]}'.",
            did_you_mean(unknown[0][:60], names) or f"Regions are {', '.join(names[:8])}, ...",
        )
    return [at[w.casefold()] for w in parts]


def write_contacts(found: Mapping[str, Any], csv_path: Path, json_path: Path | None = None) -> None:
    """Write the table of pairs, and all of it for programs; beside and renamed."""
    with beside(csv_path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        for line in header(found):
            file.write(f"# {line}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_line(p) for p in found["pairs"])
    if json_path is not None:
        with beside(json_path) as draft:
            draft.write_text(json.dumps(found), encoding="utf-8")


def header(found: Mapping[str, Any]) -> list[str]:
    """Return what the table was made with, one line each."""
    p = found["params"]
    ids = [s["id"] for s in found["sections"]]
    return [
        f"contacts of {found['label']}, region {found['region'] or 'not told apart'}; "
        f"{found['n_cells']} cells of {len(ids)} sections: {' '.join(ids)}",
        f"nearer than {p['radius_um']:g} um; {p['n_shifts']} shifts within {p['reach_um']:g} um, "
        f"{found['test']}; seed {p['seed']}",
        f"called where q < {p['rate']:g} (Benjamini-Hochberg per region, {p['tail']} tails), more "
        f"than {p['least_contacts']} contacts, and animals agree",
    ]


def _line(pair: Mapping[str, Any]) -> list[Any]:
    return [
        safe_text(pair["region"]), safe_text(pair["name_a"]), safe_text(pair["name_b"]),
        pair["call"], pair["contacts"], f"{pair['expected']:.2f}", f"{pair['sd']:.3f}",
        f"{pair['z']:.3f}", f"{pair['p']:.3g}", f"{pair['q']:.3g}", f"{pair['fold']:.4f}",
        f"{pair['log2_fold']:.4f}", pair["n_a"], pair["n_b"], pair["n_animals"],
        pair["n_agree"], "" if pair["p_animals"] is None else f"{pair['p_animals']:.3g}",
    ]  # fmt: skip
