"""The routes over the real service and a small atlas on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.core.settings import Settings
from backend.http import create_server
from backend.service.backend import Backend
from tests.tiny import tiny_atlas

ALPHA = "section=alpha&layer"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    folder: Path = tmp_path_factory.mktemp("service")
    settings = Settings(data=folder / "data")
    backend = Backend(settings, tiny_atlas(folder / "tiny.zarr"))
    yield create_server(backend, settings).test_client()
    backend.jobs.close()


@pytest.mark.parametrize(
    "url",
    [
        "/healthz",
        "/api/atlas",
        "/api/sections",
        "/api/sections/beta",
        "/api/genes?q=gad",
        "/api/layers?section=alpha",
        "/api/layers?section=atlas",
        f"/api/layer?{ALPHA}=imputed:gad1",
        "/api/search?q=ca1&section=alpha",
        f"/api/legend?{ALPHA}=label:region&view=0,0,500,500",
        f"/api/composition?{ALPHA}=label:type&within=label:region&code=0",
        f"/api/means?{ALPHA}=imputed:Gad1&label=label:region",
        f"/api/histogram?{ALPHA}=measured:Gad1",
        f"/api/anchors?{ALPHA}=label:region",
        "/api/cell/alpha/7?layer=imputed:Gad1",
        f"/api/download?{ALPHA}=label:type&format=csv",
    ],
)
def test_the_service_answers_every_reading_route(client: FlaskClient, url: str) -> None:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    assert "NaN" not in answer.text


def test_picking_finds_the_cell_that_is_there(client: FlaskClient) -> None:
    cell = client.get("/api/cell/alpha/7").get_json()
    found = client.get(f"/api/pick?section=alpha&x={cell['x']}&y={cell['y']}").get_json()
    assert (found["section"], found["row"]) == ("alpha", 7)
    assert found["cell"]["id"] == cell["id"]


def test_selections_are_counted_and_compared(client: FlaskClient) -> None:
    half = [[0, 0], [2000, 0], [2000, 550], [0, 550]]
    found = client.post("/api/select", json={"section": "alpha", "polygon": half}).get_json()
    assert 0 < found["n_cells"] < 240
    a = {"section": "alpha", "layer": "label:type", "code": 0}
    b = {"section": "alpha", "layer": "label:type", "code": 1}
    table = client.post("/api/compare", json={"a": a, "b": b, "limit": 3}).get_json()
    assert len(table["genes"]) == 3


def test_a_tile_of_the_current_edition_is_immutable(client: FlaskClient) -> None:
    edition = client.get("/api/atlas").get_json()["edition"]
    assert client.get("/api/sections/alpha").get_json()["edition"] == edition
    answer = client.get(f"/tiles/alpha/label:region/0/0/0.png?v={edition}")
    assert answer.status_code == 200
    assert answer.data.startswith(b"\x89PNG")
    assert "immutable" in answer.headers["Cache-Control"]
    assert client.get("/tiles/alpha/label:region/0/0/0.png").data == answer.data


def test_unknown_things_have_readable_errors(client: FlaskClient) -> None:
    found = client.get("/api/layer?section=alpha&layer=imputed:Gad9").get_json()
    assert found["error"] == "UnknownGene"
    assert any("Gad1" in hint for hint in found["hint"])
    assert client.get("/tiles/alpha/label:nope/0/0/0.png").status_code == 404
