"""The whole way with nothing faked: upload, card, job, network, result on the map, download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from flask.testing import FlaskClient

from backend.core.settings import Settings
from backend.http import create_server
from backend.jobs.queue import JobQueue
from backend.service.backend import Backend
from backend.worker.verbs import VERBS
from backend.worker.work import make_runner
from tests.runs.conftest import Trained


@pytest.fixture
def client(trained: Trained, tmp_path: Path) -> Iterator[FlaskClient]:
    settings = Settings(data=tmp_path)
    runner = make_runner(settings, trained.atlas, trained.checkpoint, VERBS)
    jobs = JobQueue(settings, immediate=True, runner=runner)
    backend = Backend(settings, trained.atlas, trained.checkpoint, trained.query, jobs)
    yield create_server(backend, settings).test_client()
    jobs.close()


def test_an_upload_becomes_a_section_of_its_own(client: FlaskClient, tmp_path: Path) -> None:
    card = client.post("/api/uploads/demo").get_json()
    assert card["preflight"]["ok"], card
    inputs = {"upload": card["upload"]["id"]}
    asked = {"model": "fusemap", "verb": "annotate", "inputs": inputs}
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "done", job["error"]
    result = job["result"]
    assert result["n_cells"] == 400
    assert result["nearest"][0]["section"] in ("s0", "s1")

    section = result["section"]
    entry = client.get(f"/api/sections/{section}").get_json()
    assert (entry["kind"], entry["n_cells"], entry["title"]) == ("query", 400, "query")
    layers = client.get(f"/api/layers?section={section}").get_json()["layers"]
    assert {"label:type", "confidence:type"} <= {layer["key"] for layer in layers}
    legend = client.get(f"/api/legend?section={section}&layer=label:type").get_json()
    assert legend["total"] == 400

    with client.get(job["downloads"]["csv"]) as table:
        rows = [r for r in table.text.splitlines() if not r.startswith("#")]
    assert len(rows) == 401
    assert rows[1].startswith("'=")
    with client.get(job["downloads"]["h5ad"]) as written:
        (tmp_path / "back.h5ad").write_bytes(written.data)
    with h5py.File(tmp_path / "back.h5ad") as file:
        assert "type_fusemap" in file["obs"]


def test_contacts_and_panels_are_run_on_an_annotated_upload(client: FlaskClient) -> None:
    card = client.post("/api/uploads/demo").get_json()
    asked = {"model": "fusemap", "verb": "annotate", "inputs": {"upload": card["upload"]["id"]}}
    asked["params"] = {"taxonomy": {"type": "d1"}, "error": 0.2}
    job = client.post("/api/jobs", json=asked).get_json()["job"]
    assert job["state"] == "done", job["error"]
    section = job["result"]["section"]
    wanted = {
        "contacts": {"n_shifts": 20, "radius_um": 60, "least_cells": 5},
        "panel": {"genes": 4, "draws": 2, "label": "label:region"},
    }
    for verb, params in wanted.items():
        asked = {"model": "fusemap", "verb": verb, "params": params, "inputs": {"section": section}}
        made = client.post("/api/jobs", json=asked).get_json()["job"]
        assert made["state"] == "done", made["error"]
        found = client.get(f"/api/results/{made['id']}").get_json()
        assert [s["id"] for s in found["sections"]] == [section]
    mixed = {**asked, "inputs": {"sections": [section, "s0"]}}
    failed = client.post("/api/jobs", json=mixed).get_json()["job"]
    assert "cannot be taken together" in failed["error"]["message"]


def test_an_unknown_taxonomy_is_refused_with_those_there_are(client: FlaskClient) -> None:
    card = client.post("/api/uploads/demo").get_json()
    asked = {"model": "fusemap", "verb": "annotate", "inputs": {"upload": card["upload"]["id"]}}
    for taxonomy, words in (({"type": "d9"}, "no taxonomy 'd9'"), (["type"], "a name per label")):
        asked["params"] = {"taxonomy": taxonomy}
        job = client.post("/api/jobs", json=asked).get_json()["job"]
        assert job["state"] == "failed"
        assert words in job["error"]["message"]
