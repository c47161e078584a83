"""Every route: its JSON, its status, its headers."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from backend.http import routes
from tests.http.fakes import HOSTILE, FakeBackend

READ = {
    "/healthz": {"ok", "name", "version", "queue"},
    "/api/atlas": {"name", "version", "world_um", "r"},
    "/api/sections": {"sections"},
    "/api/sections/s1": {"id", "world_um", "n_cells"},
    "/api/genes?q=gene1": {"genes"},
    "/api/layers?section=s1": {"section", "layers"},
    "/api/layer?section=s1&layer=imputed:Gene0": {
        *("key", "kind", "name", "title", "unit", "span"),
        *("version", "provenance", "categories", "trust"),
    },
    "/api/search?q=gene&section=s1": {"regions", "types", "genes"},
    "/api/legend?section=s1&layer=label:type": {
        *("section", "layer", "title", "total", "missing", "categories"),
    },
    "/api/composition?section=s1&layer=label:type": {"section", "layer", "within", "classes"},
    "/api/means?section=s1&layer=imputed:Gene0&label=label:type": {
        *("section", "layer", "label", "classes"),
    },
    "/api/gene_means?gene=Gene0&by=label:type": {"gene", "kind", "by"},
    "/api/top_genes?layer=label:type&code=1": {"layer", "code", "limit"},
    "/api/compositions?layer=label:type": {"layer"},
    "/api/histogram?section=s1&layer=imputed:Gene0": {
        *("section", "layer", "unit", "span", "edges", "counts", "n_zero", "n_missing"),
    },
    "/api/space": {"name", "sections"},
    "/api/space?layer=label:type&n=3&seed=2": {"name", "sections", "points"},
    "/api/anchors?section=s1&layer=label:type": {"anchors"},
    "/api/cell/s1/2?layer=imputed:Gene0": {"id", "section", "row", "value"},
    "/api/pick?section=s1&x=5&y=6": {"section", "row", "cell"},
}


@pytest.mark.parametrize(("url", "keys"), READ.items(), ids=READ)
def test_reading_routes_answer_with_their_keys(
    client: FlaskClient, url: str, keys: set[str]
) -> None:
    answer = client.get(url)
    assert answer.status_code == 200
    assert set(answer.get_json()) == keys


def test_every_route_is_written_in_the_table_of_routes(client: FlaskClient) -> None:
    table = routes.__doc__ or ""
    rules = {str(r) for r in client.application.url_map.iter_rules()} - {"/api/<path:rest>"}
    stems = {r.split("<")[0].rstrip("/") for r in rules}
    assert {s for s in stems if s not in table} == set()


def test_numbers_that_are_not_finite_are_null(client: FlaskClient) -> None:
    assert client.get("/api/atlas").get_json()["r"] is None


def test_reading_again_with_the_etag_is_answered_304(client: FlaskClient) -> None:
    tag = client.get("/api/sections").headers["ETag"]
    again = client.get("/api/sections", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")


def test_a_new_version_has_a_new_etag(client: FlaskClient, backend: FakeBackend) -> None:
    tag = client.get("/api/atlas").headers["ETag"]
    backend.version = 4
    again = client.get("/api/atlas", headers={"If-None-Match": tag})
    assert (again.status_code, again.get_json()["version"]) == (200, 4)


def test_the_legend_counts_what_is_in_view(client: FlaskClient) -> None:
    whole = client.get("/api/legend?section=s1&layer=label:type").get_json()
    assert (whole["total"], whole["missing"]) == (4, 1)
    assert [c["count"] for c in whole["categories"]] == [1, 2]
    part = client.get("/api/legend?section=s1&layer=label:type&view=0,0,5,5").get_json()
    assert [c["count"] for c in part["categories"]] == [0, 1]


def test_a_hostile_name_travels_as_text(client: FlaskClient) -> None:
    answer = client.get("/api/legend?section=s1&layer=label:type")
    assert answer.mimetype == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.get_json()["categories"][0]["name"] == HOSTILE


def test_anchors_carry_leaflet_coordinates(client: FlaskClient) -> None:
    found = client.get("/api/anchors?section=s1&layer=label:type").get_json()["anchors"]
    assert found == [{"name": "Glia", "x": 512, "y": 256, "n": 2, "lng": 128, "lat": -64}]


def test_nothing_under_the_pointer_is_null(client: FlaskClient) -> None:
    found = client.get("/api/pick?section=s1&x=500&y=6").get_json()
    assert found == {"section": "s1", "row": None, "cell": None}


def test_trust_carries_its_grade(client: FlaskClient) -> None:
    found = client.get("/api/layer?section=s1&layer=imputed:Gene0").get_json()
    assert (found["trust"]["figure"], found["trust"]["grade"]) == (0.8, "strong")
    assert found["span"] == [0.0, 2.0]


def test_a_layer_is_downloaded_as_csv(client: FlaskClient) -> None:
    answer = client.get("/api/download?section=s1&layer=label:type&format=csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows == [["cell_id", "x", "y", "value"], ["'=cell0", "1.00", "2.00", "0.5"]]
    name = answer.headers["Content-Disposition"]
    assert name == 'attachment; filename="s1_label_type.csv"'


def test_an_error_while_downloading_is_told_before_the_headers(client: FlaskClient) -> None:
    assert client.get("/api/download?section=s1&layer=imputed:Nope").status_code == 404


def test_a_figure_is_a_png_of_the_asked_width(client: FlaskClient) -> None:
    answer = client.get("/api/figure.png?section=s1&layer=label:type&width=800")
    assert answer.mimetype == "image/png"
    assert answer.data.endswith(b"800")


def test_select_and_compare_take_json(client: FlaskClient) -> None:
    polygon = [[0, 0], [1, 0], [0, 1]]
    found = client.post("/api/select", json={"section": "s1", "polygon": polygon})
    assert found.get_json() == {"section": "s1", "n_cells": 3}
    a = {"section": "s1", "polygon": polygon}
    found = client.post("/api/compare", json={"a": a, "b": a, "limit": 9999})
    assert found.get_json()["limit"] == 1000


BAD: list[tuple[str, str, Any, int, str]] = [
    ("get", "/api/layers?section=nope", None, 404, "UnknownSection"),
    ("get", "/api/layers", None, 400, "BadRequest"),
    ("get", "/api/layer?section=s1&layer=imputed:Slc", None, 404, "UnknownGene"),
    ("get", "/api/layer?section=s1&layer=nonsense", None, 400, "BadRequest"),
    ("get", "/api/cell/s1/9", None, 404, "UnknownCell"),
    ("get", "/api/cell/s1/-1", None, 404, "NotFound"),
    ("get", "/api/pick?section=s1&x=nan&y=0", None, 400, "BadRequest"),
    ("get", "/api/pick?section=s1&y=0", None, 400, "BadRequest"),
    ("get", "/api/genes?q=a&limit=0", None, 400, "BadRequest"),
    ("get", "/api/genes?q=" + "a" * 201, None, 400, "BadRequest"),
    ("get", "/api/legend?section=s1&layer=label:type&view=1,2", None, 400, "BadRequest"),
    ("get", "/api/download?section=s1&layer=label:type&format=xls", None, 400, "BadRequest"),
    ("get", "/api/gene_means", None, 400, "BadRequest"),
    ("get", "/api/top_genes?layer=label:type&code=-1", None, 400, "BadRequest"),
    ("get", "/api/top_genes?layer=label:type&code=1&limit=501", None, 400, "BadRequest"),
    ("get", "/api/compositions", None, 400, "BadRequest"),
    ("get", "/api/nothing", None, 404, "NotFound"),
    ("get", "/api/jobs/../../etc/passwd", None, 404, "NotFound"),
    ("get", "/api/jobs/" + "0" * 32, None, 404, "UnknownJob"),
    ("get", "/api/uploads/" + "0" * 32, None, 404, "UnknownUpload"),
    ("get", "/api/results/" + "0" * 32 + "/download", None, 404, "UnknownJob"),
    ("post", "/api/select", {"section": "s1"}, 400, "BadRequest"),
    ("post", "/api/select", {"section": "s1", "polygon": []}, 400, "BadRequest"),
    ("post", "/api/select", None, 400, "BadRequest"),
    ("post", "/api/compare", {"a": {}, "b": 5}, 400, "BadRequest"),
    ("post", "/api/uploads", {"name": "x", "size": 0}, 400, "BadRequest"),
    ("post", "/api/uploads", {"name": "x", "size": 10**12}, 413, "TooLarge"),
    ("post", "/api/uploads", {"name": "x", "size": True}, 400, "BadRequest"),
    ("post", "/api/uploads/demo", None, 404, "UnknownUpload"),
    ("delete", "/api/atlas", None, 405, "MethodNotAllowed"),
    ("get", "/tiles/s1/label:type/0/1/0.png", None, 404, "TileOutOfRange"),
    ("get", "/tiles/s1/label:type/99/0/0.png", None, 404, "TileOutOfRange"),
    ("get", "/tiles/nope/label:type/0/0/0.png", None, 404, "UnknownSection"),
    ("get", "/tiles/s1/label:type/0/0/0.png?lo=2&hi=1", None, 400, "BadRequest"),
    ("get", "/tiles/s1/label:type/0/0/0.png?size=300", None, 400, "BadRequest"),
    ("get", "/tiles/s1/label:type/0/0/0.png?only=1;2", None, 400, "BadRequest"),
    ("get", "/tiles/s1/label:type/0/0/0.png?palette=../x", None, 400, "BadRequest"),
]


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "error"),
    BAD,
    ids=[f"{i} {b[0]} {b[1][:60]}" for i, b in enumerate(BAD)],
)
def test_errors_have_one_shape(
    client: FlaskClient, method: str, url: str, body: Any, status: int, error: str
) -> None:
    sent = {} if body is None else {"json": body}
    answer = client.open(url, method=method.upper(), **sent)
    found = answer.get_json()
    assert answer.status_code == status
    assert set(found) == {"error", "message", "hint"}
    assert found["error"] == error
    assert found["message"]
    assert isinstance(found["hint"], list)


def test_a_failure_of_ours_tells_an_id_and_nothing_else(
    client: FlaskClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("secret path /home")

    monkeypatch.setattr(backend, "sections", broken)
    client.application.config["PROPAGATE_EXCEPTIONS"] = False
    answer = client.get("/api/sections")
    assert answer.status_code == 500
    assert answer.get_json()["error"] == "InternalServerError"
    assert "secret" not in answer.text
    assert "id " in answer.get_json()["message"]


def test_a_body_that_is_not_json_is_refused(client: FlaskClient) -> None:
    answer = client.post("/api/uploads", data={"name": "x", "size": "5"})
    assert answer.status_code == 400


def test_a_huge_json_body_is_refused(client: FlaskClient) -> None:
    answer = client.post("/api/select", json={"section": "s" * 1_100_000})
    assert answer.status_code == 413
