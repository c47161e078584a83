"""A scene: which plane, bounds and span the scripts draw, or why there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from backend.core.errors import AtlasError, UnknownLayer
from backend.core.layers import MISSING, LayerInfo, LayerKey
from explorer.components import Child, button, empty_state
from explorer.state import MONTAGE, QUERY, Groups, grouped, to_section

if TYPE_CHECKING:
    from backend.service import Backend

#: What every section has.
DENSITY = "density:cells"
#: Labels that an upload came with are called after this.
GIVEN = "given_"
#: Labels whose cells differ by less than this part of the section cover about as many.
ALIKE = 0.02


def plane_of(backend: Backend, section: str, key: LayerKey) -> tuple[dict[str, Any], Any]:
    """Return what the scripts need to draw a scene, and an empty state where it cannot be drawn.

    The first value is ids, numbers and ``info``, the LayerInfo or None.
    """
    info_atlas = backend.atlas_info()
    found: dict[str, Any] = {
        "section": section,
        "asked": str(key),
        "layer": str(key),
        "ok": False,
        "drawn": False,
        "plane": section if section.startswith(QUERY) else MONTAGE,
        "world": info_atlas["world_um"],
        "edition": info_atlas["edition"],
        "atlas_edition": info_atlas["edition"],
        "bounds": [0, 0, info_atlas["world_um"], info_atlas["world_um"]],
        "offset": [0, 0],
        "span": None,
        "kind": key.kind,
        "near": "",
        "beside": str(key),
        "lone": False,
        "named": "",
        "codes": [],
        "unit": "um",
        "title": "All sections",
        "info": None,
    }
    if section != MONTAGE:
        entry = backend.section_entry(section)
        x, y = to_section(entry, 0, 0)
        found |= {
            "bounds": entry["bounds"],
            "world": entry["world_um"],
            "edition": entry["edition"],
            "offset": [x, y],
            "unit": entry["xy_unit"],
            "title": entry["title"],
            "near": nearest(backend, entry),
            "lone": is_lone(entry),
        }
    else:
        found["bounds"] = whole(backend.sections(), found["world"])
    layers = backend.layers(section)
    try:
        info = _layer(backend, section, key, layers)
    except AtlasError as error:
        steps = steps_back(
            key, gene_choices(backend, section, key), opening_layer(backend, section)
        )
        # The tissue stays in sight, grey, where other sections of the plane have the layer.
        found["drawn"] = found["plane"] == MONTAGE and _somewhere(backend, key)
        return found, empty_state(error.message, _reason(error, key, found["drawn"]), steps)
    # Cell types are spread all over; only places have a spot to print their name on.
    places = [i.key for i in grouped(layers).places]
    named = key if key in places else places[0] if places else ""
    found |= {
        "ok": True,
        "drawn": True,
        "layer": str(info.key),
        "span": list(info.span) if info.span else None,
        "named": str(named),
        "codes": _matched_codes(backend, info) if section.startswith(QUERY) else [],
        "info": info,
        "beside": _beside(backend, section, info.key),
    }
    return found, None


def whole(sections: Sequence[Mapping[str, Any]], world: float) -> list[float]:
    """Return the rectangle of the plane that holds all sections."""
    if not sections:
        return [0, 0, world, world]
    lefts, tops, rights, bottoms = zip(*[s["bounds"] for s in sections], strict=True)
    return [min(lefts), min(tops), max(rights), max(bottoms)]


def nearest(backend: Backend, entry: Mapping[str, Any]) -> str:
    """Return the atlas section that a query was matched to, or an empty string."""
    known = {s["id"] for s in backend.sections()}
    return entry["parent"] if entry["kind"] == "query" and entry["parent"] in known else ""


def is_lone(entry: Mapping[str, Any]) -> bool:
    """Return whether a section on a plane of its own has nothing to do with the atlas."""
    return entry["kind"] == "query" and not entry.get("parent_here", entry["parent"])


def _layer(backend: Backend, section: str, key: LayerKey, layers: Sequence[LayerInfo]) -> LayerInfo:
    if key.kind in ("measured", "imputed"):
        return backend.layer(section, key)
    noun = f"{key.name} labels" if key.kind == "label" else f"{key.name} {key.kind}"
    for info in layers:
        if info.key == key:
            if key.kind == "label" and not _covered(backend, section, key):
                raise UnknownLayer(f"No cell of this section has {noun}.")
            return info
    raise UnknownLayer(f"This section has no {noun}.")


def _beside(backend: Backend, section: str, key: LayerKey) -> str:
    """Return what the atlas shows beside a section of a result: the same layer where it has it."""
    same = not section.startswith(QUERY) or _somewhere(backend, key)
    return str(key) if same else DENSITY


def _somewhere(backend: Backend, key: LayerKey) -> bool:
    try:
        backend.layer(MONTAGE, key)
    except AtlasError:
        return False
    return True


def _covered(backend: Backend, section: str, key: LayerKey) -> int:
    """Return how many cells carry a label."""
    return sum(n for code, n in backend.counts(section, key).items() if code != MISSING)


def noun_of(backend: Backend, section: str) -> str:
    """Return what the rows of a section are; those of all sections together are cells."""
    return "cell" if section == MONTAGE else str(backend.section_entry(section)["noun"])


def opening_layer(backend: Backend, section: str) -> str:
    """Return the layer to open a section with, so that it opens coloured.

    Places where more than half of the cells have one; else the cell types that cover most, the
    coarsest of those that cover about as many; else density. Labels that an upload came with only
    where it has no others.
    """
    groups = _found_first(grouped(backend.layers(section)))
    n = sum(s["n_cells"] for s in backend.sections()) if section == MONTAGE else 0
    n = n or backend.section(section).n_cells
    is_query = section.startswith(QUERY)
    covered = {i.key: _covered(backend, section, i.key) for i in (*groups.places, *groups.types)}
    for info in groups.places:
        if covered[info.key] > n / 2 and not (is_query and groups.types):
            return str(info.key)
    most = max(covered.values(), default=0)
    for info in (*groups.types, *groups.places):
        if covered[info.key] > 0 and covered[info.key] >= most - ALIKE * n:
            return str(info.key)
    return DENSITY


def _found_first(groups: Groups) -> Groups:
    """Return the labels without those that an upload came with, where others are left."""
    kept = tuple(i for i in groups.types if not i.key.name.startswith(GIVEN))
    places = tuple(i for i in groups.places if not i.key.name.startswith(GIVEN))
    return groups._replace(types=kept, places=places) if kept or places else groups


def _reason(error: AtlasError, key: LayerKey, elsewhere: bool) -> str:
    hints = [h for h in error.hints if h and not h.startswith(("Show ", "Choose another"))]
    what = "them" if key.kind == "label" else "it"
    return " ".join(hints) or (f"Other sections of this atlas have {what}." if elsewhere else "")


def gene_choices(backend: Backend, section: str, key: LayerKey) -> list[str]:
    """Return the layers in which the gene of ``key`` can be shown in a section."""
    if key.kind not in ("measured", "imputed"):
        return []
    hits = backend.genes(key.name, 1, section)
    if not hits or hits[0]["symbol"].lower() != key.name.lower():
        return []
    return [f"{kind}:{hits[0]['symbol']}" for kind in ("measured", "imputed") if hits[0][kind]]


def steps_back(key: LayerKey, choices: Sequence[str], fallback: str) -> list[Child]:
    """Return the buttons of an empty state: the same gene otherwise, or the section's own layer."""
    steps: list[Child] = []
    for choice in choices:
        kind = LayerKey.parse(choice).kind
        steps.append(button(f"Show {kind} {key.name}", "layer", choice, kind="pri"))
    word = LayerKey.parse(fallback).name
    steps.append(button(f"Colour by {word}", "layer", fallback, kind="" if steps else "pri"))
    return steps


def _matched_codes(backend: Backend, info: LayerInfo) -> list[int]:
    """Return, for each class of a query's label, the atlas's code of the class of that name."""
    if info.key.kind != "label":
        return []
    for known in backend.layers(MONTAGE):
        if known.key == info.key:
            at = {c.name: code for code, c in enumerate(known.categories)}
            return [at.get(c.name, -2) for c in info.categories]
    return []
