"""Left panel, "Colour by": what the person asks for, and the region tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dash import Dash, Input, Output, html

from backend.core.errors import AtlasError
from backend.core.layers import LayerInfo, LayerKey
from explorer import ids, words
from explorer.components import Child, button, icon_button, kbd, segments, skeleton
from explorer.icons import icon
from explorer.legend import groups_of, split_missing, tree
from explorer.scene import is_lone
from explorer.state import QUERY, Groups, grouped

if TYPE_CHECKING:
    from backend.service import Backend

RAIL = (("tree", "place", "Region"), ("layers", "type", "Cell type"), ("gene", "gene", "Gene"))
#: Short words for the levels of cell type in the segmented control.
LEVEL_WORDS = {"class": "Class", "subclass": "Subclass", "type": "Type", "subtype": "Subtype"}


def layout(backend: Backend) -> html.Nav:
    """Return the panel; below 1280 pixels it is a rail that opens over the map."""
    info = backend.atlas_info()
    rail = html.Div(
        [
            *[icon_button(g, word, "rail", kind_, kind="railb") for g, kind_, word in RAIL],
            html.Span(className="grow"),
            icon_button("up", "Annotate my section (U)", "annotate"),
        ],
        className="rail",
    )
    title = html.Div(["Colour by", html.Span(kbd("[", "]"), className="t3 xs")], className="ptitle")
    scroll = html.Div(
        [
            html.Div(skeleton(4, 20), id=ids.OPTIONS, role="radiogroup", **_label("Colour by")),
            html.Div(skeleton(8, 14), id=ids.TREE, className="treebox"),
        ],
        className="scroll",
    )
    annotate = button("Annotate my section", "annotate", glyph="up", title="Annotate (U)")
    foot = html.Div(annotate, className="foot") if info["can_annotate"] else None
    return html.Nav(
        [rail, html.Div([title, scroll, foot], className="full")],
        className="left",
        id="left",
        **_label("Colour by"),
    )


def _label(text: str) -> dict[str, str]:
    return {"aria-label": text}


def register(app: Dash, backend: Backend) -> None:
    """Redraw the options when the layer changes, the tree when the section does."""

    @app.callback(Output(ids.OPTIONS, "children"), Input(ids.SCENE, "data"))
    def options(scene: Mapping[str, Any] | None) -> Any:
        if not scene:
            return skeleton(4, 20)
        groups = grouped(backend.layers(scene["section"]))
        key = LayerKey.parse(scene["layer"])
        kinds = gene_kinds(backend, scene["section"], key)
        word = measured_word(backend, scene["section"], key) if kinds["measured"] else "Measured"
        n_genes = genes_of(backend, scene["section"])
        return option_rows(groups, key, n_genes, kinds, scene.get("recent") or [], word)

    @app.callback(Output(ids.TREE, "children"), Input(ids.PLACE, "data"))
    def regions(place: Mapping[str, Any] | None) -> Any:
        if not place:
            return skeleton(8, 14)
        section = place["section"]
        places = grouped(backend.layers(section)).places
        if not places:
            return no_regions()
        counts, _ = split_missing(backend.counts(section, places[0].key))
        return region_tree(places[0], counts)


def gene_kinds(backend: Backend, section: str, key: LayerKey) -> dict[str, bool]:
    """Return whether the gene on screen can be shown as measured and as imputed."""
    found = {"measured": False, "imputed": False}
    if key.kind not in found:
        return found
    for kind in ("measured", "imputed"):
        try:
            backend.layer(section, LayerKey(kind, key.name))
            found[kind] = True
        except AtlasError:
            pass
    return found


def measured_word(backend: Backend, section: str, key: LayerKey) -> str:
    """Return what the expression of a section is called: that of subspots was not measured."""
    measured = LayerKey("measured", key.name)
    return words.kind_tag(measured, False, backend.layer(section, measured).unit)[0]


def genes_of(backend: Backend, section: str) -> int:
    """Return how many genes can be mapped: the atlas's, or those of a section by itself."""
    if section.startswith(QUERY):
        entry = backend.section_entry(section)
        if is_lone(entry):
            return int(entry["n_genes"])
    return int(backend.atlas_info()["n_genes"])


def option_rows(
    groups: Groups,
    key: LayerKey,
    n_genes: int,
    kinds: Mapping[str, bool],
    recent: Sequence[str],
    word: str = "Measured",
) -> list[Child]:
    """Return the radio rows; the chosen one opens its options.

    ``word`` is what expression that the section holds is called.
    """
    rows: list[Child] = []
    if groups.places:
        rows += _label_option("Region", groups.places, key)
    if groups.types:
        rows += _label_option("Cell type", groups.types, key)
    is_gene = key.kind in ("measured", "imputed")
    if n_genes:
        last = recent[0] if recent else ""
        rows.append(_option("Gene", words.count(n_genes), is_gene, "gene", last))
    if is_gene:
        rows.append(_gene_options(key, kinds, recent, word))
    if groups.has_density:
        rows.append(_option("Density", "", key.kind == "density", "layer", "density:cells"))
    if groups.numbers:
        rows.append(html.Div("Model layers", className="s b t2 modelhead"))
        rows += [
            _option(words.layer_title(i), "", i.key == key, "layer", str(i.key))
            for i in groups.numbers
        ]
    return rows


def _option(word: str, n: str, is_on: bool, act: str, value: str) -> html.Button:
    return html.Button(
        [
            html.Span(className="rad"),
            html.Span(word, className="cut"),
            html.Span(n, className="n num"),
        ],
        type="button",
        role="radio",
        className="opt on" if is_on else "opt",
        **{"aria-checked": str(is_on).lower(), "data-act": act, "data-value": value},
    )


def _label_option(word: str, infos: Sequence[LayerInfo], key: LayerKey) -> list[Child]:
    chosen = next((i for i in infos if i.key == key), None)
    shown = chosen or infos[0]
    n = words.count(len(shown.categories))
    rows: list[Child] = [_option(word, n, chosen is not None, "layer", str(shown.key))]
    if chosen is not None and len(infos) > 1:
        choices = [(str(i.key), _level_word(i)) for i in infos]
        levels = segments(f"{word} level", choices, str(key), "layer")
        rows.append(html.Div(levels, className="sub"))
    return rows


def _level_word(info: LayerInfo) -> str:
    return LEVEL_WORDS.get(info.key.name, info.title)


def _gene_options(
    key: LayerKey, kinds: Mapping[str, bool], recent: Sequence[str], word: str
) -> html.Div:
    choices = [(f"measured:{key.name}", word), (f"imputed:{key.name}", "Imputed")]
    absent = next((f"{k}:{key.name}" for k in ("measured", "imputed") if not kinds[k]), "")
    others = [g for g in recent if not g.endswith(f":{key.name}")][:4]
    links: list[Child] = ["Recent: "] if others else []
    for place, gene in enumerate(others):
        links += [", "] if place else []
        act = {"data-act": "find-gene", "data-value": gene}
        symbol = html.I(gene.partition(":")[2])
        links.append(html.Button(symbol, type="button", className="textlink", **act))
    return html.Div(
        [
            html.Div(
                [
                    html.B(key.name, className="genename"),
                    icon_button("search", "Choose another gene (/)", "focus-search", kind="sm"),
                ],
                className="row between",
            ),
            segments("Source", choices, str(key), "layer", disabled=absent),
            html.P(links, className="s t2 gap") if links else None,
        ],
        className="sub",
    )


def region_tree(info: LayerInfo, counts: Mapping[int, int]) -> list[Child]:
    """Return the heading and the tree of a region label."""
    groups = [g for g in groups_of(info.categories, counts, "count") if g.cells]
    head = html.Div(
        [
            "Region tree",
            html.Button(
                "Show all",
                type="button",
                className="t3 xs showall",
                **{"data-act": "show-all", "data-value": str(info.key)},
            ),
        ],
        className="s b t2 row between treehead",
    )
    return [head, tree(groups, str(info.key))]


def no_regions() -> list[Child]:
    """Return what the tree says of a section without regions."""
    return [
        html.Div([icon("tree"), "Region tree"], className="s b t2 row treehead"),
        html.P("This section has no region labels.", className="s t3 treehead"),
    ]
