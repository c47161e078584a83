"""Layouts through the service and over HTTP: a UMAP linked to the tissue."""

from __future__ import annotations

import numpy as np
import pytest

from backend.core.data import TaskResult
from backend.core.errors import BadRequest, UnknownSection
from backend.core.layers import LayerKey, Style
from backend.core.settings import Settings
from backend.http import create_server
from backend.service import Backend
from backend.store.write import write_result
from backend.tiles.layouts import LayoutName
from tests.tiny import SIZES, tiny_atlas

TYPE = LayerKey("label", "type")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Backend:
    folder = tmp_path_factory.mktemp("layouts")
    path = tiny_atlas(folder / "tiny.zarr")
    n = sum(SIZES.values())
    places = np.random.default_rng(1).uniform(0, 1, (n, 2)).astype(np.float32)
    write_result(path, TaskResult(), layouts={"umap": places})
    return Backend(Settings(data=folder / "data"), path)


def test_the_atlas_names_its_layouts(backend: Backend) -> None:
    assert backend.atlas_info()["layouts"] == ["umap"]


@pytest.mark.parametrize("section", [None, "beta"])
def test_every_cell_of_a_layout_is_picked_where_it_is(
    backend: Backend, section: str | None
) -> None:
    name = LayoutName("umap", section)
    layout = backend.planes.main.renderer.layout(name)
    at = layout.positions(slice(0, len(layout)))
    text = "layout:umap" + (f"@{section}" if section else "")
    for place in range(0, len(layout), 7):
        found = backend.pick(text, *at[place] + 1e-6)
        assert found is not None
        info = backend.section(found[0])
        assert info.first + found[1] == layout.rows[place]


def test_the_nearest_cell_is_picked_and_none_that_is_far(backend: Backend) -> None:
    layout = backend.planes.main.renderer.layout(LayoutName("umap", None))
    at = layout.positions(slice(0, len(layout)))
    for x, y in np.random.default_rng(3).uniform(0, 1, (40, 2)):
        distance = np.hypot(*(at - (x, y)).T)
        nearest = int(np.argmin(distance))
        found = backend.pick("layout:umap", x, y, 0.2)
        near = distance[nearest] <= 0.2
        assert (found is not None) == near
        if found is not None:
            row = backend.section(found[0]).first + found[1]
            assert row == layout.rows[nearest]
        close = backend.pick("layout:umap", x, y, distance[nearest] * 0.99)
        assert close is None
    assert backend.pick("layout:umap", 1.5, 0.5) is None


def test_a_layout_is_described_as_the_cells_it_shows(backend: Backend) -> None:
    key = LayerKey("imputed", "Gad1")
    assert backend.layer("layout:umap", key) == backend.layer("atlas", key)
    assert backend.layer("layout:umap@beta", key) == backend.layer("beta", key)
    assert backend.counts("layout:umap@beta", TYPE) == backend.counts("beta", TYPE)


def test_a_polygon_on_a_layout_selects_cells_of_its_section(backend: Backend) -> None:
    whole = [[0, 0], [1, 0], [1, 1], [0, 1]]
    assert backend.select("layout:umap@beta", whole)["n_cells"] == SIZES["beta"]
    half = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
    layout = backend.planes.main.renderer.layout(LayoutName("umap", "beta"))
    left = int((layout.positions(slice(0, len(layout)))[:, 0] < 0.5).sum())
    assert backend.select("layout:umap@beta", half)["n_cells"] == left
    with pytest.raises(BadRequest, match="one section"):
        backend.select("layout:umap", whole)


def test_what_a_layout_cannot_give_is_refused(backend: Backend) -> None:
    with pytest.raises(BadRequest, match="not of a layout"):
        backend.figure("layout:umap@beta", TYPE, Style())
    with pytest.raises(UnknownSection, match="tsne"):
        backend.layer("layout:tsne", TYPE)


def test_tiles_and_cells_of_a_layout_come_over_http(backend: Backend) -> None:
    client = create_server(backend, backend.settings).test_client()
    pictures = set()
    for section in ("layout:umap", "layout:umap@beta", "beta"):
        answer = client.get(f"/tiles/{section}/label:type/0/0/0.png")
        assert (answer.status_code, answer.mimetype) == (200, "image/png")
        pictures.add(answer.data)
    assert len(pictures) == 3
    layout = backend.planes.main.renderer.layout(LayoutName("umap", None))
    x, y = layout.positions(np.array([0]))[0]
    found = client.get(f"/api/pick?section=layout:umap&x={x}&y={y}").get_json()
    assert backend.section(found["section"]).first + found["row"] == layout.rows[0]
    assert client.get("/tiles/layout:tsne/label:type/0/0/0.png").status_code == 404
