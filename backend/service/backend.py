"""Backend: an open atlas with its tiles, jobs and uploads. Free of torch and of the web."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.analysis.ligands_table import list_tables
from backend.core.data import SectionInfo
from backend.core.errors import BadRequest, UnknownJob
from backend.core.geometry import Bounds
from backend.core.job import Job
from backend.core.layers import HIDDEN, LayerInfo, LayerKey, Style, TileKey
from backend.core.settings import Settings
from backend.core.trust import CERTAINTY
from backend.intake.attached import attach_image
from backend.intake.check import Preflight, modalities, preflight, preview
from backend.intake.linked import linked
from backend.intake.uploads import Uploads
from backend.jobs.queue import RECORD, JobQueue, NotFinished
from backend.service import cells, search, selections, space, summary, tables
from backend.service.answer_tables import class_table, gene_table, section_table
from backend.service.answers import Answers
from backend.service.layers import annotation_test, bridges_note, describe, expected_r
from backend.service.planes import MONTAGE, QUERY_PREFIX, Plane, Planes, result_of
from backend.service.spots import (
    SPOTS,
    refuse_spots,
    spot_sections,
    spots_card,
    spots_overlay,
)
from backend.store.atlas import Atlas
from backend.store.place import Place
from backend.store.space import Space, read_space
from backend.tiles.figure import figure_png
from backend.tiles.layouts import layout_names, parse_layout
from backend.tiles.render import Histogram, Tile

_ROOT = Path(__file__).resolve().parents[2]
#: Farthest distance at which a cell of a layout is picked, as a part of the plane's side.
PLACE_RADIUS = 0.005


class Backend:
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
        self.settings = settings
        self.checkpoint = checkpoint
        self.demo_query = demo_query
        self.planes = Planes(atlas_path, settings.results)
        self.jobs = jobs or JobQueue(settings)
        self.uploads = Uploads(settings)
        self._counts = lru_cache(maxsize=2048)(self._count)
        self._touching = lru_cache(maxsize=256)(self._find_touching)
        self._answers = lru_cache(maxsize=4)(self._open_answers)
        self._points = lru_cache(maxsize=4)(self._sample_points)
        self._spots_of = lru_cache(maxsize=2)(self._find_spots)
        self._space_of = lru_cache(maxsize=8)(self._read_space)
        # A result never changes; its folder is named after its job.
        self._results = lru_cache(maxsize=8)(_read_json)

    # -- what there is ----------------------------------------------------------------------

    def atlas_info(self) -> dict[str, Any]:
        """Return name, size, geometry and abilities of the atlas."""
        atlas = self.planes.main.atlas
        sections = atlas.sections()
        embedding = atlas.embedding("cell")
        return {
            "name": atlas.name,
            "simulated": atlas.simulated,
            "n_cells": atlas.n_cells,
            "n_sections": len(sections),
            "n_genes": len(atlas.genes.symbol),
            "n_imputable": _n_imputable(atlas.genes.embedding),
            "version": atlas.version,
            "edition": atlas.edition,
            "world_um": atlas.world_um,
            "grid_level": atlas.grid_level,
            "species": sorted({s.species for s in sections}),
            "technologies": sorted({s.technology for s in sections}),
            "has_imputation": embedding is not None and atlas.genes.embedding is not None,
            "can_annotate": self.checkpoint is not None,
            "demo_query": self.demo_query is not None,
            "labels": list(atlas.labels()),
            "layouts": list(layout_names(atlas)),
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
        embedding = plane.atlas.embedding("cell")
        return {
            **asdict(info),
            "slot": list(info.slot),
            "extent": list(info.extent),
            "bounds": list(plane.bounds(info)),
            "world_um": plane.atlas.world_um,
            "edition": plane.atlas.edition,
            "kind": kind,
            # The parent of subspots may be spots that were sent, which the atlas does not hold.
            "parent_here": info.parent if self._holds(info.parent) else "",
            "embedded": embedding is not None and info.id in embedding.sections,
            "few_bridges": bridges_note(plane.atlas, info.id),
            "registered": space.summary_of(self._space_of(plane.atlas), info.id),
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

    def _read_space(self, atlas: Atlas) -> Space | None:
        return read_space(atlas)

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
        found = summary.composition(plane, inner, key, within)
        categories = plane.atlas.label(key.name).categories
        order = np.argsort(-found, kind="stable")
        return [
            {
                "code": int(c),
                "name": categories[c].name,
                "colour": categories[c].colour,
                "parent": categories[c].parent,
                "count": int(found[c]),
            }
            for c in order
            if found[c] > 0
        ]

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

    # -- uploads and jobs -------------------------------------------------------------------

    def preflight(self, upload: str, owner: str) -> Preflight:
        """Return what was found in a finished upload, all problems at once."""
        record = self.uploads.get(upload, owner)
        table = self.planes.main.atlas.genes
        path = self.uploads.path(upload, owner)
        return preflight(path, record.name, table, self.settings.limits)

    def preview(self, upload: str, owner: str) -> dict[str, Any]:
        """Return a sample of the positions and the genes per cell of a finished upload."""
        return preview(self.uploads.path(upload, owner))

    def demo_modalities(self) -> Path:
        """Return a simulated multi-omics section, made when it is first asked for."""
        path = self.settings.data / "cache" / "simulated_section.h5ad"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            # In a process of its own: writing .h5ad loads what no tile needs.
            command = [sys.executable, "-m", "backend.demo.multiomics", str(path.resolve())]
            subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
        return path

    def modalities(self, uploads: Sequence[str], owner: str) -> dict[str, Any]:
        """Return what the finished uploads of one section hold, and all that is wrong with them."""
        named = self.uploads.named(uploads, owner)
        with linked(named) as paths:
            return modalities(paths, self.settings.limits)

    def spot_sections(self) -> list[dict[str, Any]]:
        """Return the sections of the atlas that are spots and can be enhanced."""
        return self._spots_of(self.planes.main.atlas.edition)

    def _find_spots(self, edition: str) -> list[dict[str, Any]]:
        return spot_sections(self.planes.main.atlas)

    def attach_image(self, upload: str, image: str, owner: str) -> dict[str, Any]:
        """Put an uploaded image beside an uploaded section; see ``intake.attached``."""
        found = attach_image(self.uploads, upload, image, owner)
        (self.uploads.path(upload, owner).with_name(SPOTS)).unlink(missing_ok=True)
        return found

    def spots(self, upload: str, owner: str) -> dict[str, Any]:
        """Return what a finished upload of spots holds and how its image fits."""
        card = spots_card(self.uploads, upload, owner, self.settings.limits)
        return {**card, "network": self.settings.image_weights.is_file()}

    def spots_usable(self, upload: str, owner: str) -> None:
        """Raise BadFile if a finished upload cannot be enhanced."""
        refuse_spots(self.uploads.get(upload, owner).name, self.spots(upload, owner))

    def spots_overlay(self, upload: str, section: str, owner: str) -> Path:
        """Return a picture of an upload's image with the spots of a section over it."""
        self.spots_usable(upload, owner)
        return spots_overlay(self.uploads, upload, section, owner)

    def underlay(self, job_id: str) -> Path:
        """Return the image of the tissue of a result, in the coordinates of its section."""
        path = self.jobs.result_file(job_id, "json").with_name("underlay.jpg")
        if not path.is_file():
            raise UnknownJob("This result has no image.", "It was made without one.")
        return path

    def submit(
        self,
        model: str,
        verb: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        owner: str,
    ) -> Job:
        """Queue a run; the same data, parameters and checkpoint give the same job."""
        # An upload is known by what it holds, not by the id of this sending.
        identity = {k: v for k, v in inputs.items() if k not in ("upload", "uploads")}
        identity["checkpoint"] = _fingerprint(self.checkpoint)
        return self.jobs.submit(model, verb, params, inputs, owner, identity)

    def result(self, job_id: str) -> dict[str, Any]:
        """Return what a finished job wrote for programs.

        Raises
        ------
        UnknownJob, NotFinished
        """
        return self._results(self.jobs.result_file(job_id, "json"))

    def record(self, job_id: str) -> dict[str, Any]:
        """Return what a finished job was asked and found, with its figures.

        Raises
        ------
        UnknownJob, NotFinished
        """
        return self._results(self.jobs.result_file(job_id, "json").with_name(RECORD))

    def origin(self, section: str) -> dict[str, Any]:
        """Return the model, the verb and the inputs that made a section; empty where unknown.

        Parameters
        ----------
        section : str
            ``query-<job>`` or ``query-<job>.<k>``.
        """
        try:
            record = self.record(result_of(section)[0])
        except (UnknownJob, NotFinished):
            return {}
        return {name: record[name] for name in ("model", "verb", "inputs") if name in record}

    def pair_tables(self) -> list[str]:
        """Return the names of the tables of ligands and receptors that this server offers."""
        return list_tables(self.settings.pairs)


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _fingerprint(checkpoint: Path | None) -> str:
    """Return what tells one checkpoint from another: its card names the weights by their hash."""
    card = None if checkpoint is None else checkpoint / "card.json"
    if card is None or not card.is_file():
        return ""
    return hashlib.sha256(card.read_bytes()).hexdigest()


def _n_imputable(embedding: NDArray[np.float32] | None) -> int:
    return 0 if embedding is None else int(np.any(embedding, axis=1).sum())


def default_checkpoint(atlas_path: Place) -> Path | None:
    """Return the checkpoint beside an atlas (``NAME.ckpt``), or None; none is behind a URL."""
    if not isinstance(atlas_path, Path):
        return None
    path = atlas_path.with_suffix(".ckpt")
    return path if (path / "card.json").is_file() else None
