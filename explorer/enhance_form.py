"""What comes before an enhancement: choosing spots and image, sending, checking, the choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from explorer import words
from explorer.choices import choice, labelled, number_field
from explorer.components import Child, button, note
from explorer.runs import run_button
from explorer.sending import Files, before_check, drop_zone, faulty

MODEL = ("soscope", "enhance")
#: What the scripts do to begin anew.
AGAIN = "enhance-again"
# Each form has ids of its own, so that a callback finds all of its fields or none.
SECTION, FACTOR, GENES, MODE, RUN = (
    f"enhance-{part}" for part in ("section", "factor", "genes", "mode", "run")
)
SENT_SECTION, SENT_FACTOR, SENT_GENES, SENT_MODE, SENT_IMAGE, SENT_RUN, SENT_OVERLAY = (
    f"enhance-sent-{part}"
    for part in ("section", "factor", "genes", "mode", "image", "run", "overlay")
)
#: Files that the tool takes.
ACCEPT = ".h5ad,.jpg,.jpeg,.png,.tif,.tiff"
#: Parts that a spot is cut into, by its lattice.
FACTORS = {
    "square": (("2", "2 × 2"), ("3", "3 × 3"), ("4", "4 × 4"), ("5", "5 × 5")),
    "hexagon": (("7", "7: six around one"), ("6", "6 triangles")),
}
#: Share of spots outside the image above which the run is refused.
MOST_OUTSIDE = 0.02
#: What to do with an image that was sent.
WAYS = (
    ("use", "Use it if the evidence is for it"),
    ("stretch", "As above; it covers the spots exactly"),
    ("leave", "Leave it out"),
)
#: Offered where the server has weights of an image network.
NETWORK = ("network", "As the first; described by the server's network")
#: The default, and the trained model that shows the default beside it.
MODES = (("default", "Kriging, in seconds"), ("generative", "Generative, trained for minutes"))
SHAPES = {"square": "square lattice", "hexagon": "hexagonal lattice", "": "no lattice found"}


def before(sections: Sequence[Mapping[str, Any]], here: str, files: Files) -> list[Child]:
    """Return what comes before a run.

    Parameters
    ----------
    sections : sequence of mapping
        Sections of spots of the atlas, as ``Backend.spot_sections`` returns them.
    here : str
        The section on the map.
    files : mapping
        Step of the sending, as the script says it.
    """
    if files.get("step") == "check":
        return check(files)
    return before_check(files, AGAIN) or choose(sections, here)


def choose(sections: Sequence[Mapping[str, Any]], here: str) -> list[Child]:
    """Return the first step: a section of the atlas, or files."""
    hint = "one .h5ad, and a .jpg, .png or .tif; or drop them here"
    drop = drop_zone("enhance-files", ACCEPT, "Send spots with their tissue image", hint)
    needs = (
        "Needs raw counts, spots on a regular array, and for the image their pixel coordinates in "
        "obsm['pixel']. Gives subspots as a section of their own, with expected counts and "
        "uncertainty. Spots are merged and recovered, and the image shuffled and turned, to say "
        "what was gained."
    )
    right = html.Div([drop, html.P(needs, className="s t3")], className="stack2")
    return [html.Div([_of_atlas(sections, here), right], className="twocol")]


def _of_atlas(sections: Sequence[Mapping[str, Any]], here: str) -> html.Div:
    """Return the choice of a section of the atlas; it has no image."""
    title = html.H3("A section of this atlas")
    if not sections:
        text = "No section of this atlas is an array of spots with counts."
        return html.Div([title, html.P(text, className="t2"), html.Div(id=RUN)])
    known = [str(s["id"]) for s in sections]
    chosen = here if here in known else known[0]
    shape = next(str(s["shape"]) for s in sections if s["id"] == chosen)
    options = [
        (str(s["id"]), f"{s['title']}, {words.plural(s['spots'], 'spot')}") for s in sections
    ]
    fields = html.Div(
        [
            labelled("Section", choice(SECTION, options, chosen)),
            labelled("Parts of a spot", _factor(FACTOR, shape)),
            labelled("Genes, at most", number_field(GENES, 500, 1, 20_000)),
            labelled("Model", choice(MODE, MODES, MODES[0][0])),
        ],
        className="toolform",
    )
    said = (
        "Without an image little detail is added over interpolation; the run says how much. "
        "Sections of the atlas come without one."
    )
    return html.Div([title, fields, html.Div(id=RUN), html.P(said, className="s t3 gap")])


def _factor(identity: str, shape: str) -> dcc.Dropdown:
    options = FACTORS.get(shape, FACTORS["square"])
    return choice(identity, options, options[0][0])


def check(files: Files) -> list[Child]:
    """Return what the files hold, how image and spots fit, and the choices of a run."""
    card = files["card"]
    if not card["ok"]:
        return faulty("These spots cannot be enhanced", card, AGAIN)
    names = [str(s["name"]) for s in card["sections"]]
    options = [(n, f"{n or 'The section'}, {words.plural(s['spots'], 'spot')}")
               for n, s in zip(names, card["sections"], strict=True)]  # fmt: skip
    shape = str(card["sections"][0]["shape"])
    has_image = card.get("image") is not None
    fields = [
        labelled("Section", choice(SENT_SECTION, options, names[0])),
        labelled("Parts of a spot", _factor(SENT_FACTOR, shape)),
        labelled("Genes, at most", number_field(SENT_GENES, 500, 1, 20_000)),
        labelled("Model", choice(SENT_MODE, MODES, MODES[0][0])),
    ]
    start = "use" if card["pixels"] else "stretch"
    ways = (*WAYS, NETWORK) if card.get("network") and card["pixels"] else WAYS
    way = labelled("Image", choice(SENT_IMAGE, ways, start if has_image else "leave"))
    fields.append(html.Div(way, hidden=not has_image))
    other = button("Other files", AGAIN)
    left = html.Div(
        [
            html.Div([html.B(files["name"]), html.Span(_facts(card), className="t3 s")]),
            html.Div(fields, className="toolform"),
            *_remarks(card),
            html.Div([html.Div(id=SENT_RUN), other], className="row"),
        ],
        className="stack2",
    )
    return [
        html.Div([left, html.Div(overlay(files, names[0]), id=SENT_OVERLAY)], className="twocol")
    ]


def _facts(card: Mapping[str, Any]) -> str:
    first = card["sections"][0]
    return (
        f"{words.plural(card['n_spots'], 'spot')}, {words.plural(card['n_genes'], 'gene')}; "
        f"{SHAPES[first['shape']]}, {words.number(first['pitch'])} {_unit(card)} apart"
    )


def _unit(card: Mapping[str, Any]) -> str:
    """Return the unit of the coordinates where the file lets it be known."""
    return {"um": "µm", "mm": "mm"}.get(card["unit"], "units")


def _remarks(card: Mapping[str, Any]) -> list[Child]:
    found: list[Child] = []
    if card["sections"][0]["shape"] == "":
        found.append(note("These places are no lattice; the run needs spots on a regular array."))
    if card.get("image") is None:
        found.append(note("No image was sent: little detail can be added."))
    elif not card["pixels"]:
        text = (
            "The file has no pixel coordinates in obsm['pixel']. The image is taken to cover the "
            "spots exactly; choose another way if it does not."
        )
        found.append(note(text))
    return found


def overlay(files: Files, section: str) -> html.Div:
    """Return the image with its spots, and how many lie outside."""
    card = files["card"]
    image = card.get("image")
    if image is None:
        return html.Div()
    entry = next((s for s in card["sections"] if s["name"] == section), card["sections"][0])
    outside = entry["outside"]
    said = f"{image['name']}: {words.count(image['width'])} × {words.count(image['height'])} pixels"
    parts: list[Child] = [
        html.Img(
            src=f"/api/uploads/{files['upload']}/overlay.jpg?section={quote(section, safe='')}",
            alt=f"The image with the spots of {section or 'the section'}",
            className="enhance-overlay",
        ),
        html.P(said, className="s t3"),
    ]
    if outside is not None and outside > MOST_OUTSIDE:
        parts.append(note(
            f"{words.percent(outside, 1)} of the spots lie outside the image (blue): they do not "
            "belong together, or the pixel coordinates are of another resolution."
        ))  # fmt: skip
    elif outside is not None:
        inside = words.percent(1 - outside, 1)
        parts.append(html.P(f"{inside} of the spots lie inside the image.", className="s t2"))
    return html.Div(parts, className="stack2")


def offer_atlas(
    sections: Sequence[Mapping[str, Any]], section: str, factor: str, genes: Any, mode: Any
) -> Child:
    """Return the button that enhances a section of the atlas."""
    entry = next((s for s in sections if s["id"] == section), None)
    if entry is None:
        return None
    params = {"factor": int(factor), "genes": int(genes or 0), "shape": entry["shape"]}
    params |= _mode(mode)
    return run_button(
        f"Enhance {words.plural(entry['spots'], 'spot')}", *MODEL, params, {"section": section}
    )


def offer_files(
    files: Files, section: str, factor: str, genes: Any, mode: Any, image: Any
) -> Child:
    """Return the button that enhances a section of the files that were sent."""
    card = files.get("card")
    if not card or not card["ok"]:
        return None
    entry = next((s for s in card["sections"] if s["name"] == section), None)
    if entry is None:
        return None
    params: dict[str, Any] = {"factor": int(factor), "genes": int(genes or 0)}
    params |= {"section": section} if section else {}
    params |= {"shape": entry["shape"]} if entry["shape"] else {}
    params |= _mode(mode)
    if image == "stretch":
        params["pixels"] = "stretch"
    if image == "leave":
        params["use_image"] = False
    if image == NETWORK[0]:
        params["features"] = "cnn"
    misfit = image in ("use", NETWORK[0]) and (entry["outside"] or 0) > MOST_OUTSIDE
    return run_button(
        f"Enhance {words.plural(entry['spots'], 'spot')}", *MODEL, params,
        {"spots": files["upload"]}, disabled=misfit or not entry["shape"],
    )  # fmt: skip


def _mode(mode: Any) -> dict[str, str]:
    """Return the parameter of a mode; none for the default, so that runs of it are the same."""
    return {"mode": "generative"} if mode == "generative" else {}


def factor_options(shape: str) -> tuple[list[dict[str, str]], str]:
    """Return the parts that a spot of a lattice can be cut into, and the first of them."""
    options = FACTORS.get(shape, FACTORS["square"])
    return [{"value": v, "label": w} for v, w in options], options[0][0]
