"""Parts of the interactions tool: what a run is asked about, and what a result says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dash import html

from backend.core.errors import AtlasError
from backend.core.layers import LayerKey
from explorer import words
from explorer.choices import section_problem
from explorer.components import Child, button, key_values, note, segments
from explorer.interaction_state import GENE_PARTS, PARTNER_PARTS, InteractionsAt, write_at
from explorer.interaction_tables import as_good, niche_rows, trust_table
from explorer.runs import run_button
from explorer.state import MONTAGE, to_section

if TYPE_CHECKING:
    from backend.service import Backend

#: Neighbours are nearer than this unless another distance is asked for, micrometres.
RADIUS = 30.0
#: Layer of a result that says how likely each cell lies beside the chosen ones.
PARTNER_LAYER = "score:partner"
#: Ways to test gene pairs; the second also removes genes from cells and asks the transformer, which
#: takes about a minute.
FORWARD = "forward"
WAYS = (("", "Closed form"), (FORWARD, "Closed form and removal"))
WHAT_PARTNERS = (
    "From expression alone: which cells are likely to lie within 30 µm of the chosen ones. It "
    "learns from one part of the section and is tested on another, beside plain methods."
)
WHAT_GENES = (
    "Which gene in the first type goes with which gene in the second where they touch, beyond "
    "both genes by themselves. Tested by permutation within 150 µm blocks; few pairs pass on "
    "small sections. It says what goes together, not what causes what."
)


def asked_of(
    backend: Backend, section: str, lasso: Any, hover: Any
) -> tuple[dict[str, Any], str, str]:
    """Return what is selected on the map: parameters of a run, the button's word, and a sentence.

    Parameters
    ----------
    section : str
        On the map.
    lasso : mapping or None
        Store of the lasso: ``section`` and ``polygon``.
    hover : mapping or None
        Store of the pointer; a pinned cell counts.
    """
    if lasso and lasso.get("section") == section:
        try:
            n = int(backend.select(section, lasso["polygon"])["n_cells"])
        except AtlasError as error:
            return {}, "", str(error)
        said = f"Lasso: {words.plural(n, 'cell')}."
        return {"polygon": json.dumps(lasso["polygon"])}, f"of {words.plural(n, 'cell')}", said
    if hover and hover.get("pinned") and hover.get("plane") in (section, MONTAGE):
        entry = backend.section_entry(section)
        x, y = to_section(entry, float(hover["x"]), float(hover["y"]))
        place = json.dumps([round(x, 2), round(y, 2)])
        return {"cell": place}, "of the pinned cell", f"Pinned cell at {x:,.0f}, {y:,.0f} µm."
    return {}, "", "Nothing is chosen: click a cell to pin it, or draw a lasso (L) on the map."


def run_partners(
    backend: Backend, section: str, label: str, lasso: Any, hover: Any, radius: float = RADIUS
) -> list[Child]:
    """Return the button that starts a co-localisation, and what it is on."""
    problem, entry = section_problem(backend, section, label)
    if entry is None:
        return [html.Span(problem, className="s t2")]
    asked, word, said = asked_of(backend, section, lasso, hover)
    params = {"label": label, "radius_um": radius, **asked}
    whole = f"Learn from {words.plural(entry['n_cells'], 'cell')}"
    act = run_button(
        f"Find partners {word}" if asked else whole,
        "spatialformer", "colocalise", params, {"sections": [entry["id"]]},
    )  # fmt: skip
    return [act, html.Span(said, className="s t2")]


def run_genes(
    backend: Backend,
    section: str,
    label: str,
    pair: tuple[str, str],
    table: str,
    lasso: Any,
    radius: float = RADIUS,
    forward: bool = False,
) -> list[Child]:
    """Return the button that starts a test of gene pairs, and what it is on."""
    problem, entry = section_problem(backend, section, label)
    if entry is None or not all(pair):
        return [html.Span(problem or "Choose two types.", className="s t2")]
    params: dict[str, Any] = {"label": label, "a": pair[0], "b": pair[1], "table": table or ""}
    params["radius_um"] = radius
    if forward:
        params["forward"] = True
    said = "In the whole section."
    if forward:
        said = "In the whole section, about a minute."
    if lasso and lasso.get("section") == section:
        params["polygon"] = json.dumps(lasso["polygon"])
        said = "In the lasso."
    act = run_button(
        f"Test gene pairs of {pair[0]} and {pair[1]}",
        "spatialformer", "perturb", params, {"sections": [entry["id"]]},
    )  # fmt: skip
    return [act, html.Span(said, className="s t2")]


def type_options(backend: Backend, section: str, label: str) -> list[dict[str, str]]:
    """Return the types of a section with their cells, commonest first."""
    key = LayerKey.parse(label)
    try:
        info = backend.layer(section, key)
        counts = backend.counts(section, key)
    except AtlasError:
        return []
    ranked = sorted(
        (code for code, n in counts.items() if 0 <= code < len(info.categories) and n),
        key=lambda code: -counts[code],
    )
    return [
        {"value": info.categories[c].name,
         "label": f"{info.categories[c].name} ({words.count(counts[c])})"}
        for c in ranked
    ]  # fmt: skip


def first_types(backend: Backend, section: str, label: str, names: list[str]) -> list[str]:
    """Return the two of some types that touch most: the commonest two often never do."""
    key = LayerKey.parse(label)
    try:
        categories = backend.layer(section, key).categories
        found = [categories[c].name for c in backend.most_touching(section, key, RADIUS)]
    except AtlasError:
        found = []
    return found if len(found) == 2 and set(found) <= set(names) else (names + ["", ""])[:2]


def parts_row(at: InteractionsAt, is_genes: bool) -> html.Div:
    """Return the choice of what is shown of a result."""
    parts = GENE_PARTS if is_genes else PARTNER_PARTS
    options = [(write_at(replace(at, part=name)), word) for name, word in parts]
    chosen = at.part if at.part in dict(parts) else parts[0][0]
    return segments("Part of the result", options, write_at(replace(at, part=chosen)), "using")


def partner_summary(found: Mapping[str, Any]) -> str:
    """Return what was learnt and asked, in one line."""
    query = found["query"].get("said") or "no cell was chosen"
    return (
        f"{words.plural(found['n_cells'], 'cell')}, neighbours within "
        f"{found['radius_um']:g} µm; {query}"
    )


def partners_part(found: Mapping[str, Any], section: str) -> list[Child]:
    """Return the chosen cells' predicted surroundings and the button that shows them."""
    order = json.dumps({"section": section, "layer": PARTNER_LAYER, "only": []})
    show = button("Show partners on the map", "steer", order, kind="pri")
    if not found["niche"]:
        hint = "No cell was chosen for this run. Pin a cell or draw a lasso, and run again."
        return [html.P(hint, className="s t2")]
    facts = []
    if found["jsd"] is not None:
        facts.append(("Jensen-Shannon divergence, predicted against observed",
                      f"{found['jsd']:.3f}"))  # fmt: skip
    return [
        html.Div(show, className="row"),
        niche_rows(found["niche"]),
        key_values(facts) if facts else None,
        html.P(
            "Predicted: shares of types around the chosen cells, from their expression alone. "
            "Observed: types within the radius.",
            className="s t3",
        ),
    ]


def trust_part(found: Mapping[str, Any]) -> list[Child]:
    """Return the figures beside plain methods, and every warning."""
    said = [html.P(line, className="s t2") for line in found["transformer"]]
    return [*trust_table(found), *said, *(note(w) for w in found["warnings"])]


def trust_side(found: Mapping[str, Any]) -> list[Child]:
    """Return hard and easy AUC of every method in a few lines, and where a plain one is as good."""
    lines = [
        (name, " / ".join(f"{f[key]:.2f}" for key in ("hard", "easy") if f.get(key) is not None))
        for name, f in found["methods"].items()
    ]
    title = html.B("AUC on unseen cells, hard / easy negatives", className="s")
    return [title, key_values(lines), *(note(line) for line in as_good(found))]


def gene_summary(found: Mapping[str, Any]) -> str:
    """Return what was tested, in one line."""
    called = sum(1 for r in found["rows"] if r["q"] < found["rate"])
    return (
        f"{found['a']} and {found['b']}: {words.plural(found['n_contacts'], 'contact')}, "
        f"{words.plural(found['n_tested'], 'gene pair')} tested, {called:,} called"
    )


def empty_words(found: Mapping[str, Any]) -> list[Child]:
    """Return a note where no gene pair was called."""
    if any(r["q"] < found["rate"] for r in found["rows"]):
        return []
    text = (
        f"No gene pair passes q below {found['rate']:g}. Only strong effects, risk ratios above "
        "about 3, are found with a few hundred contacts."
    )
    return [note(text)]


def forward_notes(found: Mapping[str, Any]) -> list[Child]:
    """Return what removal from the transformer says and how far to trust it, where it was asked."""
    forward = found["forward"]
    if forward is None:
        return []
    called = (
        f"By removal: {words.plural(forward['n_tested'], 'gene pair')} tested, "
        f"{forward['n_called']:,} called. {forward['said']}"
    )
    trusted = forward["trusted"]
    return [note(called, "help" if trusted else "warn", "" if trusted else "warn")]


def warning_notes(lines: Sequence[str]) -> list[Child]:
    """Return warnings as notes."""
    return [note(line) for line in lines]
