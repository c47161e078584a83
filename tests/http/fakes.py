"""A service of four cells: the methods that the routes call, answered by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from backend.core.errors import BadRequest, UnknownCell, UnknownGene, UnknownSection
from backend.core.geometry import Bounds
from backend.core.job import Job
from backend.core.layers import Category, LayerInfo, LayerKey, Style, TileKey, Trust
from backend.core.settings import Settings
from backend.http import create_server
from backend.http.tiles import DEAR
from backend.intake.check import inspect
from backend.intake.findings import Preflight
from backend.intake.glance import glance
from backend.intake.uploads import Uploads
from backend.jobs.queue import JobQueue

if TYPE_CHECKING:
    from flask import Flask

    from backend.service import Backend

GENES = SimpleNamespace(symbol=tuple(f"Gene{i}" for i in range(60)), ensembl=())
HOSTILE = "<script>alert(1)</script>"


class FakeTile(NamedTuple):
    png: bytes
    etag: str
    empty: bool


class FakePlanes:
    def __init__(self, backend: FakeBackend) -> None:
        self._backend = backend

    def of(self, section: str) -> tuple[Any, str]:
        self._backend.section(section)
        version = self._backend.version
        atlas = SimpleNamespace(path="demo.zarr", version=version, edition=f"{version}-0a1b")
        return SimpleNamespace(atlas=atlas), section


class FakeBackend:
    """One section, one label, one gene."""

    def __init__(self, settings: Settings, jobs: JobQueue) -> None:
        self.settings = settings
        self.jobs = jobs
        self.uploads = Uploads(settings)
        self.planes = FakePlanes(self)
        self.version = 3
        self.drawn: list[TileKey] = []
        self.demo_query: Path | None = None
        self.looked = 0
        #: Work of drawing a tile.
        self.seconds = DEAR

    def atlas_info(self) -> dict[str, Any]:
        return {"name": "Demo", "version": self.version, "world_um": 1024.0, "r": float("nan")}

    def sections(self) -> list[dict[str, Any]]:
        return [self.section_entry("s1")]

    def section_entry(self, section: str) -> dict[str, Any]:
        self.section(section)
        return {"id": "s1", "world_um": 1024.0, "n_cells": np.int64(4)}

    def section(self, section: str) -> Any:
        if section not in ("s1", "atlas"):
            raise UnknownSection(f"There is no section '{section}'.", "Did you mean s1?")
        return SimpleNamespace(id=section)

    def space_info(self, section: str) -> dict[str, Any]:
        self.section(section)
        return {"name": "A test brain", "sections": []}

    def space_points(self, key: LayerKey, most: int, seed: int) -> dict[str, Any]:
        return {"layer": str(key), "xyz": np.zeros((min(most, 4), 3), np.int32), "seed": seed}

    def layers(self, section: str) -> list[LayerInfo]:
        self.section(section)
        return [self.layer(section, LayerKey("label", "type"))]

    def layer(self, section: str, key: LayerKey) -> LayerInfo:
        self.section(section)
        if key.kind == "label":
            classes = (Category(HOSTILE, "#ff0000"), Category("Glia", "#00ff00", "Brain"))
            return LayerInfo(key, "Cell type", categories=classes, version=self.version)
        if key.name != "Gene0":
            raise UnknownGene(f"There is no gene '{key.name}'.", "Did you mean Gene0?")
        trust = Trust(0.8, 0.3, "held-out r", "mean", "Hidden and imputed back.")
        return LayerInfo(key, "Gene0", "log1p", (0.0, 2.0), version=self.version, trust=trust)

    def genes(self, query: str, limit: int, section: str) -> list[dict[str, Any]]:
        return [{"symbol": s} for s in GENES.symbol if query.lower() in s.lower()][:limit]

    def search(self, query: str, section: str, limit: int) -> dict[str, Any]:
        return {"regions": [], "types": [], "genes": self.genes(query, limit, section)}

    def counts(self, section: str, key: LayerKey, view: Bounds | None) -> dict[int, int]:
        return {0: 1, 1: 2, -1: 1} if view is None else {0: 0, 1: 1, -1: 0}

    def composition(self, section: str, key: LayerKey, within: Any) -> list[dict[str, Any]]:
        return [{"code": 1, "name": "Glia", "count": 2 if within is None else 1}]

    def means(self, section: str, key: LayerKey, label: LayerKey) -> list[dict[str, Any]]:
        return [{"code": 1, "name": "Glia", "mean": 0.5, "n": 2}]

    def gene_means(self, gene: str, kind: str, by: str) -> dict[str, Any]:
        return {"gene": gene, "kind": kind or "measured", "by": by}

    def top_genes(self, key: LayerKey, code: int, limit: int) -> dict[str, Any]:
        return {"layer": str(key), "code": code, "limit": limit}

    def compositions(self, key: LayerKey) -> dict[str, Any]:
        return {"layer": str(key)}

    def histogram(self, section: str, key: LayerKey) -> Any:
        edges, counts = np.array([0.0, 1.0, 2.0]), np.array([1, 2])
        return SimpleNamespace(edges=edges, counts=counts, n_zero=1, n_missing=0)

    def anchors(self, section: str, key: LayerKey) -> list[tuple[str, float, float, int]]:
        return [("Glia", 512.0, 256.0, 2)]

    def cell(self, section: str, row: int, layer: LayerKey | None = None) -> dict[str, Any]:
        if not 0 <= row < 4:
            raise UnknownCell(f"Section '{section}' has no row {row}.", "Rows are 0 to 3.")
        found: dict[str, Any] = {"id": f"cell{row}", "section": section, "row": row}
        return found if layer is None else {**found, "value": 1.5}

    def pick(self, section: str, x: float, y: float) -> tuple[str, int] | None:
        return ("s1", 2) if x < 100 else None

    def tile(self, key: TileKey) -> FakeTile:
        self.drawn.append(key)
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            """Draw."""
        empty = key.address.x == 1
        return FakeTile(b"\x89PNG" + str(key).encode(), f"{abs(hash(key)):x}", empty)

    def figure(self, section: str, key: LayerKey, style: Style, width: int) -> bytes:
        return b"\x89PNG figure %d" % width

    def table(self, section: str, key: LayerKey) -> Iterator[str]:
        self.layer(section, key)
        yield "cell_id,x,y,value\n"
        yield "'=cell0,1.00,2.00,0.5\n"

    def select(self, section: str, polygon: list[Any]) -> dict[str, Any]:
        if len(polygon) < 3:
            raise BadRequest("The polygon cannot be read.", "Send 3 or more corners.")
        return {"section": section, "n_cells": 3}

    def compare(self, a: Mapping[str, Any], b: Mapping[str, Any], limit: int) -> dict[str, Any]:
        return {"n_a": 2, "n_b": 2, "genes": [], "limit": limit}

    def preflight(self, upload: str, owner: str) -> Preflight:
        self.looked += 1
        path, name = self.uploads.path(upload, owner), self.uploads.get(upload, owner).name
        return inspect(path, name, GENES, self.settings.limits)

    def preview(self, upload: str, owner: str) -> dict[str, Any]:
        return glance(self.uploads.path(upload, owner))

    def submit(
        self,
        model: str,
        verb: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, Any],
        owner: str,
    ) -> Job:
        return self.jobs.submit(model, verb, params, inputs, owner)

    def result(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.jobs.result_file(job_id, "json").read_text())
        return found


def served(backend: FakeBackend) -> Flask:
    """Return the routes over a stand-in of the service."""
    return create_server(cast("Backend", backend), backend.settings)
