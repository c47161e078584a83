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
