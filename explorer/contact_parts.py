"""Parts of the contacts tool: what a run is on, what a result says, a pair and its ligands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import html

from explorer import words
from explorer.choices import choice, labelled, said_of, sections_of
from explorer.components import Child, key_values, note, segments
from explorer.contact_state import MEASURES, PICTURES, ContactsAt, region_of, write_at
from explorer.contact_tables import ligand_table
from explorer.runs import run_button
from explorer.state import MONTAGE
from explorer.takes import takes

if TYPE_CHECKING:
    from backend.service import Backend

#: Ids of the fields of a pair.
LIGANDS, VALUES, RUN_LIGANDS = "contacts-ligands", "contacts-values", "contacts-run-ligands"
WHAT = (
    "Pairs of cells nearer than the radius are counted by type and held against shifts of the "
    "cells within the reach. Shifts go to places that cells occupy: free shifts also undo that "
    "cells do not overlap and that tissue ends, and call most pairs even of random types."
)


def run_row(
    backend: Backend, section: str, scope: str, label: str, region: str, rest: Sequence[Any]
) -> list[Child]:
    """Return the button that starts a count, and what it is on."""
    radius, reach, shifts, least, null = rest
    entries = sections_of(backend, section, scope, label, needs_expression=False)
    params: dict[str, Any] = {"label": label, "region": region, "null": null or "places"}
    numbers = {
        "radius_um": radius,
        "reach_um": reach,
        "n_shifts": shifts,
        "least_contacts": least,
    }
    params |= {name: value for name, value in numbers.items() if value is not None}
    inputs = {"sections": [e["id"] for e in entries]}
    problem = _problem(entries, label, scope != "all" and section != MONTAGE, float(radius or 30))
    act = run_button(
        "Count contacts", "fusemap", "contacts", params, inputs, disabled=bool(problem)
    )
    said = said_of(entries, "All sections with single cells, the label and micrometres")
    return [act, html.Span(problem or said, className="s t2")]


def _problem(
    entries: Sequence[Mapping[str, Any]], label: str, is_named: bool, radius_um: float
) -> str:
    """Return why contacts cannot be counted here, or an empty text."""
    if is_named and not entries:
        return f"The section on the map has no {label}: open another, or take all."
    # A drawn cell's radius is half the median distance to the nearest neighbour.
    apart = max((2 * float(e["radius"]) for e in entries), default=0.0)
    if apart > radius_um:
        return (
            f"Neighbours are {apart:.0f} µm apart here: cells that touch were not recorded. A "
            "larger distance asks about neighbourhoods instead."
        )
    return ""


def summary(found: Mapping[str, Any]) -> html.Span:
    """Return what was counted, in one line."""
    called = sum(1 for p in found["pairs"] if p["call"])
    text = (
        f"{words.plural(found['n_cells'], 'cell')} of "
        f"{words.plural(len(found['sections']), 'section')}; {called} of "
        f"{words.plural(len(found['pairs']), 'pair')} of types called"
    )
    return html.Span(text, className="s t2")


def about(found: Mapping[str, Any]) -> list[str]:
    """Return how it was counted, and what was left out."""
    p = found["params"]
    lines = [
        f"Contact: nearer than {p['radius_um']:g} µm. {words.count(p['n_shifts'])} shifts within "
        f"{p['reach_um']:g} µm: {found['test']}. Called: q below {p['rate']:g} "
        f"(Benjamini-Hochberg per region), more than {p['least_contacts']} contacts, and two "
        "thirds of the animals agree. With many cells even a small difference is called: look at "
        "the fold. Cells of one animal are no independent samples of others.",
    ]
    if found["left_out"]:
        first = found["left_out"][0]
        lines.append(
            f"{words.plural(len(found['left_out']), 'section')} left out; {first['id']}: "
            f"{first['why']}."
        )
    return lines


def where_row(found: Mapping[str, Any], at: ContactsAt) -> list[Child]:
    """Return the choices of picture, measure and region."""
    pictures = [(write_at(replace(at, picture=p)), p.capitalize()) for p in PICTURES]
    short = {"z": "z", "fold": "log₂ fold"}
    measures = [(write_at(replace(at, measure=m, limit=0.0)), short[m]) for m in MEASURES]
    parts: list[Child] = [
        segments("Picture", pictures, write_at(at), "using"),
        segments("Colour by", measures, write_at(replace(at, limit=0.0)), "using"),
    ]
    regions = found["regions"]
    if len(regions) > 1:
        options = [
            html.Button(
                r["name"],
                type="button",
                className="chipb on" if k == at.region else "chipb",
                **{
                    "data-act": "using",
                    "data-value": write_at(replace(at, region=k, pair=None, limit=0.0)),
                    "aria-pressed": str(k == at.region).lower(),
                },
            )
            for k, r in enumerate(regions)
        ]
        parts.append(html.Div(options, className="chips", role="group", **{"aria-label": "Region"}))
    return parts


def pair_part(
    backend: Backend, found: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], at: ContactsAt
) -> list[Child]:
    """Return what is known of the chosen pair, and the test of ligands between its types."""
    pair = next((p for p in pairs if (p["a"], p["b"]) == at.pair), None)
    if pair is None:
        hint = "Click a square, a line or a pair: its two types are shown alone on the map."
        return [html.P(hint, className="t3 s")]
    facts = [
        ("Contacts", words.count(pair["contacts"])),
        ("Expected", f"{pair['expected']:,.1f} ± {pair['sd']:.1f}"),
        ("Fold", f"{pair['fold']:.2f}"),
        ("z", words.signed(pair["z"], 1)),
        ("q", f"{pair['q']:.2g}"),
        *dict.fromkeys(
            [
                (f"Cells, {pair['name_a']}", words.count(pair["n_a"])),
                (f"Cells, {pair['name_b']}", words.count(pair["n_b"])),
            ]
        ),
        ("Animals that agree", f"{pair['n_agree']} of {pair['n_animals']}"),
    ]
    if pair["p_animals"] is not None:
        facts.append(("p over animals", f"{pair['p_animals']:.2g}"))
    title = pair["name_a"] if pair["a"] == pair["b"] else f"{pair['name_a']} and {pair['name_b']}"
    word = {"attraction": "touch more than chance", "avoidance": "touch less than chance"}
    said = word.get(pair["call"], "no difference called")
    return [
        html.B(title),
        html.P(said, className="s t2"),
        key_values(facts),
        html.Div(_ligand_form(backend), className="gap ligandform"),
    ]


def _ligand_form(backend: Backend) -> list[Child]:
    tables = backend.pair_tables()
    if not tables:
        return [
            html.P(
                "For ligands and receptors put a table (CellChatDB, CellTalkDB, OmniPath, or any "
                "csv with the columns ligand and receptor) into the folder 'pairs' of the data "
                "folder of this server.",
                className="s t3",
            )
        ]
    can = backend.atlas_info()["has_imputation"]
    kinds = [("imputed", "Imputed genes")] * can + [("measured", "Measured genes")]
    return [
        html.B("Ligands and receptors", className="s"),
        labelled("Table", choice(LIGANDS, [(t, t) for t in tables], tables[0])),
        labelled("Values", choice(VALUES, kinds, kinds[0][0])),
        html.Div(id=RUN_LIGANDS, className="gap"),
    ]


def ligand_button(found: Mapping[str, Any], at: ContactsAt, table: str, values: str) -> html.Button:
    """Return the button that tests ligands between the types of the chosen pair."""
    names = {t["code"]: t["name"] for t in found["types"]}
    assert at.pair is not None
    region = region_of(found, at)["name"]
    label = str(found["region"]).partition("=")[0]
    params = {
        "table": table,
        "label": found["label"],
        "a": names[at.pair[0]],
        "b": names[at.pair[1]],
        "region": f"{label}={region}" if region else "",
        "values": values,
        "radius_um": found["params"]["radius_um"],
    }
    inputs = {"sections": [s["id"] for s in found["sections"]]}
    return run_button("Test ligands", "fusemap", "ligands", params, inputs)


def ligand_result(found: Mapping[str, Any], job: str) -> list[Child]:
    """Return the tests of ligands and receptors with their cautions."""
    called = [row for row in found["rows"] if row["significant"]]
    trusted = sum(1 for row in called if not row["weak"])
    head = (
        f"{found['a']} and {found['b']}: {found['n_tested']:,} of {found['n_pairs']:,} pairs of "
        f"{found['table']} have all genes {found['values']}; {len(called):,} differ between cells "
        f"that touch and cells that do not, {trusted:,} of them by trusted genes. Of random pairs "
        f"of genes {100 * found['random_called']:.0f} % differ as much."
    )
    loud = found["random_called"] > 0.1
    return [
        html.Div(
            [
                html.Div(takes(job, again="New count"), className="row wrap"),
                html.P(head, className="s t2"),
                note(found["caution"]) if loud else html.P(found["caution"], className="s t3"),
            ],
            className="sec stack2",
        ),
        html.Div(ligand_table(found), className="sec analysis-table"),
        html.P(f"Unit: {found['unit']}.", className="sec s t3"),
    ]


def clicked_pair(clicked: Any) -> tuple[int, int] | None:
    """Return the codes that a point of a figure carries; the lower first."""
    points = (clicked or {}).get("points") or [{}]
    held = points[0].get("customdata")
    parts = str(held[0] if isinstance(held, list) and held else "").split(".")
    if len(parts) != 2 or not all(p.isdecimal() for p in parts):
        return None
    a, b = sorted(int(p) for p in parts)
    return a, b


def on_map(found: Mapping[str, Any], at: ContactsAt, section: str) -> dict[str, Any]:
    """Return the change of the view that shows a pair alone, in a section that was counted."""
    order: dict[str, Any] = {
        "layer": found["label"],
        "only": list(dict.fromkeys(at.pair)) if at.pair else [],
    }
    counted = [s["id"] for s in found["sections"]]
    if section not in counted and section != MONTAGE and at.pair:
        order["section"] = counted[0]
    return order
