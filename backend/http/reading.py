"""Routes that read the atlas: what there is, what a layer is, what a cell is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from backend.core.errors import BadRequest
from backend.core.layers import LayerInfo, LayerKey
from backend.http import queries
from backend.http.answers import json_answer, tagged_answer

if TYPE_CHECKING:
    from backend.service.backend import Backend

#: Side of a Leaflet plane at zoom 0.
LEAFLET = 256.0


def add_reading(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of the atlas as a whole and of its cells."""

    @routes.get("/healthz")
    def healthz() -> Response:
        info = backend.atlas_info()
        queue = backend.jobs.health()
        return json_answer(
            {"ok": True, "name": info["name"], "version": info["version"], "queue": queue}
        )

    @routes.get("/api/atlas")
    def atlas() -> Response:
        return tagged_answer(backend.atlas_info())

    @routes.get("/api/sections")
    def sections() -> Response:
        return tagged_answer({"sections": backend.sections()})

    @routes.get("/api/sections/<section>")
    def one_section(section: str) -> Response:
        return tagged_answer(backend.section_entry(section))

    @routes.get("/api/space")
    def space() -> Response:
        section, key = queries.text("section", "atlas"), queries.optional_layer()
        found = backend.space_info(section)
        if key is not None:
            most = queries.whole("n", 20_000, 1, 50_000)
            found["points"] = backend.space_points(key, most, queries.whole("seed", 0, 0, 10**9))
        return tagged_answer(found)

    @routes.get("/api/genes")
    def genes() -> Response:
        limit = queries.whole("limit", 20, 1, 200)
        section = queries.text("section", "atlas")
        return tagged_answer({"genes": backend.genes(queries.text("q", ""), limit, section)})

    @routes.get("/api/search")
    def search() -> Response:
        limit = queries.whole("limit", 8, 1, 50)
        section = queries.text("section", "atlas")
        return tagged_answer(backend.search(queries.text("q", ""), section, limit))

    @routes.get("/api/cell/<section>/<int:row>")
    def cell(section: str, row: int) -> Response:
        return tagged_answer(backend.cell(section, row, queries.optional_layer()))

    @routes.get("/api/pick")
    def pick() -> Response:
        section, key = queries.text("section"), queries.optional_layer()
        found = backend.pick(section, queries.required_number("x"), queries.required_number("y"))
        if found is None:
            return tagged_answer({"section": section, "row": None, "cell": None})
        section, row = found
        return tagged_answer(
            {"section": section, "row": row, "cell": backend.cell(section, row, key)}
        )


def add_layers(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of one layer of one section."""

    @routes.get("/api/layers")
    def layers() -> Response:
        section = queries.text("section")
        found = [layer_json(info) for info in backend.layers(section)]
        return tagged_answer({"section": section, "layers": found})

    @routes.get("/api/layer")
    def layer() -> Response:
        return tagged_answer(layer_json(backend.layer(queries.text("section"), queries.layer())))

    @routes.get("/api/legend")
    def legend() -> Response:
        section, key = queries.text("section"), queries.layer()
        info = backend.layer(section, key)
        counts = backend.counts(section, key, queries.view())
        return tagged_answer(
            {
                "section": section,
                "layer": str(key),
                "title": info.title,
                "total": sum(counts.values()),
                "missing": counts.get(-1, 0),
                "categories": [
                    {**entry, "count": counts.get(entry["code"], 0)} for entry in classes(info)
                ],
            }
        )

    @routes.get("/api/composition")
    def composition() -> Response:
        section, key = queries.text("section"), queries.layer()
        within = _within()
        return tagged_answer(
            {
                "section": section,
                "layer": str(key),
                "within": None if within is None else {"layer": str(within[0]), "code": within[1]},
                "classes": backend.composition(section, key, within),
            }
        )

    @routes.get("/api/means")
    def means() -> Response:
        section, key, label = queries.text("section"), queries.layer(), queries.layer("label")
        found = backend.means(section, key, label)
        return tagged_answer(
            {"section": section, "layer": str(key), "label": str(label), "classes": found}
        )

    @routes.get("/api/histogram")
    def histogram() -> Response:
        section, key = queries.text("section"), queries.layer()
        info, found = backend.layer(section, key), backend.histogram(section, key)
        return tagged_answer(
            {
                "section": section,
                "layer": str(key),
                "unit": info.unit,
                "span": info.span,
                "edges": found.edges,
                "counts": found.counts,
                "n_zero": found.n_zero,
                "n_missing": found.n_missing,
            }
        )

    @routes.get("/api/anchors")
    def anchors() -> Response:
        section, key = queries.text("section"), queries.layer()
        scale = LEAFLET / backend.section_entry(section)["world_um"]
        return tagged_answer(
            {
                "anchors": [
                    {"name": name, "x": x, "y": y, "n": n, "lng": x * scale, "lat": -y * scale}
                    for name, x, y, n in backend.anchors(section, key)
                ]
            }
        )

    @routes.get("/api/download")
    def download() -> Response:
        section, key = queries.text("section"), queries.layer()
        if queries.text("format", "csv") != "csv":
            raise BadRequest("A layer is downloaded as csv.", "Use format=csv.")
        lines = primed(backend.table(section, key))
        return _attached(Response(lines, mimetype="text/csv"), f"{section}_{key}.csv")

    @routes.get("/api/figure.png")
    def figure() -> Response:
        section, key = queries.text("section"), queries.layer()
        width = queries.whole("width", 2400, 400, 6000)
        picture = backend.figure(section, key, queries.style(), width)
        return _attached(Response(picture, mimetype="image/png"), f"{section}_{key}.png")


def layer_json(info: LayerInfo) -> dict[str, Any]:
    """Return what a layer is, as JSON."""
    trust = None
    if info.trust is not None:
        trust = {**info.trust._asdict(), "grade": info.trust.grade}
    return {
        **asdict(info),
        "key": str(info.key),
        "kind": info.key.kind,
        "name": info.key.name,
        "categories": classes(info),
        "trust": trust,
    }


def classes(info: LayerInfo) -> list[dict[str, Any]]:
    """Return the classes of a label with their codes."""
    return [{"code": code, **c._asdict()} for code, c in enumerate(info.categories)]


def primed(lines: Iterator[str]) -> Iterator[str]:
    """Return the same lines, the first already made, so that errors come before the headers."""
    first = next(lines, "")
    return chain([first], lines)


def file_name(text: str) -> str:
    """Return a name that is safe in a header and on every disk."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:120]


def _attached(answer: Response, name: str) -> Response:
    answer.headers["Content-Disposition"] = f'attachment; filename="{file_name(name)}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _within() -> tuple[LayerKey, int] | None:
    other = queries.optional_layer("within")
    return None if other is None else (other, queries.whole("code", 0, 0, 100_000))
