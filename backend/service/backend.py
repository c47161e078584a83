"""Backend: an open atlas with its tiles, and the desk of uploads and jobs. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from backend.core.data import SectionInfo
from backend.core.errors import BadRequest
from backend.core.geometry import Bounds
from backend.core.layers import HIDDEN, LayerInfo, LayerKey, Style, TileKey
from backend.core.settings import Settings
from backend.core.trust import CERTAINTY
from backend.jobs.queue import JobQueue
from backend.service import cells, entries, search, selections, space, summary, tables
from backend.service.answer_tables import class_table, gene_table, section_table
from backend.service.answers import Answers
from backend.service.desk import Desk
from backend.service.layers import annotation_test, bridges_note, describe, expected_r
from backend.service.planes import MONTAGE, QUERY_PREFIX, Plane, Planes
from backend.store.atlas import Atlas
from backend.store.place import Place
from backend.store.space import read_space
from backend.tiles.figure import figure_png
from backend.tiles.layouts import parse_layout
from backend.tiles.render import Histogram, Tile

#: Farthest distance at which a cell of a layout is picked, as a part of the plane's side.
PLACE_RADIUS = 0.005


class Backend(Desk):
    """All that the explorer and the routes may ask.

    Parameters
    ----------
    settings : Settings
    atlas_path : Path or RemotePath
        A store of the format of ``backend.store.schema``; a folder, or behind a URL.
    checkpoint : Path or None
        Checkpoint folder that annotates uploads against this atlas.
    demo_query : Path or None
        A file offered as an example upload.
    jobs : JobQueue or None
        The queue; one made from ``settings`` where None.
    """

    def __init__(
        self,
        settings: Settings,
        atlas_path: Place,
        checkpoint: Path | None = None,
        demo_query: Path | None = None,
        jobs: JobQueue | None = None,
    ) -> None:
        planes = Planes(atlas_path, settings.results)
        super().__init__(settings, planes, checkpoint, jobs or JobQueue(settings))
        self.demo_query = demo_query
        self._counts = lru_cache(maxsize=2048)(self._count)
        self._touching = lru_cache(maxsize=256)(self._find_touching)
        self._answers = lru_cache(maxsize=4)(self._open_answers)
        self._points = lru_cache(maxsize=4)(self._sample_points)
        self._space_of = lru_cache(maxsize=8)(read_space)

    # -- what there is ----------------------------------------------------------------------

    def atlas_info(self) -> dict[str, Any]:
        """Return name, size, geometry and abilities of the atlas."""
        return {
            **entries.atlas_entry(self.planes.main.atlas),
            "can_annotate": self.checkpoint is not None,
            "demo_query": self.demo_query is not None,
            "keep_hours": self.settings.limits.keep_hours,
        }

    def sections(self) -> list[dict[str, Any]]:
        """Return all sections of the atlas in storage order, with their place on the plane."""
        plane = self.planes.main
        return [self._section_entry(plane, s, "atlas") for s in plane.atlas.sections()]

    def section_entry(self, section: str) -> dict[str, Any]:
        """Return one section as ``sections`` does; queries live on a plane of their own."""
        plane, inner = self.planes.of(section)
        kind = "query" if section.startswith(QUERY_PREFIX) else "atlas"
        return {**self._section_entry(plane, plane.atlas.section(inner), kind), "id": section}

    def result_sections(self, section: str) -> list[dict[str, Any]]:
        """Return all sections of the result that ``query-<job>`` is of, as ``section_entry`` does.

        Parameters
        ----------
        section : str
            ``query-<job>`` or ``query-<job>.<k>``.

        Raises
        ------
        UnknownSection
            If there is no such result.
        """
        return [self.section_entry(name) for name in self.planes.siblings(section)]

    def section(self, section: str) -> SectionInfo:
        """Return what the store records of a section."""
        return self.planes.info(section)

    def _section_entry(self, plane: Plane, info: SectionInfo, kind: str) -> dict[str, Any]:
        return {
            **entries.section_entry(plane, info, self._space_of(plane.atlas)),
            "kind": kind,
            # The parent of subspots may be spots that were sent, which the atlas does not hold.
            "parent_here": info.parent if self._holds(info.parent) else "",
        }

    def _holds(self, section: str) -> bool:
        return any(info.id == section for info in self.planes.main.atlas.sections())

    # -- common coordinates -----------------------------------------------------------------

    def space_info(self, section: str = MONTAGE) -> dict[str, Any]:
        """Return the common space of the atlas, or of a query, and the records of its sections."""
        return space.about(self.planes.of(section)[0])

    def space_points(
        self, key: LayerKey, most: int = space.MOST_POINTS, seed: int = 0
    ) -> dict[str, Any]:
        """Return a sample of the atlas's placed cells, balanced by the classes of a label."""
        return self._points(self.planes.main.atlas.edition, key, most, seed)

    def _sample_points(self, edition: str, key: LayerKey, most: int, seed: int) -> dict[str, Any]:
        return space.points(self.planes.main, key, most, seed)

    def space_slice(self, section: str, key: LayerKey) -> dict[str, Any]:
        """Return one placed section over the borders of the reference there."""
        plane, inner = self.planes.of(section)
        return space.section_slice(plane, inner, key)

    # -- layers -----------------------------------------------------------------------------

    def layers(self, section: str) -> list[LayerInfo]:
        """Return the layers of a section, genes apart."""
        plane, inner = self.planes.of(section)
        if inner == MONTAGE:
            atlas = plane.atlas
            keys = [LayerKey("label", name) for name in atlas.labels()]
            numbers = [key for key in atlas.numbers() if not key.name.startswith(HIDDEN)]
            keys += [LayerKey("density", "cells"), *numbers]
        else:
            keys = list(plane.atlas.layers(inner))
        return [describe(plane, inner, key) for key in keys]

    def held_out(self, section: str, label: str) -> dict[str, Any] | None:
        """Return how far an annotated label was right on held-out cells, None for another.

        Returns
        -------
        dict or None
            ``how``, ``accuracy``, ``macro_f1``, ``ece``, ``curve``, ``baselines``, ``taxonomy``.
        """
        plane, inner = self.planes.of(section)
        return annotation_test(plane.atlas, inner, label)

    def expected_r(self, section: str, key: LayerKey) -> float | None:
        """Return the r to expect of an imputed gene from the spread of its scores, or None."""
        atlas = self.planes.of(section)[0].atlas
        return expected_r(atlas, atlas.genes.index(key.name)) if key.kind == "imputed" else None

    def bridges_note(self, section: str, key: LayerKey) -> str:
        """Say where an imputed gene rests on few shared genes; nothing of other layers."""
        plane, inner = self.planes.of(section)
        return bridges_note(plane.atlas, inner) if key.kind == "imputed" else ""

    def can_fade(self, section: str, key: LayerKey) -> bool:
        """Return whether the certainty of a layer's cells is known, so that it can be drawn."""
        return key.kind == "imputed" and CERTAINTY in self.planes.of(section)[0].atlas.numbers()

    def layer(self, section: str, key: LayerKey) -> LayerInfo:
        """Return what a layer of a section is; genes too."""
        plane, inner = self.planes.of(section)
        return describe(plane, inner, key)

    # -- finding ----------------------------------------------------------------------------

    def search(self, query: str, section: str = MONTAGE, limit: int = 8) -> dict[str, Any]:
        """Return regions, types and genes that fit, and the nearest spellings if none does."""
        plane, inner = self.planes.of(section)
        return search.search(
            plane, inner, query, limit, lambda key: self._counts(section, key, plane.atlas.version)
        )

    def genes(self, query: str, limit: int = 20, section: str = MONTAGE) -> list[dict[str, Any]]:
        """Return genes whose symbol or id fits."""
        plane, inner = self.planes.of(section)
        return search.gene_hits(plane.atlas, inner, query.strip().lower(), limit)

    # -- numbers ----------------------------------------------------------------------------

    def counts(self, section: str, key: LayerKey, view: Bounds | None = None) -> dict[int, int]:
        """Return cells per code of a label; code -1 counts the cells without one."""
        plane, inner = self.planes.of(section)
        if view is None:
            found = self._counts(section, key, plane.atlas.version)
        else:
            found = tuple(int(c) for c in summary.counts(plane, inner, key, view))
        return {**dict(enumerate(found[:-1])), -1: found[-1]}

    def _count(self, section: str, key: LayerKey, version: int) -> tuple[int, ...]:
        plane, inner = self.planes.of(section)
        return tuple(int(c) for c in summary.counts(plane, inner, key, None))

    def most_touching(self, section: str, key: LayerKey, radius: float) -> tuple[int, ...]:
        """Return the codes of the two classes with most contacts; none where none touch."""
        return self._touching(section, key, radius, self.planes.of(section)[0].atlas.version)

    def _find_touching(
        self, section: str, key: LayerKey, radius: float, version: int
    ) -> tuple[int, ...]:
        plane, inner = self.planes.of(section)
        return summary.most_touching(plane, inner, key, radius)

    def composition(
        self, section: str, key: LayerKey, within: tuple[LayerKey, int] | None = None
    ) -> list[dict[str, Any]]:
        """Return classes with cells, most first; optionally inside a class of another label."""
        plane, inner = self.planes.of(section)
        return summary.composition_entries(plane, inner, key, within)

    def means(self, section: str, key: LayerKey, label: LayerKey) -> list[dict[str, Any]]:
        """Return the mean of a numeric layer per class of a label, highest first."""
        plane, inner = self.planes.of(section)
        if key.kind in ("measured", "imputed"):
            summary.require_label(plane.atlas, label)
            own = None if inner == MONTAGE else inner
            return self._answers(plane.atlas).class_means(key, label.name, own)
        return summary.means_by(plane, inner, key, label)

    def gene_means(self, gene: str, kind: str = "", by: str = "section") -> dict[str, Any]:
        """Return the mean of a gene over the atlas, per section or class, highest first."""
        return self._answers(self.planes.main.atlas).gene_means(gene, kind, by)

    def top_genes(self, key: LayerKey, code: int, limit: int = 20) -> dict[str, Any]:
        """Return the genes whose imputed mean in a class is farthest above the atlas's."""
        return self._answers(self.planes.main.atlas).top_genes(key, code, limit)

    def compositions(self, key: LayerKey) -> dict[str, Any]:
        """Return the cells of each class of a label in each section."""
        return self._answers(self.planes.main.atlas).compositions(key)

    def answer_table(self, found: Mapping[str, Any]) -> str:
        """Return an answer of one of the three questions as CSV with all entries."""
        atlas = self.planes.main.atlas
        if "entries" in found:
            return gene_table(atlas, found)
        return class_table(atlas, found) if "genes" in found else section_table(atlas, found)

    def _open_answers(self, atlas: Atlas) -> Answers:
        # What a query holds is counted in a moment, and deleted after some hours.
        is_query = atlas is not self.planes.main.atlas
        return Answers(atlas, None if is_query else self.settings.data / "cache" / "answers")

    def histogram(self, section: str, key: LayerKey) -> Histogram:
        """Return the distribution of a numeric layer."""
        plane, inner = self.planes.of(section)
        describe(plane, inner, key)
        return plane.renderer.histogram(inner, key)

    def anchors(self, section: str, key: LayerKey) -> list[tuple[str, float, float, int]]:
        """Return (name, x, y, cells) of the names on the tissue; micrometres on the plane."""
        plane, inner = self.planes.of(section)
        info = plane.atlas.section(inner)
        found = summary.section_anchors(plane, info, key)
        categories = plane.atlas.label(key.name).categories
        return [(categories[a.code].name, a.x, a.y, a.n) for a in found]

    # -- cells ------------------------------------------------------------------------------

    def cell(self, section: str, row: int, layer: LayerKey | None = None) -> dict[str, Any]:
        """Return the card of a cell, with its value of ``layer``."""
        plane, inner = self.planes.of(section)
        info = plane.atlas.section(inner)
        found = cells.card(plane, info, row)
        found["section"] = section
        if layer is not None and layer.kind not in ("label", "density"):
            rows = slice(info.first + row, info.first + row + 1)
            value = float(np.asarray(plane.renderer.values(inner, layer, rows))[0])
            found["value"] = value if math.isfinite(value) else None
            if layer.kind == "imputed" and math.isfinite(value):
                found["interval"] = cells.interval(plane.atlas, info, row, layer.name, value)
        return found

    def pick(
        self, section: str, x: float, y: float, radius: float | None = None
    ) -> tuple[str, int] | None:
        """Return (section, row) of the cell under a point, or None.

        Parameters
        ----------
        x, y : float
            Coordinates of the section; of the plane for the montage; 0..1 for a layout.
        radius : float or None
            Farthest distance, micrometres; three cell radii where None. For a layout in parts of
            its side.
        """
        plane, inner = self.planes.of(section)
        layout = parse_layout(section)
        if layout is not None:
            own = plane.renderer.layout(layout)
            place = cells.pick_place(plane, own, x, y, radius or PLACE_RADIUS)
            return None if place is None else (place[0].id, place[1])
        if inner != MONTAGE:
            info = plane.atlas.section(inner)
            bounds = plane.bounds(info)
            x, y = x + bounds.left - info.extent.left, y + bounds.top - info.extent.top
            radius = radius or 3 * info.radius
        found = cells.pick(plane, x, y, radius or 50.0)
        if found is None:
            return None
        return (section if inner != MONTAGE else found[0].id), found[1]

    # -- pictures and tables ----------------------------------------------------------------

    def tile(self, key: TileKey) -> Tile:
        """Return a tile of a section, for ``atlas`` of the montage, for ``layout:umap`` of that."""
        plane, inner = self.planes.of(key.section)
        inner = inner if parse_layout(key.section) is None else key.section
        return plane.renderer.render(TileKey(inner, key.layer, key.style, key.address.checked()))

    def figure(self, section: str, key: LayerKey, style: Style, width: int = 2400) -> bytes:
        """Return a picture of a section for publication: legend, unit, scale bar; PNG."""
        plane, inner = self.planes.of(section)
        if parse_layout(section) is not None:
            raise BadRequest("Figures are of tissue, not of a layout.", "Name a section.")
        return figure_png(plane.atlas, inner, describe(plane, inner, key), style, width)

    def table(self, section: str, key: LayerKey) -> Iterator[str]:
        """Yield the CSV of a layer of one section."""
        plane, inner = self.planes.of(section)
        if inner == MONTAGE:
            raise BadRequest("A table is of one section.", "Open a section, then download.")
        return tables.layer_table(plane, inner, describe(plane, inner, key))

    # -- selections -------------------------------------------------------------------------

    def select(self, section: str, polygon: list[list[float]]) -> dict[str, Any]:
        """Return count and composition of the cells inside a polygon of section coordinates."""
        return selections.summarise(
            selections.choose(self.planes, {"section": section, "polygon": polygon})
        )

    def compare(
        self, a: Mapping[str, Any], b: Mapping[str, Any], limit: int = 50
    ) -> dict[str, Any]:
        """Return the genes that differ between two selections of measured expression."""
        chosen = [selections.choose(self.planes, spec) for spec in (a, b)]
        return selections.compare(chosen[0], chosen[1], limit)


def default_checkpoint(atlas_path: Place) -> Path | None:
    """Return the checkpoint beside an atlas (``NAME.ckpt``), or None; none is behind a URL."""
    if not isinstance(atlas_path, Path):
        return None
    path = atlas_path.with_suffix(".ckpt")
    return path if (path / "card.json").is_file() else None
